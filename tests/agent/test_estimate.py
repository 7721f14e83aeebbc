from pathlib import Path
from typing import Any

import pytest

from rewardsmith.agent.choices import task_of
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.estimate import Estimate, estimate
from rewardsmith.runs.store import RunStore


def estimated(folder: Path, workers: int = 1, **options: Any) -> Estimate:
    values = {"env": "Hopper-v5", "llm": "scripted", "critic_rounds": 0, "candidates": 4}
    config = RunConfig(**(values | {"generations": 2, "steps": 1000} | options))
    store = RunStore.create(folder / "run", {"config": {}}, task_of(config))
    return estimate(config, store, workers=workers)


def test_every_training_is_counted(tmp_path: Path) -> None:
    found = estimated(tmp_path, seeds=2, recheck_seeds=1, final_seeds=3)
    # two generations of four candidates on two seeds, two rechecks each, best and human on three
    assert found.trainings == 2 * 4 * 2 + 2 * 2 + 2 * 3
    assert found.env_steps == found.trainings * 1000


def test_more_cores_take_less_time(tmp_path: Path) -> None:
    one, two = estimated(tmp_path / "a"), estimated(tmp_path / "b", workers=2)
    assert one.training_s == pytest.approx(2 * two.training_s)


def test_the_fast_trainer_takes_less_time(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    plain, fast = estimated(tmp_path / "a", algo="ppo"), estimated(tmp_path / "b", algo="fast")
    assert 3 * fast.training_s < plain.training_s


def test_a_small_local_model_asks_no_questions(tmp_path: Path) -> None:
    assert estimated(tmp_path, llm="local", repair_turns=0).model_calls == 2 * (4 + 1)


def test_a_critic_and_repairs_are_calls(tmp_path: Path) -> None:
    plain = estimated(tmp_path / "a", repair_turns=0)
    rich = estimated(tmp_path / "b", repair_turns=1, critic_rounds=1)
    # per generation four answers, an analysis and four rounds of its questions
    assert plain.model_calls == 2 * (4 + 1 + 4)
    assert rich.model_calls > plain.model_calls
    assert rich.tokens > plain.tokens


def test_it_is_one_line_for_a_person_and_numbers_for_programs(tmp_path: Path) -> None:
    found = estimated(tmp_path)
    assert "\n" not in found.as_text()
    assert str(found.trainings) in found.as_text()
    assert found.as_dict()["env_steps"] == found.env_steps


@pytest.mark.parametrize(("seconds", "shown"), [(30, "30 s"), (600, "10 min"), (7200, "2.0 h")])
def test_long_times_are_shown_in_large_units(seconds: float, shown: str) -> None:
    found = Estimate(1, 1, 1, 1, training_s=seconds)
    assert shown in found.as_text()


def test_the_price_is_told_where_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert estimated(tmp_path / "a").usd == 0.0
    known = estimated(tmp_path / "b", llm="openai:gpt-5.4")
    assert known.usd is not None
    assert known.usd > 0
    assert f"${known.usd:.2f}" in known.as_text()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    own = estimated(tmp_path / "c", llm="openai:gpt-5.4")
    assert own.usd is None
    assert "price unknown" in own.as_text()
