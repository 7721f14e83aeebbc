"""Tries what a backend's own walls keep, before the launcher's stand: is anything there without it?

Started in place of the launcher, which it hands over to. Only for self-tests does it try anything;
every attempt is dry and bounded: nothing is changed where a wall is missing.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rewardsmith.sandbox.inside import launcher

ALLOWED = frozenset(
    [
        "PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "PYTHONHASHSEED", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE",
        "HOSTNAME", "PWD", "TERM", "container",
    ]
)  # fmt: skip

_WRITABLE_ELSEWHERE = (
    "/", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/dev", "/run", "/usr", "/etc", "/home",
)  # fmt: skip
_MOST_FORKS = 64
_GET_NO_NEW_PRIVS = 39
_STEP = 1 << 24
_BUSY_S = 0.4
_DENIED = (errno.EPERM, errno.ENOSYS, errno.EACCES)
_VSOCK = 40


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def _foreign_environment() -> bool:
    """Whether the environment of any process in sight names something that no worker is given."""
    for process in os.listdir("/proc"):  # noqa: PTH208 - the worker has no pathlib to spare
        if not process.isdigit():
            continue
        with contextlib.suppress(OSError):
            names = {
                entry.split(b"=", 1)[0].decode("utf-8", "replace")
                for entry in _read(f"/proc/{process}/environ").split(b"\0")
                if entry
            }
            if names - ALLOWED:
                return True
    return False


def _can_create_in(folder: str) -> bool:
    path = f"{folder}/rewardsmith-probe-{os.getpid()}"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:
        return False
    with contextlib.suppress(OSError):  # a filter may leave creating and deny this
        os.unlink(path)  # noqa: PTH108 - as above
    return True


def _can_open(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _can_connect(family: int, address: Any) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(address)
    except OSError:
        return False
    return True


def _can_make_socket(family: int) -> bool:
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _reaches_kernel(numbers: tuple[int, int], *arguments: Any) -> bool:
    """Whether the kernel answers a system call, be it with an error of its own.

    Args:
        numbers: on x86-64 and on ARM64.
        arguments: such that nothing is changed where it is answered.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    number = numbers[os.uname().machine == "aarch64"]
    result: int = libc.syscall(number, *arguments)
    return result >= 0 or ctypes.get_errno() not in _DENIED


def _has_rights() -> bool:
    """Whether a capability is left, or one could be had by executing something."""
    lines = _read("/proc/self/status").decode().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    # A kernel that does not say (gVisor names no ambient ones) has to deny what is tried later.
    left = any(int(status.get(name, "0"), 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"))
    return left or ctypes.CDLL(None).prctl(_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1


def _is_root_outside() -> bool:
    """Whether this user is root to whoever made the user namespace, whatever it is called here."""
    for line in _read("/proc/self/uid_map").decode().splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= os.getuid() < inside + count:
            return outside + os.getuid() - inside == 0
    return False


def _wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _can_fork_many() -> bool:
    """Forks at most ``_MOST_FORKS`` children that do nothing, and ends them again."""
    children = []
    try:
        for _ in range(_MOST_FORKS):
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError:
        return False
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return True


def _can_use_more_than(cores: float) -> bool:
    """Whether three busy children together get clearly more time than ``cores`` have."""
    before, began = os.times(), time.monotonic()
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            while time.monotonic() < began + _BUSY_S:
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    after, took = os.times(), time.monotonic() - began
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    # A quota counts in periods of a tenth of a second: at both ends a little more is had.
    return used > (took + 0.15) * cores * 1.1


def _can_fill(count: int) -> bool:
    """Whether a child can touch ``count`` bytes; the child ends there in any case."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError, MemoryError, ValueError):
            region = mmap.mmap(-1, count)
            for first in range(0, count, _STEP):
                region[first : first + _STEP] = b"x" * min(_STEP, count - first)
            os._exit(0)
        os._exit(1)
    return _wait_for(child) == 0


def _attempts(orders: Mapping[str, Any]) -> dict[str, Callable[[], bool]]:
    attempts: dict[str, Callable[[], bool]] = {
        "read a file": lambda: _can_open(orders["canary"], os.O_RDONLY),
        "see a stranger's environment": _foreign_environment,
        "reach the host's network": lambda: _can_connect(
            socket.AF_INET, ("127.0.0.1", orders["port"])
        ),
        "reach the host's abstract sockets": lambda: _can_connect(
            socket.AF_UNIX, "\0" + orders["abstract"]
        ),
        "write anywhere": lambda: any(
            _can_create_in(folder)
            for folder in (*_WRITABLE_ELSEWHERE, os.path.dirname(orders["canary"]))  # noqa: PTH120
        ),
        "change the kernel's settings": lambda: _can_open(
            "/proc/sys/kernel/core_pattern", os.O_WRONLY
        ),
        "use capabilities": _has_rights,
    }
    # Namespaces in namespaces hide who a user is to the kernel; whoever is not root makes none.
    if orders.get("by_root", True):
        attempts["be the host's root"] = _is_root_outside
    if "forks" in orders:
        attempts["start many processes"] = _can_fork_many
    if orders.get("filtered"):
        attempts |= _filtered()
    if "cores" in orders:
        attempts["use a second core"] = lambda: _can_use_more_than(orders["cores"])
    if "fill_bytes" in orders:
        attempts["go over the memory limit"] = lambda: _can_fill(orders["fill_bytes"])
    return attempts


def _filtered() -> dict[str, Callable[[], bool]]:
    """Doors that lead into the kernel itself: a backend with a filter of its own closes them."""
    return {
        "open any socket": lambda: any(
            map(_can_make_socket, (socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK))
        ),
        "open a socket to a hypervisor": lambda: _can_make_socket(_VSOCK),
        "use io_uring": lambda: _reaches_kernel((425, 425), 1, None),
        "use userfaultfd": lambda: _reaches_kernel((323, 282), -1),
        "use bpf": lambda: _reaches_kernel((321, 280), -1, None, 0),
        "use performance events": lambda: _reaches_kernel((298, 241), None, 0, -1, -1, 0),
        "use keys": lambda: _reaches_kernel((250, 219), -1),
        "trace a process": lambda: _reaches_kernel((101, 117), 16, 0, None, None),
        "read another's memory": lambda: _reaches_kernel(
            (310, 270), os.getpid(), None, 0, None, 0, 0
        ),
        "make a namespace": lambda: _reaches_kernel((272, 97), 0),
        "enter a namespace": lambda: _reaches_kernel((308, 268), -1, 0),
        "mount by the newer calls": lambda: _reaches_kernel((428, 428), -1, None, -1),
        "change its personality": lambda: _reaches_kernel((135, 92), -1),
    }


def try_all(orders: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns what was tried and what opened, by name."""
    attempts = _attempts(orders)
    return {
        "tried": list(attempts),
        "opened": [name for name, attempt in attempts.items() if attempt()],
    }


def main() -> None:
    """Tries the walls where the orders say so, then becomes the launcher."""
    orders = json.loads(sys.argv[-1])
    probe = orders.get("probe") or {}
    if "outer" in probe:
        began = time.monotonic()
        found = try_all(probe["outer"])
        probe["outer_found"] = {**found, "took_ms": int((time.monotonic() - began) * 1000)}
        sys.argv[-1] = json.dumps(orders)
    launcher.main()
