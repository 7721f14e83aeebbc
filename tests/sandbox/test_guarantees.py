"""A promise is worth its trials, and whoever insists on one is not given less."""

import pytest

from rewardsmith.errors import ConfigError, SandboxUnavailable
from rewardsmith.sandbox.backend import Backend, SelfTest, choose
from rewardsmith.sandbox.backends import resolve
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
