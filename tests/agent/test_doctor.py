import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from command_rig import spawn

from rewardsmith.agent import doctor
from rewardsmith.agent.doctor import BAD_LITELLM, Finding, examine_model
from rewardsmith.agent.fake_server import MODELS, FakeServer
from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.backends import self_tests


@pytest.mark.slow
def test_a_known_good_reward_goes_through_the_whole_stack_within_a_minute(tmp_path: Path) -> None:
    began = time.monotonic()
    done = spawn("doctor", "--llm", "scripted", "--json", cwd=tmp_path)
    assert time.monotonic() - began < 60
    assert done.code == 0, done.out
    found = {item["name"]: item for item in done.document["findings"]}
    assert done.document["ok"] is True
    assert found["training"]["verdict"] == "ok"
    assert "fitness" in found["training"]["detail"]
    assert found["contract check"]["verdict"] == "ok"
    assert found["sandbox process"]["verdict"] == "ok"
    assert "video" in found
    for item in found.values():
        assert item["verdict"] == "ok" or item["remedy"] or item["detail"]


def test_a_missing_key_is_missing_and_named() -> None:
    [found] = examine_model("openai:gpt-5.4")
    assert found.verdict == "missing"
    assert "OPENAI_API_KEY" in found.detail


def test_an_endpoint_is_asked_what_it_lists_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        [good] = examine_model(f"openai:{MODELS[0]}")
        [bad] = examine_model("openai:fake-smal")
    assert (good.verdict, bad.verdict) == ("ok", "missing")
    assert MODELS[0] in bad.remedy
    assert server.requests == [], "no cent is spent"


def test_an_endpoint_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    [found] = examine_model("openai:some")
    assert found.verdict == "missing"
    assert "OPENAI_BASE_URL" in found.remedy


def test_a_model_that_is_not_on_disk_yet_is_announced_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWARDSMITH_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    [found] = examine_model("local")
    assert found.verdict == "warn"
    assert "1.1 GB" in found.detail


def test_the_default_is_looked_at_where_no_model_is_named() -> None:
    [found] = examine_model(None)
    assert "local" in found.name


def test_an_error_of_a_part_is_a_finding_of_it() -> None:
    def broken() -> list[Finding]:
        raise ConfigError("no such thing; get one")

    [found] = doctor._guarded("thing", lambda: iter(broken()))
    assert (found.name, found.verdict, found.detail) == (
        "thing",
        "missing",
        "no such thing; get one",
    )


def test_executors_of_an_extra_are_told_of_and_missing_ones_are_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setenv("PATH", str(tmp_path))
    here = {item.name: item for item in doctor._executors()}
    assert "for --executor ray" in here["executor ray"].detail
    assert "no sbatch on this machine" in here["executor slurm"].detail
    monkeypatch.setattr(doctor, "version", none)
    for item in doctor._executors():
        assert item.verdict == "ok"
        assert "pip install" in item.detail


def test_versions_that_were_published_with_malicious_code_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for bad in ("1.82.7", "1.82.8", "1.107.0"):
        assert bad.startswith(BAD_LITELLM)
        monkeypatch.setattr(doctor, "version", lambda name, bad=bad: bad)
        found = {item.name: item for item in doctor._packages()}
        assert found["litellm"].verdict == "missing"
        assert "change every key" in found["litellm"].remedy
        assert found["torch"].verdict == "ok"


def test_without_jax_nothing_is_missing_and_the_fast_trainer_is_mentioned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [there] = doctor._trainers()
    assert there.detail.endswith("for --algo fast")

    def lacking(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", lacking)
    [without] = doctor._trainers()
    assert without.verdict == "ok"
    assert 'pip install "rewardsmith[fast]"' in without.detail


def test_what_is_missing_comes_with_its_remedy_on_a_line_of_its_own() -> None:
    text = Finding("disk", "missing", "0 GiB", "free some").as_text()
    assert text.splitlines() == ["MISSING  disk: 0 GiB", "           -> free some"]


def test_a_sandbox_says_which_limits_are_hard_and_which_are_soft() -> None:
    found = {item.name: item for item in doctor._sandbox(self_tests())}
    assert "hard: files, network, processes" in found["sandbox process"].detail
    assert found["sandbox process"].detail.endswith("; soft: cpu")
    assert "starts in" in found["sandbox process"].detail
