from pathlib import Path

import numpy as np
import pytest
from quick_crew import unwatched

from rewardsmith.agent.assembly import CHECK_ROWS, assemble, check_models, random_steps
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.llm import Message, Request
from rewardsmith.envs.registry import find_task
from rewardsmith.errors import ConfigError, ModelError
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.store import RunStore

POINT = "rewardsmith/Point-v0"
QUESTION = Request(role="critic", messages=(Message(role="user", content="well?"),))
CONFIG = RunConfig(env=POINT, llm="scripted")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", {"config": {}}, find_task(POINT))


def test_a_question_is_asked_once_in_a_run_and_then_on_record(store: RunStore) -> None:
    told: list[str] = []
    for _ in range(2):  # a second start of the same run
        crew = assemble(store, CONFIG, lambda kind, **_: told.append(kind))
        assert "accept" in crew.agent.bench.ask(QUESTION).text
    assert [event.kind for event in store.journal.read()] == ["asked"]
    assert told == ["replied", "replied"]


def test_a_replay_answers_from_the_record_alone(store: RunStore, tmp_path: Path) -> None:
    first = assemble(store, CONFIG, unwatched).agent.bench.ask(QUESTION)
    target = RunStore.create(tmp_path / "again", {"config": {}}, find_task(POINT))
    ask = assemble(target, CONFIG, unwatched, recorded=store).agent.bench.ask
    assert ask(QUESTION) == first
    other = Request(role="critic", messages=(Message(role="user", content="and now?"),))
    with pytest.raises(ModelError) as caught:
        ask(other)
    assert caught.value.kind == "replay_miss"


def test_the_steps_for_checks_are_the_same_in_every_start(tmp_path: Path) -> None:
    task = find_task(POINT)
    one = random_steps(Bank(tmp_path / "a"), task, 0)
    two = random_steps(Bank(tmp_path / "a"), task, 0)
    fresh = random_steps(Bank(tmp_path / "b"), task, 0)
    assert one.rows == CHECK_ROWS
    for steps in (two, fresh):
        assert np.array_equal(one.action, steps.action)


def test_the_contract_check_judges_programs_of_a_run(store: RunStore) -> None:
    check = assemble(store, CONFIG, unwatched).agent.bench.check
    good = 'def compute_reward(distance):\n    near = -distance\n    return near, {"near": near}\n'
    assert check(good).failure is None
    assert check(good.replace("-distance", "-distance / np.max(distance)")).failure is not None


def test_a_model_on_these_cores_is_asked_one_question_at_a_time(store: RunStore) -> None:
    local = RunConfig(env=POINT, llm="local")
    assert assemble(store, local, unwatched).agent.parallel_asks == 1
    assert assemble(store, CONFIG, unwatched).agent.parallel_asks > 1


def test_models_are_checked_before_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    check_models(CONFIG)
    check_models(RunConfig(env=POINT, llm="manual"))
    for spec, hint in (("opnai:x", "openai"), ("openai:x", "OPENAI_API_KEY")):
        with pytest.raises(ConfigError, match=hint):
            check_models(RunConfig(env=POINT, llm=spec))
        with pytest.raises(ConfigError, match=hint):
            check_models(RunConfig(env=POINT, llm="scripted", roles={"critic": spec}))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    check_models(RunConfig(env=POINT, llm="openai:x"))
    with pytest.raises(ConfigError, match="--prices"):
        check_models(RunConfig(env=POINT, llm="openai:x", max_usd=1.0))
