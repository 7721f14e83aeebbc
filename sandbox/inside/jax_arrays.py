"""JAX in place of NumPy: the names that ``np`` then has, and a program compiled as a whole.

A program is traced once for every set of shapes and compiled by XLA; what traces is arithmetic on
whole arrays, without Python decisions about values. Numbers are float64, as NumPy's are, so that
results agree but for rounding.

Files are read by ``load`` alone. ``begin`` starts the compiler and its threads, and has it do once
what it does late; after that, on a CPU, it needs neither a file nor another thread.
"""

import contextlib
import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardsmith.sandbox.inside import namespace
from rewardsmith.sandbox.inside.evaluate import BadAnswer
from rewardsmith.sandbox.inside.library import Library

_MOST_PROGRAMS = 32  # shapes of calls whose machine code is kept
# Imported at first use otherwise, when no file can be opened any more.
_LATE = (
    "jax.numpy.fft",
    "jax.numpy.linalg",
    "jax._src.lax.fft",
    "jax._src.lax.linalg",
    "jaxlib.lapack",
    "jaxlib.mlir.dialects.builtin",
    "jaxlib.mlir.dialects.mhlo",
    "scipy.linalg",
    "scipy.linalg.cython_blas",
    "scipy.linalg.cython_lapack",
)
_STATE = (
    "the function computes something else each time it is prepared. A reward depends on its "
    "parameters only: no counters, no module-level state. For what must be remembered within an "
    "episode declare MEMORY and take `memory`"
)
_ADVICE = re.compile(
    r"\s*(:? https?://|The error occurred while tracing|This concrete value was not available|"
    r"See https?://|The problem arose with|----|This BatchTracer).*",
    re.DOTALL,
)


def load(device: str) -> None:
    """Imports JAX and what it would import later; starts nothing yet."""
    # One core and no work stealing between threads: a worker has as much with NumPy.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ["JAX_PLATFORMS"] = _platform(device)
    import jax

    settings: Any = jax.config  # untyped
    settings.update("jax_platforms", _platform(device))
    settings.update("jax_enable_x64", True)
    settings.update("jax_traceback_filtering", "off")
    for name in _LATE:
        with contextlib.suppress(ImportError):  # private parts have other names elsewhere
            importlib.import_module(name)


def _platform(device: str) -> str:
    return "cpu" if device == "cpu" else "cuda"


def begin() -> dict[str, str]:
    """Starts the device and the compiler, warms both up, and says what they are.

    Raises:
        RuntimeError: there is no such device, or it does not compute.
    """
    import jax

    device = jax.devices()[0]
    rows = np.linspace(0.1, 1.0, 24).reshape(8, 3)
    compiled = Compiled(_much)
    compiled(rows=rows)
    with contextlib.suppress(jax.errors.JAXTypeError):  # errors have their own late parts
        Compiled(_decided)(rows=rows)
    (jax.numpy.ones(3) * 2.0).sum().item()  # outside of a traced function, as a module does
    return {
        "jax": jax.__version__,
        "device": device.platform,
        "device_kind": str(device.device_kind)[:80],
    }


def _decided(rows: Any) -> float:
    """Does what cannot be traced."""
    return 1.0 if rows.any() else 0.0


def _much(rows: Any) -> tuple[Any, dict[str, Any]]:
    """Uses what JAX loads or makes at first use."""
    import jax.numpy as jnp

    square = rows.T @ rows + jnp.eye(3)
    total = jnp.exp(rows).sum(axis=-1) + jnp.linalg.norm(rows, axis=-1) + jnp.median(rows, axis=-1)
    total += jnp.einsum("ij,ij->i", rows, rows) + jnp.where(rows[:, 0] > 0.5, 1.0, rows[:, 1])
    total += jnp.sort(rows, axis=0)[:, 0] + jnp.clip(rows, 0.0, 0.5).mean(axis=-1)
    total += jnp.abs(jnp.fft.fft(rows[:, 0])) + jnp.interp(rows[:, 0], rows[:, 1], rows[:, 2])
    total += (
        jnp.linalg.det(square) + jnp.linalg.inv(square).sum() + jnp.linalg.eigh(square)[0].sum()
    )
    return total, {"spin": jnp.cross(rows, rows[::-1])[:, 0]}


class JaxNamespace(namespace.ArrayNamespace):
    """``jax.numpy`` under NumPy's public names; what is withheld there is withheld here."""

    def __getattr__(self, name: str) -> Any:
        """Explains a name that NumPy has and JAX has not."""
        if name in namespace.public_names():
            raise AttributeError(f"np.{name} is not there where rewards are evaluated with JAX")
        return super().__getattr__(name)


def array_namespace() -> JaxNamespace:
    """Returns the names that a program finds in ``np``."""
    import jax.numpy as jnp

    names = {name: getattr(jnp, name) for name in namespace.public_names() if hasattr(jnp, name)}
    names["errstate"] = _no_warnings
    return JaxNamespace(**names)


def _no_warnings(**_: str) -> contextlib.AbstractContextManager[None]:
    """Stands in for ``np.errstate``: XLA warns of nothing."""
    return contextlib.nullcontext()


@dataclass(frozen=True)
class _Hole:
    """Where an array stood in what a program returned."""

    index: int


@dataclass(frozen=True)
class _Ready:
    """Machine code for one set of shapes, and how its arrays make up the answer."""

    run: Callable[..., list[Any]]
    answer: Any
    memory: Any


class Compiled:
    """A program's function that takes and returns NumPy arrays and computes with XLA."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._kept: dict[tuple[object, ...], _Ready] = {}

    def __call__(self, *, memory: dict[str, Any] | None = None, **columns: Any) -> Any:
        """Calls it; ``memory`` is changed in place, as the function would."""
        given = columns if memory is None else {**columns, "memory": dict(memory)}
        shapes = [(name, value.shape, value.dtype.str) for name, value in columns.items()]
        shapes += [(name, value.shape, "memory") for name, value in (memory or {}).items()]
        key = tuple(shapes)
        ready = self._kept.pop(key, None) or self._made(given)
        self._kept[key] = ready  # the one used last is the last one to go
        if len(self._kept) > _MOST_PROGRAMS:
            del self._kept[next(iter(self._kept))]
        arrays = [np.asarray(array) for array in self._run(ready, given)]
        if memory is not None:
            memory.clear()
            memory.update(_filled(ready.memory, arrays))
        return _filled(ready.answer, arrays)

    def _run(self, ready: _Ready, given: dict[str, Any]) -> list[Any]:
        try:
            return ready.run(given)
        except TypeError as error:
            # An array of an earlier call was kept and used: XLA misses it among its inputs.
            raise BadAnswer(_STATE) from error

    def _made(self, given: dict[str, Any]) -> _Ready:
        """Traces the function twice, since it has to be the same both times, and compiles it."""
        first = _Trace(self._function).lowered(given)
        trace = _Trace(self._function)
        lowered = trace.lowered(given)
        if first.as_text() != lowered.as_text():
            raise BadAnswer(_STATE)
        return _Ready(lowered.compile(), trace.answer, trace.memory)


class _Trace:
    """One run of a program's function on stand-ins for arrays, and what it returned but arrays."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.answer: Any = None
        self.memory: Any = None

    def lowered(self, given: dict[str, Any]) -> Any:
        """Traces the function for the shapes of ``given``."""
        import jax

        # A function of its own each time: JAX keeps traces by function.
        return jax.jit(lambda given: self._arrays(given)).lower(given)

    def _arrays(self, given: dict[str, Any]) -> list[Any]:
        result = self._function(**given)
        arrays: list[Any] = []
        self.answer = _taken(result, arrays, depth=2)
        self.memory = _taken(given.get("memory"), arrays, depth=1)
        return arrays


def _taken(value: Any, arrays: list[Any], depth: int) -> Any:
    """Moves JAX's arrays out of an answer into ``arrays``; holes stay behind."""
    import jax

    if isinstance(value, jax.Array):
        arrays.append(value)
        return _Hole(len(arrays) - 1)
    if depth and type(value) is tuple:
        return tuple(_taken(item, arrays, depth - 1) for item in value)
    if depth and type(value) is dict:
        return {name: _taken(item, arrays, depth - 1) for name, item in value.items()}
    return value


def _filled(value: Any, arrays: list[Any]) -> Any:
    if type(value) is _Hole:
        return arrays[value.index]
    if type(value) is tuple:
        return tuple(_filled(item, arrays) for item in value)
    if type(value) is dict:
        return {name: _filled(item, arrays) for name, item in value.items()}
    return value


def described(value: object) -> list[Any] | None:
    """Returns the shape and type of an array, traced or not; None for anything else."""
    import jax

    if not isinstance(value, jax.Array):
        return None
    return [list(value.shape), str(value.dtype)[:20]]


def shortened(text: str) -> str:
    """Leaves out of an error of JAX's where it traced what and which page tells more."""
    return _ADVICE.sub("", text)


JAX = Library(
    names=array_namespace,
    prepared=Compiled,
    described=described,
    shortened=shortened,
    by_row=False,
)
