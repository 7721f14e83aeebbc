"""System call filters that leave a locked worker only what arithmetic and two pipes need.

Each is a list of what is allowed: everything else, known or yet to be invented, fails with EPERM.
There is no exec, no fork, no socket, no signal. Numbers: Linux 6.1 ``asm/unistd_64.h`` and
``asm-generic/unistd.h``. The tables:

``numpy``: no open, no thread, and no memory that is both fresh and executable.
``jax``: the same, but memory may become executable once it is no longer writable, which is how a
compiler brings its code to run. Its threads were started before.
``cuda``: besides, what a GPU's driver asks for: threads, its devices' ``ioctl``, and opening what
Landlock leaves. It could not be measured for want of a GPU.
"""

import ctypes
import os
import platform
import struct

_X86_64 = 0xC000003E
_AARCH64 = 0xC00000B7
AUDIT_ARCH = {"x86_64": _X86_64, "aarch64": _AARCH64}

# name: (x86-64, aarch64)
CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "rt_sigreturn": (15, 139),
    "rt_sigprocmask": (14, 135),
    "sigaltstack": (131, 132),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "sched_yield": (24, 124),
    "restart_syscall": (219, 128),
    "membarrier": (324, 283),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# What XLA asks for on a CPU once it is warm (measured: jax 0.10.2, compiling and running).
JAX_CALLS = {"gettid": (186, 178), "sched_getaffinity": (204, 123)}
# What CUDA is known to ask for; file systems are left to Landlock, other processes stay out of it.
CUDA_CALLS = {
    "open": (2, -1),  # ARM64 has only the calls with a folder
    "openat": (257, 56),
    "close": (3, 57),
    "stat": (4, -1),
    "fstat": (5, 80),
    "lstat": (6, -1),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, -1),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, -1),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "poll": (7, -1),
    "ppoll": (271, 73),
    "pipe2": (293, 59),
    "eventfd2": (290, 19),
    "mincore": (27, 232),
    "mlock": (149, 228),
    "munlock": (150, 229),
    "get_mempolicy": (239, 236),
    "getpid": (39, 172),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrandom": (318, 278),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
}
# Allowed unless the third argument asks for executable memory.
MAPPING = {"mmap": (9, 222), "mprotect": (10, 226)}
CLONE, CLONE3 = (56, 220), (435, 435)
SECCOMP = (317, 277)
TABLES = ("numpy", "jax", "cuda")

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_X32_BIT = 0x40000000
_PROT_WRITE, _PROT_EXEC = 2, 4
_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020080  # a thread; a namespace of any kind
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT, _THIRD_ARGUMENT_AT = 0, 4, 16, 32
_FILTER_MODE, _ALL_THREADS = 1, 1


def _instruction(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, k)


def calls_of(table: str) -> dict[str, tuple[int, int]]:
    """Returns the calls that a table allows whatever their arguments are."""
    if table not in TABLES:
        raise OSError(f"no system call table {table!r}; there are {', '.join(TABLES)}")
    extra = {"numpy": {}, "jax": JAX_CALLS, "cuda": {**JAX_CALLS, **CUDA_CALLS}}[table]
    return {**CALLS, **extra}


def allow_list(machine: str, table: str = "numpy") -> bytes:
    """Assembles the filter for ``machine`` ("x86_64" or "aarch64") as an array of sock_filter.

    Raises:
        OSError: no table for this machine, or of this name.
    """
    if machine not in AUDIT_ARCH:
        known = ", ".join(AUDIT_ARCH)
        raise OSError(f"no system call table for {machine!r}; there are tables for {known}")
    column = 0 if machine == "x86_64" else 1
    program = [
        _instruction(_LOAD, _ARCH_AT),
        _instruction(_JUMP_EQUAL, AUDIT_ARCH[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [
            _instruction(_JUMP_AT_LEAST, _X32_BIT, 0, 1),
            _instruction(_RETURN, _ERRNO | _ENOSYS),
        ]
    for name, numbers in MAPPING.items():
        may_execute = table == "cuda" or (table == "jax" and name == "mprotect")
        program += _mapping(numbers[column], both=may_execute)
    if table == "cuda":
        program += _threads(column)
    for numbers in calls_of(table).values():
        program += [] if numbers[column] < 0 else _allowed(numbers[column])
    program.append(_instruction(_RETURN, _ERRNO | _EPERM))
    return b"".join(program)


def _allowed(number: int) -> list[bytes]:
    return [_instruction(_JUMP_EQUAL, number, 0, 1), _instruction(_RETURN, _ALLOW)]


def _mapping(number: int, *, both: bool) -> list[bytes]:
    """Denies executable memory, or, with ``both``, only such as is writable at once."""
    checks = [
        _instruction(_LOAD, _THIRD_ARGUMENT_AT),
        *([_instruction(_JUMP_SET, _PROT_WRITE, 0, 2)] if both else []),
        _instruction(_JUMP_SET, _PROT_EXEC, 0, 1),
        _instruction(_RETURN, _ERRNO | _EPERM),
        _instruction(_RETURN, _ALLOW),
    ]
    return [_instruction(_JUMP_EQUAL, number, 0, len(checks)), *checks]


def _threads(column: int) -> list[bytes]:
    """Allows ``clone`` for threads of this process alone; libc falls back to it from clone3."""
    return [
        _instruction(_JUMP_EQUAL, CLONE3[column], 0, 1),
        _instruction(_RETURN, _ERRNO | _ENOSYS),
        _instruction(_JUMP_EQUAL, CLONE[column], 0, 5),
        _instruction(_LOAD, _FIRST_ARGUMENT_AT),
        _instruction(_JUMP_SET, _CLONE_NEW, 1, 0),
        _instruction(_JUMP_SET, _CLONE_THREAD, 1, 0),
        _instruction(_RETURN, _ERRNO | _EPERM),
        _instruction(_RETURN, _ALLOW),
    ]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(libc: ctypes.CDLL, table: str = "numpy") -> None:
    """Puts the filter of ``table`` on every thread of this process, for good. Needs NO_NEW_PRIVS.

    Raises:
        OSError: the kernel refused; nothing was installed.
    """
    machine = platform.machine()
    code = allow_list(machine, table)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    number = SECCOMP[0 if machine == "x86_64" else 1]
    result = libc.syscall(number, _FILTER_MODE, _ALL_THREADS, ctypes.byref(program))
    # With TSYNC a positive result is the id of a thread that could not be filtered.
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"seccomp refused the filter: {os.strerror(error)}")
