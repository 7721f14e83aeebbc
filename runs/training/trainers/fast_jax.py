"""JAX as this package wants it: one thread, compiled programs kept, its absence explained."""

import os
from typing import Any

from rewardsmith.errors import ConfigError

MISSING = (
    "the trainer 'fast' needs JAX, which is not installed: pip install 'rewardsmith[fast]', or "
    "train with ppo"
)
# A second thread costs more than it brings on nets of this size, and takes another training's core.
_FLAGS = ("--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1")


def require_jax() -> None:
    """Makes sure, without importing it, that JAX is there.

    Raises:
        ConfigError: it is not.
    """
    import importlib.util

    if importlib.util.find_spec("jax") is None:
        raise ConfigError(MISSING)


def jax_device(name: str) -> Any:
    """Returns the device of JAX for an order's ``device``; "auto" is the CPU here.

    Updates are small: on the CPU each is done before an accelerator has been told of it. Where
    physics is on a GPU, `fast` does not ask here.

    Raises:
        ConfigError: JAX is not installed, or knows no such device.
    """
    _one_thread()
    try:
        import jax
    except ImportError as error:
        raise ConfigError(MISSING) from error
    _keep_programs(jax)
    kind = "cpu" if name == "auto" else name
    try:
        return jax.devices(kind)[0]
    except RuntimeError as error:
        raise ConfigError(f"device {name!r}: {str(error).splitlines()[0]}") from error


def jax_gpu() -> Any | None:
    """Returns the first GPU that JAX sees, None without."""
    _one_thread()
    try:
        import jax

        _keep_programs(jax)
        return jax.devices("gpu")[0]
    except (ImportError, RuntimeError):
        return None


def _one_thread() -> None:
    """Asks XLA for one thread; heard only before the first program of this process.

    XLA's flags alone leave large products to as many threads as there are cores; how many it makes
    for its CPU client, it reads from ``NPROC`` (jax 0.10.2).
    """
    os.environ.setdefault("NPROC", "1")
    given = os.environ.get("XLA_FLAGS", "")
    missing = [flag for flag in _FLAGS if flag.split("=")[0] not in given]
    os.environ["XLA_FLAGS"] = " ".join([given, *missing]).strip()


def _keep_programs(jax: Any) -> None:
    """Keeps compiled programs in the user's cache, unless the user says where they are to lie.

    What lies there is run as it is: the folder is the user's alone, and no reward worker sees it.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    from platformdirs import user_cache_path

    folder = user_cache_path("rewardsmith") / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:  # a home that cannot be written to: every process compiles for itself
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
