"""A system call filter that leaves a locked worker only what arithmetic and two pipes need.

It is a list of what is allowed: everything else, known or yet to be invented, fails with EPERM.
There is no open, no exec, no fork or thread, no socket, no signal, and no memory that is both
fresh and executable. Numbers: Linux 6.1 ``asm/unistd_64.h`` and ``asm-generic/unistd.h``.
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
# Allowed unless the third argument asks for executable memory.
MAPPING = {"mmap": (9, 222), "mprotect": (10, 226)}
SECCOMP = (317, 277)

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_X32_BIT = 0x40000000
_PROT_EXEC = 4
_NUMBER_AT, _ARCH_AT, _THIRD_ARGUMENT_AT = 0, 4, 32
_FILTER_MODE, _ALL_THREADS = 1, 1


def _instruction(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, k)


def allow_list(machine: str) -> bytes:
    """Assembles the filter for ``machine`` ("x86_64" or "aarch64") as an array of sock_filter.

    Raises:
        OSError: no table for this machine.
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
    for numbers in MAPPING.values():
        program += [
            _instruction(_JUMP_EQUAL, numbers[column], 0, 4),
            _instruction(_LOAD, _THIRD_ARGUMENT_AT),
            _instruction(_JUMP_SET, _PROT_EXEC, 0, 1),
            _instruction(_RETURN, _ERRNO | _EPERM),
            _instruction(_RETURN, _ALLOW),
        ]
    for numbers in CALLS.values():
        program += [
            _instruction(_JUMP_EQUAL, numbers[column], 0, 1),
            _instruction(_RETURN, _ALLOW),
        ]
    program.append(_instruction(_RETURN, _ERRNO | _EPERM))
    return b"".join(program)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(libc: ctypes.CDLL) -> None:
    """Puts the filter on every thread of this process, for good. Needs NO_NEW_PRIVS.

    Raises:
        OSError: the kernel refused; nothing was installed.
    """
    machine = platform.machine()
    code = allow_list(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    number = SECCOMP[0 if machine == "x86_64" else 1]
    result = libc.syscall(number, _FILTER_MODE, _ALL_THREADS, ctypes.byref(program))
    # With TSYNC a positive result is the id of a thread that could not be filtered.
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"seccomp refused the filter: {os.strerror(error)}")
