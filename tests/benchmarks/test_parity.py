"""The arithmetic of the parity benchmark, on samples whose answer is known."""

import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rewardsmith.sandbox.reward import RewardBatch


@pytest.fixture
def parity(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    sys.modules.pop("parity", None)
    import parity as module  # type: ignore[import-not-found]

    assert isinstance(module, ModuleType)
    return module


def test_a_difference_has_welchs_interval(parity: ModuleType) -> None:
    # Checked by hand: variances 1 and 10 over three values each, 2.4 degrees of freedom, so 2.
    found = parity.difference([1.0, 2.0, 3.0], [0.0, 10**0.5, 2 * 10**0.5])
    assert found["difference"] == pytest.approx(2 - 10**0.5)
    assert found["half_width"] == pytest.approx(4.302653 * (11 / 3) ** 0.5, rel=1e-6)
    assert found["high"] - found["low"] == pytest.approx(2 * found["half_width"])
    assert found["half_width_of_mean"] == pytest.approx(found["half_width"] / 10**0.5)


def test_equal_values_have_no_interval_and_single_ones_none_at_all(parity: ModuleType) -> None:
    assert parity.difference([1.0, 1.0], [0.0, 0.0])["half_width"] == 0.0
    with pytest.raises(ValueError, match="two seeds"):
        parity.difference([1.0], [1.0, 2.0])


def test_every_environment_gets_a_row_with_both_means(parity: ModuleType) -> None:
    found = [
        SimpleNamespace(env=env, trainer=trainer, fitness=base + seed)
        for env in ("A", "B")
        for trainer, base in (("fast", 10.0), ("ppo", 20.0))
        for seed in range(2)
    ]
    rows = parity.summary(found)
    assert [row["env"] for row in rows] == ["A", "B"]
    assert (rows[0]["fast"], rows[0]["ppo"], rows[0]["difference"]) == (10.5, 20.5, -10.0)


def test_seeds_are_shared_out_in_stacks_and_none_counts_twice(parity: ModuleType) -> None:
    options = Namespace(envs=["A"], sb3_seeds=2, seeds=5, stack=2, steps=1, episodes=1)
    works = parity.plan(options)
    assert [len(work.seeds) for work in works] == [1, 1, 2, 2, 1]
    seeds = [seed for work in works for seed in work.seeds]
    assert len(set(seeds)) == len(seeds) == 7


def test_a_curve_is_thinned_to_means_between_its_points(parity: ModuleType) -> None:
    curve = parity.Curve()
    for i in range(1, 101):
        total = np.full(4, float(i))
        curve.rewarded(10 * i, RewardBatch(total=total, components={}))
        assert curve.updated(10 * i, None, None) == {}
    points = curve.points()
    assert len(points) == parity.POINTS
    assert points[0] == (20, 1.5)
    assert points[-1] == (1000, 99.5)


@pytest.mark.parametrize("trainer", ["ppo", "fast"])
def test_trainings_are_judged_by_fitness_and_by_the_native_return(
    parity: ModuleType, trainer: str
) -> None:
    work = parity.Work("rewardsmith/Point-v0", trainer, (1, 2), 600, 2)
    found = parity.trials(work)
    assert [trial.seed for trial in found] == [1, 2]
    for trial in found:
        assert trial.steps >= 600
        assert np.isfinite([trial.fitness, trial.native_return]).all()
        assert trial.curve[-1][0] == trial.steps
