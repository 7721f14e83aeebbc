"""The probe of a backend's own walls finds the holes: first of all where there are no walls."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.sandbox.inside import launcher, outer

_TRY = (
    "import json, sys; from rewardsmith.sandbox.inside import outer; "
    "print(json.dumps(outer.try_all(json.loads(sys.argv[1]))))"
)


def _tried(orders: dict[str, Any], *before: str, **variables: str) -> dict[str, list[str]]:
    """Runs the probe in a process of its own, without any wall but what ``before`` puts up."""
    done = subprocess.run(
        [*before, sys.executable, "-c", _TRY, json.dumps(orders)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_where_nothing_confines_every_door_is_open(tmp_path: Path) -> None:
    """The positive control of the enforcement self-test."""
    canary = tmp_path / "canary"
    canary.write_text("found")
    with (
        socket.create_server(("127.0.0.1", 0)) as inet,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local,
    ):
        name = f"rewardsmith-control-{os.getpid()}"
        local.bind(f"\0{name}")
        local.listen(1)
        orders = {
            "canary": str(canary),
            "port": inet.getsockname()[1],
            "abstract": name,
            "forks": True,
            "fill_bytes": 1 << 25,
        }
        found = _tried(orders, SOME_API_KEY="canary")
    for_root = {
        "change the kernel's settings",
        "use capabilities",
        "be the host's root",
    }
    closed = set(found["tried"]) - set(found["opened"])
    assert closed <= (for_root if os.getuid() != 0 else {"change the kernel's settings"}), closed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["canary"], "nothing was left"


def test_a_limit_on_memory_is_noticed(tmp_path: Path) -> None:
    orders = {
        "canary": str(tmp_path / "no"),
        "port": 1,
        "abstract": "no",
        "fill_bytes": 1 << 30,
    }
    found = _tried(orders, "prlimit", "--as=536870912")
    assert "go over the memory limit" in found["tried"]
    assert "go over the memory limit" not in found["opened"]
    assert "start many processes" not in found["tried"], "only where it was asked for"


def test_a_folder_that_may_be_written_is_noticed(tmp_path: Path) -> None:
    assert outer._can_create_in(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert not outer._can_create_in(str(tmp_path / "missing"))


def test_strangers_are_those_that_no_worker_is_given() -> None:
    assert outer._foreign_environment(), "this very process has more variables than that"


@pytest.mark.skipif(os.getuid() != 0, reason="rights are root's")
def test_rights_are_noticed() -> None:
    assert outer._has_rights()
    assert outer._is_root_outside() == (outer._read("/proc/self/uid_map").split()[1] == b"0")


def test_without_orders_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(launcher, "main", lambda: called.append(sys.argv[-1]))
    for orders in ({"probe": None}, {"probe": {"canary": "x"}}):
        monkeypatch.setattr(sys, "argv", ["-c", json.dumps(orders)])
        outer.main()
    assert called == [json.dumps({"probe": None}), json.dumps({"probe": {"canary": "x"}})]


def test_what_was_found_is_handed_on_to_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(launcher, "main", lambda: called.append(sys.argv[-1]))
    monkeypatch.setattr(outer, "try_all", lambda orders: {"tried": ["a"], "opened": []})
    monkeypatch.setattr(sys, "argv", ["-c", json.dumps({"probe": {"outer": {}}})])
    outer.main()
    found = json.loads(called[0])["probe"]["outer_found"]
    assert found.pop("took_ms") >= 0
    assert found == {"tried": ["a"], "opened": []}
