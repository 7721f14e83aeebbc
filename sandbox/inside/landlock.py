"""Landlock with an empty list: no path of any file system may be used, in any way.

Or, for a GPU's driver, with a list of what it cannot do without.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Mapping

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
# Rights by the ABI version that brought them (Linux ``uapi/linux/landlock.h``).
_FIRST_RIGHTS = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_BENEATH = 1
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
    return allow(libc, {})


def allow(libc: ctypes.CDLL, paths: Mapping[str, bool]) -> int:
    """Leaves of all paths only some, to be read, and returns Landlock's version.

    Holds for the thread that asks and for those that it starts. Needs NO_NEW_PRIVS.

    Args:
        libc: the C library.
        paths: folders and files; those with True, devices, may be written to and spoken to as well.
            What is not there is left out.

    Raises:
        OSError: the kernel has no Landlock, or refused.
    """
    version = abi(libc)
    if version < 1:
        raise OSError("this kernel has no Landlock (needed: Linux 5.13 with `landlock` in lsm=)")
    attribute = ruleset(version)
    (handled,) = struct.unpack_from("<Q", attribute)
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    descriptor = libc.syscall(_CREATE_RULESET, buffer, ctypes.c_size_t(len(attribute)), 0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset failed")
    for path, device in paths.items():
        _add(libc, descriptor, path, rights(device=device) & handled)
    if libc.syscall(_RESTRICT_SELF, descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self failed")
    os.close(descriptor)
    return version


def rights(*, device: bool) -> int:
    """Returns what may be done with a path of a list."""
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    return reading | _WRITE_FILE | _IOCTL_DEV if device else reading


def _add(libc: ctypes.CDLL, ruleset: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= _FOR_FILES  # the kernel refuses a folder's rights on a file
        rule = struct.pack("<Qi", allowed, place)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        if libc.syscall(_ADD_RULE, ruleset, _BENEATH, buffer, 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule failed for {path}")
    finally:
        os.close(place)
