"""Honest rewards pass the text rules, and what is refused is refused for a true reason."""

import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def alarms(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return __import__("false_alarms")


def test_every_reward_that_the_project_shows_passes(alarms: ModuleType) -> None:
    found = alarms.measure(alarms.honest())
    assert found["programs"] >= 14
    assert found == {"programs": found["programs"], "passed": found["programs"], "reasons": {},
                     "false": []}  # fmt: skip


def test_every_program_in_code_and_runs_passes_or_is_refused_for_a_true_reason(
    alarms: ModuleType,
) -> None:
    found = alarms.measure(alarms.written())
    assert found["programs"] > 100
    assert found["false"] == []
    assert found["reasons"].get("unknown", 0) == 0


def test_a_corpus_is_counted_with_its_own_card_and_with_any_name_granted(
    alarms: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "```python\ndef compute_reward(state, x):\n    return x + np.random.rand(), {}\n```"
    rows = [{"id": "a", "env": "LunarLander-v3", "answer": code}, {"id": "b", "answer": "no"}]
    corpus = tmp_path / "answers.jsonl"
    corpus.write_text("\n".join(map(json.dumps, rows)))
    assert alarms.main(["--corpus", str(corpus), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["corpus"]
    assert found == {
        "programs": 2,
        "passed": 0,
        "reasons": {"not in np": 2, "not a field": 1},
        "false": [],
    }


def test_a_reason_that_is_not_true_is_named_and_fails(
    alarms: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(alarms, "is_true", lambda *_: False)
    assert alarms.main([]) == 1
    assert "FALSE  " in capsys.readouterr().out
