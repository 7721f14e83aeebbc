"""What the calibration makes of scores and gates, on rewards whose answer is known."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def tables(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    sys.modules.pop("calibration_tables", None)
    import calibration_tables as module  # type: ignore[import-not-found]

    assert isinstance(module, ModuleType)
    return module


def rows_of(tables: ModuleType, *envs: str) -> list[Any]:
    return [
        tables.Row(env, f"{env}{k}", fitness=scale * k, level=k / 9, evidence={})
        for scale, env in enumerate(envs, 1)
        for k in range(10)
    ]


def test_rewards_are_ranked_within_their_environment_alone(tables: ModuleType) -> None:
    rows = rows_of(tables, "a", "b")
    # The score of b's rewards lies far below, and still puts them in the right order.
    found = tables.correlation(rows, lambda row: row.level - (100 if row.env == "b" else 0))
    assert found["mean"] == pytest.approx(1.0)
    assert found["by_env"] == pytest.approx({"a": 1.0, "b": 1.0})


def test_a_score_that_says_nothing_has_an_interval_around_zero(tables: ModuleType) -> None:
    rows = rows_of(tables, "a", "b", "c")
    found = tables.correlation(rows, lambda row: float(int(row.name[1:]) * 7 % 10))
    assert found["low"] < 0 < found["high"]


def test_a_gate_that_refuses_the_worst_half_costs_nothing(tables: ModuleType) -> None:
    found = tables.screened(rows_of(tables, "a"), lambda row: row.level < 0.5)
    assert found["saved"] == 0.5
    assert found["good_lost"] == 0
    assert found["regret"]["mean"] < 0.02
    assert found["random_gate_regret"] > found["regret"]["mean"]


def test_a_gate_that_refuses_the_best_is_found_out(tables: ModuleType) -> None:
    found = tables.screened(rows_of(tables, "a"), lambda row: row.level > 0.7)
    assert found["good_lost"] == found["good"] == 2
    assert found["lost"] == ["a a8", "a a9"]
    assert found["regret"]["mean"] > 0.1
