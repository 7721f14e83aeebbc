"""The filter's program, run by a small interpreter of its own for both machines."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from rewardsmith.sandbox.inside import landlock, launcher, outer, probe, seccomp
from rewardsmith.sandbox.inside.landlock import ruleset
from rewardsmith.sandbox.inside.seccomp import (
    AUDIT_ARCH,
    CALLS,
    CLONE,
    CLONE3,
    JAX_CALLS,
    MAPPING,
    allow_list,
)

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


def _verdict(
    machine: str,
    number: int,
    third: int = 0,
    arch: int | None = None,
    *,
    first: int = 0,
    table: str = "numpy",
) -> int:
    """Runs the assembled filter on one call, as the kernel would."""
    data = struct.pack("<iIQ6Q", number, arch or AUDIT_ARCH[machine], 0, first, 0, third, 0, 0, 0)
    code = allow_list(machine, table)
    program = [struct.unpack_from("<HBBI", code, at) for at in range(0, len(code), 8)]
    at, value = 0, 0
    while True:
        operation, if_true, if_false, k = program[at]
        at += 1
        if operation == 0x06:
            return int(k)
        if operation == 0x20:
            (value,) = struct.unpack_from("<I", data, k)
            continue
        holds = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[operation]
        at += if_true if holds else if_false


MACHINES = ("x86_64", "aarch64")


@pytest.mark.parametrize("machine", MACHINES)
def test_arithmetic_and_pipes_are_allowed(machine: str) -> None:
    column = MACHINES.index(machine)
    for numbers in CALLS.values():
        assert _verdict(machine, numbers[column]) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_everything_else_is_denied(machine: str) -> None:
    column = MACHINES.index(machine)
    allowed = {numbers[column] for numbers in (*CALLS.values(), *MAPPING.values())}
    for number in set(range(600)) - allowed:
        assert _verdict(machine, number) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_may_be_mapped_but_not_to_execute(machine: str) -> None:
    column = MACHINES.index(machine)
    for numbers in MAPPING.values():
        assert _verdict(machine, numbers[column], third=3) == ALLOW
        assert _verdict(machine, numbers[column], third=7) == EPERM
        assert _verdict(machine, numbers[column], third=4) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_with_jax_memory_may_be_executed_once_it_is_not_written(machine: str) -> None:
    column = MACHINES.index(machine)
    mmap, mprotect = MAPPING["mmap"][column], MAPPING["mprotect"][column]
    for protection, verdict in ((3, ALLOW), (1, ALLOW), (5, ALLOW), (7, EPERM), (6, EPERM)):
        assert _verdict(machine, mprotect, protection, table="jax") == verdict
    assert _verdict(machine, mmap, 5, table="jax") == EPERM, "fresh memory is never executable"
    assert _verdict(machine, mmap, 3, table="jax") == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_with_jax_two_calls_more_are_allowed(machine: str) -> None:
    column = MACHINES.index(machine)
    extra = {numbers[column] for numbers in JAX_CALLS.values()}
    known = {numbers[column] for numbers in (*CALLS.values(), *MAPPING.values())}
    for number in range(600):
        wanted = ALLOW if number in extra | known else EPERM
        assert _verdict(machine, number, table="jax") == wanted
    assert len(extra) == 2


@pytest.mark.parametrize("machine", MACHINES)
def test_with_cuda_threads_may_be_made_and_no_processes(machine: str) -> None:
    column = MACHINES.index(machine)
    clone = CLONE[column]
    thread, new_network = 0x10000, 0x40000000
    assert _verdict(machine, clone, first=thread | 0x100, table="cuda") == ALLOW
    assert _verdict(machine, clone, first=0x11, table="cuda") == EPERM, "a fork"
    assert _verdict(machine, clone, first=thread | new_network, table="cuda") == EPERM
    assert _verdict(machine, CLONE3[column], table="cuda") == ENOSYS, "libc then uses clone"
    assert _verdict(machine, clone, first=thread, table="jax") == EPERM
    assert _verdict(machine, clone, first=thread) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_with_cuda_neither_programs_nor_sockets_nor_traces(machine: str) -> None:
    column = MACHINES.index(machine)
    denied = {"execve": (59, 221), "socket": (41, 198), "ptrace": (101, 117), "kill": (62, 129)}
    for numbers in denied.values():
        assert _verdict(machine, numbers[column], table="cuda") == EPERM
    for name, numbers in MAPPING.items():
        assert _verdict(machine, numbers[column], 7, table="cuda") == EPERM, name


def test_a_table_that_is_not_there_is_refused() -> None:
    with pytest.raises(OSError, match="numpy, jax, cuda"):
        allow_list("x86_64", "torch")


def test_another_architecture_is_killed_and_x32_is_unknown() -> None:
    assert _verdict("x86_64", 0, arch=0x40000003) == KILL
    assert _verdict("aarch64", 63, arch=AUDIT_ARCH["x86_64"]) == KILL
    assert _verdict("x86_64", 0x40000000) == ENOSYS


def test_a_machine_without_a_table_is_refused() -> None:
    with pytest.raises(OSError, match="riscv64"):
        allow_list("riscv64")


def test_the_ruleset_grows_with_the_kernel() -> None:
    sizes = [len(ruleset(version)) for version in (1, 2, 3, 4, 5, 6, 7)]
    assert sizes == [8, 8, 8, 16, 16, 24, 24]
    (rights,) = struct.unpack_from("<Q", ruleset(5))
    assert rights == (1 << 16) - 1


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_numbers_are_those_of_the_names(
    machine: str, number_of: Callable[[str, str], int]
) -> None:
    """Checked against libseccomp's tables: a wrong number would open another call."""
    column = 0 if machine == "x86_64" else 1
    ours = {**seccomp.calls_of("cuda"), **seccomp.MAPPING, "seccomp": seccomp.SECCOMP}
    ours |= {"clone": CLONE, "clone3": CLONE3}
    ours = {name: numbers for name, numbers in ours.items() if numbers[column] >= 0}
    theirs = {name: number_of(name, machine) for name in ours}
    assert {name: numbers[column] for name, numbers in ours.items()} == theirs
    assert launcher._CAPSET[machine] == number_of("capset", machine)
    assert number_of("landlock_add_rule", machine) == landlock._ADD_RULE
    assert number_of("landlock_create_ruleset", machine) == landlock._CREATE_RULESET
    assert number_of("landlock_restrict_self", machine) == landlock._RESTRICT_SELF


PROBED = {
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "personality": (135, 92),
}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_the_probes_try_is_what_they_say(
    machine: str, number_of: Callable[[str, str], int]
) -> None:
    column = 0 if machine == "x86_64" else 1
    text = Path(outer.__file__).read_text() + Path(probe.__file__).read_text()
    for name, numbers in PROBED.items():
        assert number_of(name, machine) == numbers[column], name
        assert str(numbers[column]) in text
