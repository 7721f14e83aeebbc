"""From a fresh interpreter to a locked reward worker, in one process and one direction.

Started with a clean environment and one argument, a JSON ``Orders``. It leaves the session, closes
what it inherited, loads the standard library and NumPy, and only then locks the door behind itself:
no capabilities, another user where it was root, no file system (Landlock), no system call beyond
arithmetic (seccomp). With JAX, its compiler and its threads start between the last two: what holds
for one thread holds for those that it starts, and seccomp holds for all there are. Nothing is
executed afterwards, so an interpreter that the new user could not read does no harm. The reward
program is read from the pipe after all that. Any failure ends the process with status 78 before a
program was seen.
"""

import contextlib
import ctypes
import json
import mmap
import os
import platform
import resource
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewardsmith.sandbox.inside import cores, frames, landlock, seccomp

if TYPE_CHECKING:
    from rewardsmith.sandbox.inside.library import Library

CANNOT_CONFINE = 78
NOBODY = 65534
_SET_PDEATHSIG, _SET_DUMPABLE, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT = 1, 4, 24, 38, 47
_AMBIENT_CLEAR_ALL = 4
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION_3 = 0x20080522
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_THRESHOLD, _KEPT_BYTES = 2**25, 2**28
_CAPSET = {"x86_64": 126, "aarch64": 91}


@dataclass(frozen=True)
class Orders:
    """What the trusted side wants of this process.

    ``requests`` and ``replies`` are descriptors; ``shared`` is a memory file of ``region_bytes``,
    or None where arrays go through the pipes. ``memory_bytes`` caps the address space, region
    apart. ``library`` is "numpy" or "jax", ``device`` "cpu" or "cuda:N"; ``paths`` is what a GPU's
    driver is left (``landlock.allow``). ``walls`` is False only for ``--sandbox none``. With
    ``probe`` the walls are tried and nothing else is done. ``landlock`` is False only under a
    kernel that has none and keeps host files away itself (gVisor).
    """

    requests: int
    replies: int
    shared: int | None
    region_bytes: int
    memory_bytes: int
    parent: int
    walls: bool
    probe: dict[str, Any] | None = None
    landlock: bool = True
    library: str = "numpy"
    device: str = "cpu"
    paths: dict[str, bool] | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether rewards are computed on a GPU."""
        return self.device != "cpu"

    @property
    def table(self) -> str:
        """The name of the system call table to stand behind."""
        return "cuda" if self.on_gpu else self.library

    def left(self) -> dict[str, bool]:
        """Returns the paths that Landlock is to leave, see ``landlock.allow``."""
        # XLA reads it once when it starts; afterwards seccomp lets nothing be opened.
        randomness = {"/dev/urandom": False} if self.library == "jax" else {}
        return {**randomness, **(self.paths or {})}


def _check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what} failed: {os.strerror(error)}")


def _die_with_parent(libc: ctypes.CDLL, parent: int) -> None:
    _check(libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl(PDEATHSIG)")
    if os.getppid() != parent:
        raise OSError("the process that asked for this worker is gone")


def _close_all_but(*kept: int | None) -> None:
    ends = sorted({0, 1, 2, *(number for number in kept if number is not None)})
    for low, high in zip(ends, [*ends[1:], 65536], strict=True):
        os.closerange(low + 1, high)


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _limit(orders: Orders) -> None:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    if not orders.on_gpu:  # CUDA reserves more address space than there is memory
        limits[resource.RLIMIT_AS] = orders.memory_bytes + orders.region_bytes
    for what, most in limits.items():
        resource.setrlimit(what, (most, most))


def _limit_the_rest(orders: Orders) -> None:
    """No descriptor and no thread more; a GPU's driver wants both at any time."""
    if not orders.on_gpu:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(libc.syscall(_CAPSET[platform.machine()], header, nothing), "capset")


def _become_nobody(libc: ctypes.CDLL) -> None:
    """Gives up root: bounding set, groups, ids, capabilities.

    In a user namespace that maps only root there is nobody to become: then the process stays uid 0
    without any capability, which Landlock and seccomp hold all the same.
    """
    for capability in range(_LAST_CAPABILITY + 1):
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    with contextlib.suppress(OSError):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _lock(orders: Orders) -> dict[str, Any]:
    """Raises every wall, or raises OSError; returns what stands."""
    libc = ctypes.CDLL(None, use_errno=True)
    threads = cores.Threads()
    _limit(orders)
    libc.prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    if os.getuid() == 0:
        _become_nobody(libc)
    _drop_capabilities(libc)
    _check(libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0), "prctl(DUMPABLE)")
    # After the change of user, which clears it.
    _die_with_parent(libc, orders.parent)
    _check(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(NO_NEW_PRIVS)")
    uid = os.getuid()
    if threads.count() != 1:  # what follows would not hold for the others
        raise OSError(f"{threads.count()} threads run before the walls stand; wanted is one")
    version = landlock.allow(libc, orders.left()) if orders.landlock else 0
    runs_on = _begin(orders, threads)
    _limit_the_rest(orders)  # after the ruleset and the compiler, which need descriptors
    seccomp.install(libc, orders.table)
    _try_the_door()
    return {"uid": uid, "landlock": version, "seccomp": True, "table": orders.table, **runs_on}


def _begin(orders: Orders, threads: cores.Threads) -> dict[str, str]:
    """Starts what computes, and says what it is."""
    if orders.library == "numpy":
        threads.close()
        return {"library": "numpy", "device": "cpu"}
    from rewardsmith.sandbox.inside import jax_arrays

    with threads.on_one_core():
        return {"library": "jax", **jax_arrays.begin()}


def _try_the_door() -> None:
    """Opens a directory that everybody may read: success means that no wall stands."""
    try:
        os.open("/", os.O_RDONLY)
    except OSError:
        return
    raise OSError("the walls were accepted by the kernel but do not hold")


def _keep_freed_memory() -> None:
    """Has large arrays reuse what earlier ones left, not ask the kernel for fresh pages each time.

    A call on 131,072 rows spends more time in page faults than in arithmetic otherwise.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc and its kin
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        set_option(_TRIM_THRESHOLD, _KEPT_BYTES)


def _region(orders: Orders) -> "mmap.mmap | bytearray":
    if orders.shared is None:
        return bytearray(orders.region_bytes)
    region = mmap.mmap(orders.shared, orders.region_bytes)
    # The mapping stays; the file behind it, of which ``mmap`` keeps a copy, need not.
    _close_all_but(orders.requests, orders.replies)
    return region


def launch(orders: Orders) -> None:
    """Becomes a locked worker and serves until the pipe closes."""
    if orders.walls:
        os.setsid()
        _die_with_parent(ctypes.CDLL(None, use_errno=True), orders.parent)
    _close_all_but(orders.requests, orders.replies, orders.shared)
    environment = dict(os.environ)
    from rewardsmith.sandbox.inside import probe, worker  # NumPy, while files can still be opened

    library = _loaded(orders)
    os.chdir("/")
    _keep_freed_memory()
    region = _region(orders)
    _silence()
    stands = _lock(orders) if orders.walls else _unlocked(orders)
    frames.write_frame(orders.replies, {"hello": 1, **stands, **worker.versions()})
    if orders.probe is not None:
        frames.write_frame(orders.replies, probe.findings(orders.probe, environment))
        probe.flood(orders.replies)
    worker.serve(orders.requests, orders.replies, region, library)


def _unlocked(orders: Orders) -> dict[str, Any]:
    """Starts what computes without any wall, for ``--sandbox none``."""
    nothing = {"uid": os.getuid(), "landlock": 0, "seccomp": False, "table": "none"}
    return {**nothing, **_begin(orders, cores.Threads())}


def _loaded(orders: Orders) -> "Library":
    """Imports the array library while files can still be opened."""
    from rewardsmith.sandbox.inside.library import NUMPY

    if orders.library == "numpy":
        return NUMPY
    from rewardsmith.sandbox.inside import jax_arrays

    jax_arrays.load(orders.device)
    return jax_arrays.JAX


def main() -> None:
    """Reads the orders, follows them, and reports on the reply pipe what could not be done."""
    orders = Orders(**json.loads(sys.argv[-1]))
    try:
        launch(orders)
    except EOFError:
        os._exit(0)
    except (OSError, ImportError, ValueError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            frames.write_frame(orders.replies, {"refused": str(error)[:500]})
        os._exit(CANNOT_CONFINE)
    os._exit(0)
