"""A promise is worth its trials, and whoever insists on one is not given less."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rewardsmith.errors import ConfigError, SandboxUnavailable
from rewardsmith.sandbox.backend import STRENGTH, UNCONFINED, Backend, SelfTest, choose
from rewardsmith.sandbox.backends import resolve
from rewardsmith.sandbox.docker import GUARANTEES as DOCKER_GUARANTEES
from rewardsmith.sandbox.guarantees import (
    KINDS,
    PROOFS,
    Check,
    Guarantee,
    asked,
    lacking,
    proven,
    required,
)
from rewardsmith.sandbox.process import LAUNCHER_GUARANTEES

EVERY_DOOR = sorted({door for doors in PROOFS.values() for door in doors})


def checks(*doors: str, passed: bool = True, prefix: str = "") -> list[Check]:
    return [Check(f"{prefix}cannot {door}", passed, "denied") for door in doors]


def held(name: str, **guarantees: Guarantee) -> SelfTest:
    return SelfTest(name, tuple(checks("read a file")), guarantees)


def test_a_promise_whose_trials_were_all_passed_is_hard() -> None:
    claimed: dict[str, Guarantee] = dict.fromkeys(KINDS, "hard")
    assert proven(claimed, checks(*EVERY_DOOR)) == claimed


@pytest.mark.parametrize("door", EVERY_DOOR)
def test_a_promise_is_soft_where_one_trial_is_missing_or_failed(door: str) -> None:
    claimed: dict[str, Guarantee] = dict.fromkeys(KINDS, "hard")
    others = checks(*(other for other in EVERY_DOOR if other != door))
    softened = {kind for kind, doors in PROOFS.items() if door in doors}
    for tried in (others, others + checks(door, passed=False)):
        found = proven(claimed, tried)
        assert {kind for kind in KINDS if found[kind] == "soft"} == softened


def test_trials_from_behind_a_backends_own_walls_count_as_well() -> None:
    assert proven({"cpu": "hard"}, checks("use a second core", prefix="docker alone: ")) == {
        "cpu": "hard"
    }


def test_what_is_not_claimed_is_not_given() -> None:
    assert proven({"cpu": "soft"}, checks(*EVERY_DOOR)) == {"cpu": "soft"}


def test_requirements_are_read_from_one_text() -> None:
    assert required("") == {}
    assert required("memory=hard, cpu=soft") == {"memory": "hard", "cpu": "soft"}


@pytest.mark.parametrize(
    "text", ["memory", "memory=firm", "memory=none", "speed=hard", "cpu=hard,cpu=soft", "=hard"]
)
def test_requirements_that_mean_nothing_are_the_callers_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match="at most once, as hard or soft"):
        required(text)


def test_what_is_held_softer_than_wanted_is_named() -> None:
    have: dict[str, Guarantee] = {"memory": "hard", "cpu": "soft"}
    assert lacking(have, {"memory": "soft", "cpu": "soft"}) == ()
    assert lacking(have, {"cpu": "hard", "disk": "soft"}) == (
        ("cpu", "soft", "hard"),
        ("disk", "none", "soft"),
    )


def test_auto_passes_over_what_is_too_soft_and_says_so() -> None:
    tests = {"docker": held("docker", cpu="soft"), "process": held("process", cpu="hard")}
    name, reasons = choose("auto", tests, {"cpu": "hard"})
    assert name == "process"
    assert "docker: cpu is soft, hard is required" in reasons[0]
    assert choose("auto", tests, {"cpu": "soft"})[0] == "docker"


@pytest.mark.parametrize("requested", ["auto", "docker"])
def test_what_nobody_holds_is_refused_with_the_remedy(requested: str) -> None:
    with pytest.raises(SandboxUnavailable, match="engine that has CPU quotas") as caught:
        choose(requested, {"docker": held("docker", cpu="soft")}, {"cpu": "hard"})
    assert caught.value.exit_code == 3


def test_no_walls_hold_nothing() -> None:
    assert choose("none", {}, {})[0] == "none"
    for kind in KINDS:
        with pytest.raises(SandboxUnavailable, match=f"none: {kind} is none, soft is required"):
            choose("none", {}, {kind: "soft"})


def test_the_requirement_travels_with_the_word() -> None:
    assert asked("auto") == "auto"
    assert resolve(asked("process", "memory=hard")).name == "process"
    with pytest.raises(SandboxUnavailable, match="process: cpu is soft"):
        resolve(asked("process", "cpu=hard"))


def test_every_backend_proves_what_it_claims(backend: Backend) -> None:
    """On this machine nothing has to be taken back: each hard promise was tried."""
    found = backend.self_test()
    assert found.passed, found.failed
    soft = {kind for kind in KINDS if found.guarantees[kind] != "hard"}
    assert soft == (set() if backend.name == "docker" else {"cpu"})


CLAIMED: Mapping[str, Mapping[str, Guarantee]] = {
    "docker": DOCKER_GUARANTEES,
    "bubblewrap": LAUNCHER_GUARANTEES,
    "process": LAUNCHER_GUARANTEES,
}


def table(root: Path, first: str) -> tuple[list[str], dict[str, list[str]]]:
    """The columns and the rows of the table in the documentation that begins so."""
    lines = (root / "docs" / "sandbox.md").read_text().splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith(f"| {first} |")]
    rows = []
    while lines[at].startswith("|"):
        rows.append([cell.strip() for cell in lines[at].strip("|").split("|")])
        at += 1
    return rows[0][1:], {row[0]: row[1:] for row in rows[2:]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_documentation_says_what_each_backend_holds_and_how_it_is_proven(
    kind: str, root: Path
) -> None:
    columns, rows = table(root, "limit")
    assert (*columns[:-1],) == STRENGTH
    assert tuple(rows) == KINDS
    *strengths, trials = rows[kind]
    said = {
        name: cell.split(":")[0].split(" ")[0]
        for name, cell in zip(STRENGTH, strengths, strict=True)
    }
    assert said == {name: CLAIMED[name][kind] for name in STRENGTH}
    assert trials == ", ".join(PROOFS[kind])


def test_the_documentation_says_from_whom_each_thing_is_kept(root: Path) -> None:
    columns, rows = table(root, "what is kept")
    assert {"docker + gVisor", *columns} == {*STRENGTH, UNCONFINED, "docker + gVisor"}
    assert [name.split()[0] for name in rows] == [f"A{number}" for number in range(1, 11)]
    nothing = {name.split()[0] for name, cells in rows.items() if cells[-1] == "-"}
    assert nothing == {"A1", "A2", "A3", "A4", "A5", "A8"}, "no walls keep nothing of the machine"
