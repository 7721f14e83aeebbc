"""The ``bubblewrap`` backend holds, for root as for an ordinary user."""

import os
import signal
from pathlib import Path

import pytest

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox import bubblewrap as module
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.bubblewrap import BubblewrapBackend, command, find_bubblewrap
from rewardsmith.sandbox.conformance import BackendConformance

OPTIONS = "--disable-userns"


class TestBubblewrapBackend(BackendConformance):
    """All promises, on this machine, as this user."""

    @pytest.fixture(autouse=True)
    def _uses(self, bubblewrap: BubblewrapBackend) -> None:
        self.made = bubblewrap

    def backend(self) -> BubblewrapBackend:
        return self.made


def test_its_own_walls_hold_before_the_launchers_stand(bubblewrap: BubblewrapBackend) -> None:
    result = bubblewrap.self_test()
    assert result.failed == ()
    names = {check.name for check in result.checks}
    assert ("bubblewrap alone: cannot be the host's root" in names) == (os.geteuid() == 0)
    assert "bubblewrap alone: cannot change the kernel's settings" in names
    assert "bubblewrap alone: cannot write anywhere" in names
    assert "cannot start a process" in names, "the launcher's walls are inside as well"
    assert result.guarantees["memory"] == "hard"
    assert result.start_ms is not None
    assert result.start_ms < 10_000


def test_a_worker_is_nobody_without_rights(bubblewrap: BubblewrapBackend) -> None:
    worker = bubblewrap.start(Limits())
    try:
        assert worker.hello["uid"] == 65534
        [first] = (
            Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
            .read_text()
            .split()
        )
        [inside] = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        status = Path(f"/proc/{inside}/status").read_text()
        real = "65534" if os.getuid() == 0 else str(os.getuid())
        assert f"Uid:\t{real}\t{real}\t{real}\t{real}" in status, "not the kernel's root"
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
    finally:
        assert worker.stop() == -signal.SIGKILL


def test_the_programs_in_between_were_started_without_keys(
    bubblewrap: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bwrap stays as process 1 inside, where its environment could be read."""
    monkeypatch.setenv("SOME_API_KEY", "canary-of-the-parent")
    worker = bubblewrap.start(Limits())
    try:
        outside = worker.process.pid
        [first] = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()
        for pid in (str(outside), first):
            found = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"PATH=" in found
            assert b"canary" not in found
    finally:
        worker.stop()


def _after(arguments: list[str], flag: str) -> set[tuple[str, str]]:
    return {
        (arguments[at + 1], arguments[at + 2])
        for at, argument in enumerate(arguments)
        if argument == flag
    }


@pytest.mark.parametrize("root", [True, False])
def test_the_command_shows_libraries_and_nothing_else(root: bool) -> None:
    arguments = command("/usr/bin/bwrap", "{}", root=root, options=OPTIONS)
    shown = {source for source, _ in _after(arguments, "--ro-bind")}
    assert "/usr" in shown
    for private in (str(Path.home()), "/", "/home", "/root", "/tmp", "/etc", str(Path.cwd())):
        assert private not in shown
    assert not {"--bind", "--dev-bind", "--tmpfs", "--share-net"} & set(arguments)
    assert "--die-with-parent" in arguments
    last = [at for at, argument in enumerate(arguments) if argument == "--remount-ro"]
    assert [arguments[at + 1] for at in last] == ["/dev", "/"], "nothing is left to be written"
    assert max(last) > max(at for at, argument in enumerate(arguments) if argument == "--ro-bind")


def test_root_becomes_another_user_and_gets_no_user_namespace() -> None:
    arguments = command("/usr/bin/bwrap", "{}", root=True, options=OPTIONS)
    assert "--unshare-user" not in arguments
    assert "--unshare-all" not in arguments, "it would try a user namespace"
    tail = arguments[arguments.index("--") + 1 :]
    assert tail[0].endswith("setpriv")
    assert tail[tail.index("--reuid") + 1] == "65534"
    assert {"--clear-groups", "--bounding-set=-all", "--no-new-privs"} <= set(tail)
    for flag in ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"):
        assert flag in arguments


def test_an_ordinary_user_must_get_a_user_namespace() -> None:
    """``--unshare-all`` alone would go on without one."""
    arguments = command("/usr/bin/bwrap", "{}", root=False, options=OPTIONS)
    assert {"--unshare-user", "--unshare-all", "--disable-userns"} <= set(arguments)
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    older = command("/usr/bin/bwrap", "{}", root=False, options="")
    assert "--disable-userns" not in older, "not known before 0.8; the launcher denies it anyway"


def test_folders_on_the_way_can_be_entered_and_are_made_outer_first() -> None:
    arguments = command("/usr/bin/bwrap", "{}", root=True, options=OPTIONS)
    made = [arguments[at + 1] for at, argument in enumerate(arguments) if argument == "--dir"]
    assert made == sorted(made)
    assert "/app" in made
    for at, argument in enumerate(arguments):
        if argument == "--dir":
            assert arguments[at - 2 : at] == ["--perms", "0755"]


def test_without_bubblewrap_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_SYSTEM_PLACES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_bubblewrap() is None
    with pytest.raises(SandboxUnavailable, match="bwrap was not found"):
        BubblewrapBackend().start(Limits())


def test_a_bubblewrap_that_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(module, "_SYSTEM_PLACES", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match=r"did not start .*exit status 1"):
        BubblewrapBackend().start(Limits())


def test_the_systems_own_bubblewrap_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system, other = tmp_path / "system", tmp_path / "other"
    for folder in (system, other):
        folder.mkdir()
        (folder / "bwrap").write_text("")
        (folder / "bwrap").chmod(0o755)
    monkeypatch.setattr(module, "_SYSTEM_PLACES", str(system))
    monkeypatch.setenv("PATH", str(other))
    assert find_bubblewrap() == str(system / "bwrap")
