"""The rules for files: what is asked of the kernel, and that it keeps them."""

import ctypes
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.sandbox.inside import landlock


class _Kernel:
    """A C library whose system calls answer from a list, and which remembers them."""

    def __init__(self, *answers: int) -> None:
        self._answers = list(answers)
        self.calls: list[tuple[object, ...]] = []

    def syscall(self, *arguments: object) -> int:
        self.calls.append(arguments)
        return self._answers.pop(0)


def test_a_kernel_without_landlock_is_version_zero_and_refused() -> None:
    assert landlock.abi(_Kernel(-1)) == 0  # type: ignore[arg-type]
    with pytest.raises(OSError, match=r"needed: Linux 5\.13"):
        landlock.deny_all(_Kernel(-1))  # type: ignore[arg-type]


def test_a_refused_ruleset_is_an_error_and_nothing_is_claimed() -> None:
    kernel = _Kernel(3, -1)
    with pytest.raises(OSError, match="create_ruleset"):
        landlock.deny_all(kernel)  # type: ignore[arg-type]
    assert len(kernel.calls) == 2


def test_a_refused_restriction_is_an_error() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="restrict_self"):
            landlock.deny_all(_Kernel(3, reader, -1))  # type: ignore[arg-type]
    finally:
        os.close(reader)
        os.close(writer)


def test_success_returns_the_version_and_closes_the_ruleset() -> None:
    reader, writer = os.pipe()
    kernel = _Kernel(4, reader, 0)
    assert landlock.deny_all(kernel) == 4  # type: ignore[arg-type]
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    assert [call[0] for call in kernel.calls] == [444, 444, 446]


@pytest.mark.parametrize("version", range(1, 9))
def test_every_right_that_a_version_knows_is_handled(version: int) -> None:
    attribute = landlock.ruleset(version)
    (rights,) = struct.unpack_from("<Q", attribute)
    count = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    assert rights == (1 << count) - 1
    if version >= 4:
        assert struct.unpack_from("<Q", attribute, 8) == (3,)
    if version >= 6:
        assert struct.unpack_from("<Q", attribute, 16) == (3,)


_LOCKED = """
import ctypes, os
from rewardsmith.sandbox.inside import landlock
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
version = landlock.deny_all(libc)
attempts = (
    lambda: os.listdir("/"), lambda: open("/etc/hostname"), lambda: os.mkdir("/tmp/of-landlock")
)
for attempt in attempts:
    try:
        attempt()
    except PermissionError:
        continue
    raise SystemExit("a door was open")
print(version)
"""


def test_the_kernel_keeps_the_rules() -> None:
    if landlock.abi(ctypes.CDLL(None, use_errno=True)) < 1:
        pytest.fail("this kernel has no Landlock; the process sandbox cannot be used here")
    done = subprocess.run(
        [sys.executable, "-c", _LOCKED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) >= 1


_WITH_A_LIST = """
import ctypes, os, sys
from rewardsmith.sandbox.inside import landlock
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
folder = sys.argv[1]
landlock.allow(libc, {folder: False, "/dev/null": True, "/no/such/device": True})
assert open(folder + "/seen").read() == "seen"
os.write(os.open("/dev/null", os.O_RDWR), b"x")
refused = 0
for attempt in (
    lambda: open(folder + "/seen", "w"), lambda: open(folder + "/new", "w"),
    lambda: open("/etc/hostname"), lambda: os.listdir("/"), lambda: open("/dev/zero"),
    lambda: os.unlink(folder + "/seen"),
):
    try:
        attempt()
    except PermissionError:
        refused += 1
print("refused", refused)
"""


def test_of_a_list_folders_are_read_and_devices_spoken_to_and_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "seen").write_text("seen")
    done = subprocess.run(
        [sys.executable, "-c", _WITH_A_LIST, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "refused 6\n", done.stderr


def test_rights_are_those_of_the_kernels_header() -> None:
    assert landlock.rights(device=False) == 0b1101
    assert landlock.rights(device=True) == 0b1111 | 1 << 15


def test_a_rule_that_the_kernel_refuses_is_an_error() -> None:
    with pytest.raises(OSError, match="add_rule failed for /dev/null"):
        landlock.allow(_Kernel(5, 3, -1), {"/dev/null": True})  # type: ignore[arg-type]
