"""The choice of a backend is a pure function, and never a silent step down."""

import pytest

from rewardsmith.errors import ConfigError, SandboxUnavailable
from rewardsmith.sandbox.backend import SelfTest, choose
from rewardsmith.sandbox.backends import (
    engine_is_configured,
    fresh_choice,
    resolve,
    self_tests,
    step_down,
)
from rewardsmith.sandbox.guarantees import Check
from rewardsmith.sandbox.process import ProcessBackend


def _test(name: str, *, passed: bool) -> SelfTest:
    return SelfTest(name, (Check("cannot read a file", passed, "it could", "Install Linux."),))


def test_auto_takes_the_strongest_that_passes() -> None:
    tests = {name: _test(name, passed=True) for name in ("process", "bubblewrap", "docker")}
    assert choose("auto", tests)[0] == "docker"
    tests["docker"] = _test("docker", passed=False)
    name, reasons = choose("auto", tests)
    assert name == "bubblewrap"
    assert "docker: cannot read a file: it could" in reasons[0]


def test_where_nothing_passes_nothing_is_chosen() -> None:
    with pytest.raises(SandboxUnavailable) as caught:
        choose("auto", {"process": _test("process", passed=False)})
    assert "process: cannot read a file: it could. Install Linux." in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_backend_asked_for_by_name_has_no_substitute() -> None:
    tests = {"process": _test("process", passed=True), "docker": _test("docker", passed=False)}
    with pytest.raises(SandboxUnavailable):
        choose("docker", tests)
    assert choose("process", tests)[0] == "process"


def test_a_self_test_that_proved_nothing_has_not_passed() -> None:
    assert not SelfTest("process", ()).passed
    with pytest.raises(SandboxUnavailable, match="proved nothing"):
        choose("process", {"process": SelfTest("process", ())})


def test_no_walls_only_by_name() -> None:
    assert choose("none", {})[0] == "none"
    with pytest.raises(SandboxUnavailable):
        choose("auto", {})
    unconfined = resolve("none")
    assert unconfined.name == "none"
    assert not unconfined.self_test().passed


def test_an_unknown_word_is_the_callers_mistake() -> None:
    with pytest.raises(ConfigError, match="there are auto, process, none"):
        choose("dokcer", {"process": _test("process", passed=True)})


def test_this_machine_confines() -> None:
    assert self_tests()["process"].passed
    strongest = "bubblewrap" if self_tests()["bubblewrap"].passed else "process"
    assert resolve("auto").name == strongest
    assert resolve("process").name == "process"


def test_a_backend_object_is_taken_as_it_is() -> None:
    backend = ProcessBackend()
    assert resolve(backend) is backend


def test_auto_looks_for_an_engine_only_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert not engine_is_configured()
    assert self_tests()["docker"].failed[0].name == "is configured"
    assert step_down("auto") == ""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert engine_is_configured()


def test_a_configured_engine_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next backend is taken, and that is said; asked for by name, nothing is run."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    fresh_choice()
    try:
        assert resolve("auto").name in ("bubblewrap", "process")
        assert "not the configured engine:\n  docker: starts confined" in step_down("auto")
        with pytest.raises(SandboxUnavailable, match="DOCKER_HOST"):
            resolve("docker")
        assert step_down("process") == ""
    finally:
        fresh_choice()
