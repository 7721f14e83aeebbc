from pathlib import Path
from typing import Any

import pytest

from rewardsmith.agent.accounts import ledger_lines, ledger_of, limits_of, model_names
from rewardsmith.agent.config import RunConfig
from rewardsmith.envs.registry import find_task
from rewardsmith.errors import BudgetExhausted
from rewardsmith.runs.store import RunStore

POINT = "rewardsmith/Point-v0"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", {"config": {}}, find_task(POINT))


def asked(store: RunStore, role: str, model: str, **usage: Any) -> None:
    store.append(
        "asked",
        {"hash": "0", "blob": "0", "role": role, "model": model, "usage": usage, "wall_s": 2.0},
    )


def test_what_each_role_spent_on_each_model_is_a_line(store: RunStore) -> None:
    for _ in range(2):
        asked(store, "designer", "m", prompt_tokens=10, completion_tokens=5, cost_usd=0.5)
    asked(store, "critic", "m", prompt_tokens=1, completion_tokens=1, cost_usd=None)
    lines = {line.role: line for line in ledger_lines(store)}
    assert lines["designer"].calls == 2
    assert lines["designer"].prompt_tokens == 20
    assert lines["designer"].cost_usd == 1.0
    assert lines["designer"].wall_s == 4.0
    assert lines["critic"].cost_usd is None, "an unknown price is never nothing"
    assert model_names(store) == ("m",)


def test_a_resumed_run_has_spent_what_it_spent_before(store: RunStore) -> None:
    asked(store, "designer", "m", prompt_tokens=60, completion_tokens=30, cost_usd=0.5)
    store.append("worked", {"wall_s": 100.0})
    config = RunConfig(env=POINT, max_tokens=100, max_usd=1.0)
    ledger = ledger_of(store, config)
    assert ledger.spent_tokens() == 90
    assert ledger.spent_usd() == 0.5
    assert ledger.elapsed_s >= 100.0
    with pytest.raises(BudgetExhausted):
        ledger.reserve(0.0, 11)
    with pytest.raises(BudgetExhausted):
        ledger.reserve(0.6, 1)


def test_time_already_worked_counts_against_the_limit(store: RunStore) -> None:
    store.append("worked", {"wall_s": 100.0})
    with pytest.raises(BudgetExhausted, match="--max-time"):
        ledger_of(store, RunConfig(env=POINT, max_time_s=99.0)).check_time()


def test_every_limit_of_the_configuration_is_one_of_the_ledger() -> None:
    config = RunConfig(env=POINT, max_usd=1.0, max_tokens=2, max_steps=3, max_time_s=4.0)
    assert vars(limits_of(config)) == {"usd": 1.0, "tokens": 2, "steps": 3, "time_s": 4.0}
