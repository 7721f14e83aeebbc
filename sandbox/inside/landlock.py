"""Landlock with an empty list: no path of any file system may be used, in any way."""

import ctypes
import os
import struct

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_VERSION_FLAG = 1
# Rights by the ABI version that brought them (Linux ``uapi/linux/landlock.h``).
_FIRST_RIGHTS = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_TCP_BIND_AND_CONNECT = 3
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3


def abi(libc: ctypes.CDLL) -> int:
    """Returns the kernel's Landlock version, 0 where there is none."""
    version: int = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    return max(version, 0)


def ruleset(version: int) -> bytes:
    """Returns the attribute that handles, and so denies, every right known to ``version``."""
    rights = _FIRST_RIGHTS
    rights |= _REFER if version >= 2 else 0
    rights |= _TRUNCATE if version >= 3 else 0
    rights |= _IOCTL_DEV if version >= 5 else 0
    attribute = struct.pack("<Q", rights)
    if version >= 4:
        attribute += struct.pack("<Q", _TCP_BIND_AND_CONNECT)
    if version >= 6:
        attribute += struct.pack("<Q", _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    return attribute


def deny_all(libc: ctypes.CDLL) -> int:
    """Takes away every right that Landlock governs and returns its version. Needs NO_NEW_PRIVS.

    Raises:
        OSError: the kernel has no Landlock, or refused.
    """
    version = abi(libc)
    if version < 1:
        raise OSError("this kernel has no Landlock (needed: Linux 5.13 with `landlock` in lsm=)")
    attribute = ruleset(version)
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    descriptor = libc.syscall(_CREATE_RULESET, buffer, ctypes.c_size_t(len(attribute)), 0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset failed")
    if libc.syscall(_RESTRICT_SELF, descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self failed")
    os.close(descriptor)
    return version
