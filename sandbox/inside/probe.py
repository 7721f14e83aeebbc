"""Tries every door from inside the walls and reports which opened: the enforcement self-test.

Every attempt is dry and bounded: nothing is changed where a wall is missing.
"""

import _thread
import contextlib
import ctypes
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

ALLOWED_ENVIRONMENT = frozenset(
    [
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "PYTHONHASHSEED",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "LC_CTYPE",
        "PWD",  # bubblewrap says where it starts: in "/"
    ]
)


def _read(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def _create(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink(path)  # noqa: PTH108 - system calls alone are tried here


def _connect_family(family: int) -> Callable[[], None]:
    return lambda: socket.socket(family, socket.SOCK_STREAM).close()


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _start_thread() -> None:
    _thread.start_new_thread(len, ((),))


def _execute() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def _allocate(count: int) -> None:
    with mmap.mmap(-1, count):
        pass


def _executable_memory() -> None:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
        pass


def _system_call(*arguments: Any) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def call() -> None:
        if libc.syscall(*arguments) < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    return call


def _attempts(orders: Mapping[str, Any]) -> dict[str, Callable[[], None]]:
    canary, parent = orders["canary"], orders["parent"]
    arm = orders["machine"] == "aarch64"
    return {
        "read a file": lambda: _read(canary),
        "list a directory": lambda: _read("/"),
        "write a file": lambda: _create(canary + ".written"),
        "read another process": lambda: _read(f"/proc/{parent}/environ"),
        "open an internet socket": _connect_family(socket.AF_INET),
        "open a local socket": _connect_family(socket.AF_UNIX),
        "start a process": _fork,
        "start a thread": _start_thread,
        "execute a program": _execute,
        "signal its parent": lambda: os.kill(parent, 0),
        "trace a process": _system_call(117 if arm else 101, 0, 0, 0, 0),
        "make a memory file": lambda: os.close(os.memfd_create("probe")),
        "make a namespace": _system_call(97 if arm else 272, 0x10000000),
        "use io_uring": _system_call(425, 1, 0),
        "map executable memory": _executable_memory,
        "go over the memory limit": lambda: _allocate(orders["memory_bytes"] * 3 // 2),
    }


def _opened(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError, subprocess.SubprocessError):
        return False
    return True


def findings(orders: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns which doors opened, and which environment variables came along unasked.

    Of the doors, those of ``left_out`` are not tried. ``outer`` is what was tried before the
    launcher's walls stood, where anything was.
    """
    left_out = orders.get("left_out", ())
    attempts = {name: do for name, do in _attempts(orders).items() if name not in left_out}
    opened = [name for name, attempt in attempts.items() if _opened(attempt)]
    unknown = sorted(name for name in environment if name not in ALLOWED_ENVIRONMENT)
    return {
        "tried": list(attempts),
        "opened": opened,
        "environment": unknown,
        "outer": orders.get("outer_found"),
    }


def flood(descriptor: int) -> NoReturn:
    """Sends what nobody asked for until it is ended."""
    while True:
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\xff" * (1 << 16))
