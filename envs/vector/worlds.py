"""N MuJoCo simulations of one model, stepped by MuJoCo's own threads.

MuJoCo 4's batch interface is called in C: Python's `mujoco.batch` offers all of it but running a
function on the simulations as a step leaves them, which contacts and contact forces need.
"""

import ctypes
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.task import FloatArray
from rewardsmith.errors import ConfigError, TrainingError

Rows = npt.NDArray[np.intp]
_TYPES: dict[int, Any] = {8: ctypes.c_double, 4: ctypes.c_int}
_PATTERNS = ("libmujoco*.so*", "libmujoco*.dylib", "mujoco.dll")
_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_INT_OUT = ctypes.POINTER(ctypes.c_int)
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "mjb_defaultConfig": (None, [_POINTER]),
    "mjb_makeBatch": (_POINTER, [_POINTER, _INT, _POINTER, _TEXT, _INT]),
    "mjb_deleteBatch": (None, [_POINTER]),
    "mjb_nstate": (_INT, [_POINTER]),
    "mjb_state": (_POINTER, [_POINTER]),
    "mjb_stateComponent": (_POINTER, [_POINTER, _INT, _INT_OUT]),
    "mjb_output": (_POINTER, [_POINTER, _TEXT, _INT_OUT, _INT_OUT]),
    "mjb_step": (_INT, [_POINTER, _POINTER, _INT, _INT, _INT]),
    "mjb_forward": (_INT, [_POINTER, _POINTER, _INT, _INT]),
    "mjb_apply": (_INT, [_POINTER, _POINTER, _INT, _POINTER, _POINTER, _INT]),
    "mjb_status": (_INT_OUT, [_POINTER]),
    "mjb_error": (_TEXT, [_POINTER, _INT]),
}


class _Config(ctypes.Structure):
    # With room for what later versions may add, which `mjb_defaultConfig` fills in.
    _fields_ = (
        ("nthread", ctypes.c_int),
        ("persistent", ctypes.c_bool),
        ("later", ctypes.c_char * 250),
    )


@dataclass(frozen=True)
class Moment:
    """What n simulations show now: ``qpos``, ``qvel``, ``ctrl`` (n, size) and MjData ``fields``."""

    qpos: FloatArray
    qvel: FloatArray
    ctrl: FloatArray
    fields: Mapping[str, FloatArray]

    def take(self, rows: Rows) -> "Moment":
        """Returns copies of some simulations' readings."""
        fields = {name: values[rows] for name, values in self.fields.items()}
        return Moment(self.qpos[rows], self.qvel[rows], self.ctrl[rows], fields)


@cache
def library() -> Any | None:
    """Returns MuJoCo's C library with its batch functions; None where there is none (before 4)."""
    try:
        import mujoco
    except ImportError:
        return None
    folder = Path(mujoco.__file__).parent
    found = [path for pattern in _PATTERNS for path in sorted(folder.glob(pattern))]
    if not found:
        return None
    loaded = ctypes.CDLL(str(found[0]))
    if not all(hasattr(loaded, name) for name in _SIGNATURES):
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


class Worlds:
    """N simulations, of which nothing of one reaches another.

    With ``call_after``, names of MuJoCo's functions of model and data, each follows every step, and
    each simulation has an ``MjData`` of its own, where the functions find the step as it ended.
    Without, all of a thread take turns in one, which stays in the processor's cache.

    ``now`` are live views: they change with every step, and end with ``close``. ``state`` (N, size)
    holds everything on which a simulation's future depends, the solver's warm start included.
    """

    def __init__(
        self, model: Any, count: int, threads: int, call_after: Sequence[str] = ()
    ) -> None:
        import mujoco

        self._lib: Any = library()
        if self._lib is None:
            raise ConfigError("simulations side by side need MuJoCo 4 or newer")
        self._count = count
        # They are called with two more arguments, which the C conventions of all platforms allow.
        self._after = [
            ctypes.cast(getattr(self._lib, function), ctypes.c_void_p) for function in call_after
        ]
        self._pointer = self._made(model, max(1, threads))
        self._end = weakref.finalize(self, self._lib.mjb_deleteBatch, self._pointer)
        size = self._lib.mjb_nstate(self._pointer)
        self._start: int = self._lib.mjb_state(self._pointer)
        self.state: FloatArray = _array(self._start, count, size, 8)
        self._default = self.state[0].copy()
        kind = mujoco.mjtState
        self._warmstart = self._component(kind.mjSTATE_WARMSTART)
        self._fields: dict[str, FloatArray] = {}
        self.now = Moment(
            self._component(kind.mjSTATE_QPOS),
            self._component(kind.mjSTATE_QVEL),
            self._component(kind.mjSTATE_CTRL),
            self._fields,
        )

    def _made(self, model: Any, threads: int) -> int:
        message = ctypes.create_string_buffer(500)
        config = _Config()
        self._lib.mjb_defaultConfig(ctypes.byref(config))
        config.nthread, config.persistent = threads, bool(self._after)
        asked = (model._address, self._count, ctypes.byref(config), message, 500)
        made = self._lib.mjb_makeBatch(*asked)
        if not made:
            found = message.value.decode(errors="replace")
            raise ConfigError(f"{self._count} simulations cannot be made: {found}")
        return int(made)

    def _component(self, kind: Any) -> FloatArray:
        size = ctypes.c_int()
        place = self._lib.mjb_stateComponent(self._pointer, int(kind), ctypes.byref(size))
        first = (place - self._start) // 8 if size.value else 0
        return self.state[:, first : first + size.value]

    def read(self, field: str) -> None:
        """Adds an MjData field, "xpos", to what ``now.fields`` shows, flat: (N, size)."""
        size, width = ctypes.c_int(), ctypes.c_int()
        sizes = (ctypes.byref(size), ctypes.byref(width))
        place = self._lib.mjb_output(self._pointer, field.encode(), *sizes)
        if not place:
            raise ConfigError(f"MuJoCo does not show {field!r} of simulations side by side")
        self._fields[field] = _array(place, self._count, size.value, width.value)

    def step(self, actions: npt.NDArray[Any], substeps: int) -> None:
        """Steps every simulation with its controls (N, nu).

        Raises:
            TrainingError: MuJoCo gave up on a simulation.
        """
        self.now.ctrl[:] = actions
        with untimed(self._lib):
            self._check(self._lib.mjb_step(self._pointer, None, 0, substeps, 0))
            for function in self._after:
                self._check(self._lib.mjb_apply(self._pointer, None, 0, function, None, 0))
            if self._after:
                # Computes nothing, but copies out what the functions changed.
                self._check(self._lib.mjb_forward(self._pointer, None, 0, 0))

    def begin(self, rows: Rows, qpos: FloatArray, qvel: FloatArray) -> None:
        """Puts simulations into a new state, with all else as in a fresh ``MjData``."""
        self.state[rows] = self._default
        self.now.qpos[rows] = qpos
        self.now.qvel[rows] = qvel
        ids = np.ascontiguousarray(rows, dtype=np.int32)
        self._check(self._lib.mjb_forward(self._pointer, ids.ctypes.data, len(ids), 3))

    def _check(self, failed: int) -> None:
        if not failed:
            return
        status = np.ctypeslib.as_array(self._lib.mjb_status(self._pointer), (self._count,))
        first = int(np.flatnonzero(status)[0])
        text = self._lib.mjb_error(self._pointer, first).decode(errors="replace")
        raise TrainingError(f"MuJoCo gave up on {failed} simulation(s), number {first}: {text}")

    def close(self) -> None:
        """Ends the threads and frees the simulations; safe to call twice."""
        self._end()


@contextmanager
def untimed(lib: Any) -> Iterator[None]:
    """Takes MuJoCo's clock away: each stage of each substep reads it, and no one asks here.

    It is one for the whole process: where another thread has taken it, that one puts it back.
    """
    clock = ctypes.c_void_p.in_dll(lib, "mjcb_time")
    taken = clock.value
    clock.value = None
    try:
        yield
    finally:
        if taken is not None:
            clock.value = taken


def _array(place: int, rows: int, size: int, width: int) -> Any:
    pointer = ctypes.cast(place, ctypes.POINTER(_TYPES[width]))
    return np.ctypeslib.as_array(pointer, (rows, size))
