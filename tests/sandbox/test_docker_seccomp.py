"""The filter around a container: what it lets through is named, and the names mean something."""

import json
from collections.abc import Callable

import pytest

from rewardsmith.sandbox.arrays import NUMPY
from rewardsmith.sandbox.docker import DockerBackend, _self_test
from rewardsmith.sandbox.docker_options import GVISOR, Settings
from rewardsmith.sandbox.docker_seccomp import (
    ALLOWED,
    ARCHITECTURES,
    NEW_NAMESPACES,
    profile,
    security_option,
)
from rewardsmith.sandbox.inside import outer, seccomp

# Ways into the kernel that no worker needs, with those of the newest kernels.
_NAMES = """
    acct add_key adjtimex bpf chmod chown chroot clock_adjtime clock_settime connect creat
    delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick init_module
    io_uring_enter io_uring_register io_uring_setup kcmp kexec_load keyctl link linkat listen
    lookup_dcookie mbind memfd_create memfd_secret mkdir mkdirat mknod mknodat modify_ldt mount
    mount_setattr move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open
    personality pidfd_getfd pidfd_open pivot_root process_madvise process_vm_readv
    process_vm_writev ptrace quotactl reboot rename request_key sendmsg setdomainname setgroups
    sethostname setns setresuid setuid shmget socket socketpair swapon symlink syslog umount2
    unlink unshare uselib userfaultfd vhangup vmsplice
"""
FORBIDDEN = _NAMES.split()


def test_nothing_is_allowed_that_is_not_named() -> None:
    assert profile()["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = [row for row in profile()["syscalls"] if row["action"] == "SCMP_ACT_ALLOW"]
    assert [row["names"] for row in allowed] == [list(ALLOWED), ["clone"]]
    assert len(ALLOWED) == len(set(ALLOWED)) < 150


def test_what_leads_out_or_into_the_kernel_is_not_named() -> None:
    assert set(FORBIDDEN) & {*ALLOWED, "clone"} == set()


def test_a_new_process_stays_in_its_namespaces() -> None:
    [row] = [row for row in profile()["syscalls"] if row["names"] == ["clone"]]
    assert row["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"
    assert row["args"][0]["value"] == NEW_NAMESPACES
    [hidden] = [row for row in profile()["syscalls"] if row["names"] == ["clone3"]]
    assert (hidden["action"], hidden["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_no_second_architecture_comes_with_the_first() -> None:
    assert all(row["subArchitectures"] == [] for row in profile()["archMap"])
    assert {row["architecture"] for row in profile()["archMap"]} == set(ARCHITECTURES)


def test_the_engine_is_given_the_text_itself() -> None:
    name, _, text = security_option().partition("=")
    assert name == "seccomp"
    assert json.loads(text) == profile()


def test_what_the_launchers_own_filter_leaves_passes_this_one_too() -> None:
    inner = {*seccomp.CALLS, *seccomp.MAPPING, "seccomp"}
    assert inner - set(ALLOWED) == set()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_name_is_one_that_a_library_of_filters_knows(
    machine: str, number_of: Callable[[str, str], int]
) -> None:
    """A misspelt name is passed over by engines without a word."""
    numbers = {name: number_of(name, machine) for name in (*ALLOWED, *FORBIDDEN)}
    assert [name for name, number in numbers.items() if number == -1] == []
    there = [name for name in ALLOWED if numbers[name] >= 0]
    assert {"openat", "execve", "mmap", "seccomp", "landlock_restrict_self"} <= set(there)


@pytest.mark.docker
def test_a_container_reaches_none_of_these_doors_before_the_launchers_filter(engine: str) -> None:
    checks = DockerBackend(Settings(base_url=engine)).self_test().checks
    tried = {check.name.removeprefix("docker alone: cannot ") for check in checks if check.passed}
    assert set(outer._filtered()) <= tried


@pytest.mark.docker
def test_without_the_filter_the_self_test_names_what_opened(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control."""
    where = "rewardsmith.sandbox.docker_options.security_option"
    monkeypatch.setattr(where, lambda *, gpu: "seccomp=unconfined")
    found = _self_test.__wrapped__(Settings(base_url=engine), NUMPY)
    opened = {check.name.removeprefix("docker alone: cannot ") for check in found.failed}
    assert {"open any socket", "make a namespace", "trace a process", "use keys"} <= opened
    assert not found.passed


def test_under_a_kernel_of_its_own_those_doors_are_not_tried() -> None:
    assert "use io_uring" in outer._attempts({"filtered": True, "canary": "x"})
    assert "use io_uring" not in outer._attempts({"filtered": False, "canary": "x"})
    assert GVISOR == "runsc"
