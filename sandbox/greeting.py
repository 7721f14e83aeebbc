"""The first word of a worker: that it is locked in, and that it computes as this side does."""

import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.arrays import Arrays
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.wire import Pipes, WireError, cleaned

LANDLOCK_REMEDY = (
    "Use a Linux kernel 5.13 or newer with Landlock (`cat /sys/kernel/security/lsm` must name "
    "it; else "
    "boot with lsm=landlock,...), or an engine whose seccomp profile allows it."
)

GPU_REMEDY = (
    "Check that nvidia-smi names the device on this machine, that JAX has its CUDA plugin (pip "
    'install "jax[cuda13]"), and with docker that the NVIDIA container toolkit is installed, '
    "1.17.8 or newer. Or evaluate rewards on the CPU"
)


class Greeting(Protocol):
    """A worker that was started and has not spoken yet."""

    @property
    def pipes(self) -> Pipes:
        """This side's ends."""
        ...

    hello: Mapping[str, Any]

    def stop(self, grace_s: float = 0.0) -> int | None:
        """Ends the worker."""
        ...


Greeted = TypeVar("Greeted", bound=Greeting)


def greeted(worker: Greeted, limits: Limits, *, walls: bool, landlock: bool = True) -> Greeted:
    """Waits until a worker says that it is locked in, and returns it.

    Args:
        worker: as started.
        limits: for how long to wait, and for the advice.
        walls: False for ``--sandbox none``.
        landlock: False where the file system is not the host kernel's, as under gVisor.

    Raises:
        SandboxUnavailable: it did not start, is not confined, or has other versions.
    """
    try:
        hello, _ = worker.pipes.receive(deadline=time.monotonic() + limits.start_s)
    except WireError as error:
        status = worker.stop(grace_s=1.0)
        raise SandboxUnavailable(
            f"the reward worker did not start ({error}; exit status {status}). Check that "
            f"{sys.executable} can import {limits.arrays.library} within "
            f"{limits.memory_bytes >> 20} MiB"
        ) from error
    except BaseException:  # an interrupt leaves no worker behind
        worker.stop()
        raise
    problem = (
        _not_locked(hello, walls, landlock)
        or _other_versions(hello)
        or _other_arrays(hello, limits.arrays, walls)
    )
    if problem:
        worker.stop()
        raise SandboxUnavailable(problem)
    worker.hello = hello
    return worker


def _not_locked(hello: Mapping[str, Any], walls: bool, landlock: bool) -> str:
    locked = hello.get("seccomp") is True and type(hello.get("landlock")) is int
    locked = locked and hello["landlock"] >= landlock
    if hello.get("hello") == 1 and (locked or not walls):
        return ""
    reason = cleaned(str(hello.get("refused", "it did not say so")), 500)
    return f"the reward worker could not be confined: {reason}. {LANDLOCK_REMEDY}"


def _other_versions(hello: Mapping[str, Any]) -> str:
    """Another NumPy rounds differently: rewards would not be those of the check."""
    import numpy as np

    wanted = {"python": sys.version.split()[0], "numpy": np.__version__}
    found = {name: cleaned(str(hello.get(name)), 40) for name in wanted}
    if found == wanted:
        return ""
    return (
        f"the reward worker runs on {found}, this process on {wanted}; build the image with the "
        "same versions"
    )


def _other_arrays(hello: Mapping[str, Any], wanted: Arrays, walls: bool) -> str:
    """CUDA that finds no device computes on the CPU and says nothing: here it is an error."""
    library, device = (cleaned(str(hello.get(name)), 40) for name in ("library", "device"))
    if library != wanted.library:
        return f"the reward worker evaluates with {library}, wanted is {wanted.library}"
    if device != ("cpu" if wanted.gpu is None else "gpu"):
        return f"the reward worker computes on {device}, wanted is {wanted.device}. {GPU_REMEDY}"
    table = cleaned(str(hello.get("table")), 40)
    if walls and table != wanted.table:
        return f"the reward worker stands behind the {table} calls, wanted are {wanted.table}'s"
    if wanted.library != "jax":
        return ""
    # Its version is read, not imported: JAX would start its threads in this process.
    here, there = version("jax"), cleaned(str(hello.get("jax")), 40)
    if here != there:
        return f"the reward worker has jax {there}, this process {here}; use the same version"
    return ""
