import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.runs.records import CurvePoint, Unit
from rewardsmith.runs.training.curve import CurveWatch
from rewardsmith.runs.training.files import CURVE, PROGRESS
from rewardsmith.runs.training.policy import Policy, PolicySpec, shapes
from rewardsmith.sandbox.reward import RewardBatch


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def unit(**changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "u", "task": toy.tasks()[0], "program": None, "trainer": "toy", "hyperparams": {},
        "seed": 1, "steps": 1000, "eval_seeds": (1,), "eval_points": 4,
    }  # fmt: skip
    return Unit(**(plain | changes))


def policy() -> Policy:
    spec = PolicySpec(kind="linear", observation_size=3, action_shape=(1,))
    return Policy(spec, {name: np.zeros(s, np.float32) for name, s in shapes(spec).items()})


def batch(total: float, **components: float) -> RewardBatch:
    rows = np.ones(10)
    return RewardBatch(total * rows, {name: value * rows for name, value in components.items()})


def seen(watch: CurveWatch, steps: int) -> Mapping[str, float]:
    return watch.updated(steps, policy, lambda: 0.5)


def test_points_are_taken_when_due_and_not_twice(tmp_path: Path) -> None:
    watch = CurveWatch(unit(), tmp_path)
    for steps in range(100, 1101, 100):
        seen(watch, steps)
    assert [point.steps for point in watch.points] == [300, 500, 800, 1000]


def test_a_long_rollout_makes_one_point_not_several(tmp_path: Path) -> None:
    watch = CurveWatch(unit(), tmp_path)
    seen(watch, 900)
    seen(watch, 1000)
    assert [point.steps for point in watch.points] == [900, 1000]


def test_a_point_holds_the_mean_rewards_since_the_point_before(tmp_path: Path) -> None:
    watch = CurveWatch(unit(), tmp_path)
    watch.rewarded(100, batch(1.0, near=2.0))
    watch.rewarded(250, batch(3.0, near=4.0))
    seen(watch, 250)
    watch.rewarded(500, batch(7.0, near=9.0))
    seen(watch, 500)
    assert [(p.total, p.components) for p in watch.points] == [
        (2.0, {"near": 3.0}),
        (7.0, {"near": 9.0}),
    ]
    assert watch.points[0].policy_std == 0.5
    assert watch.points[0].episode_length == 40


def test_points_are_lines_of_a_file_that_reads_back(tmp_path: Path) -> None:
    watch = CurveWatch(unit(), tmp_path)
    for steps in (250, 500):
        seen(watch, steps)
    lines = (tmp_path / CURVE).read_text().splitlines()
    assert [CurvePoint.model_validate_json(line) for line in lines] == watch.points


def test_the_sampled_fitness_is_given_to_the_log(tmp_path: Path) -> None:
    watch = CurveWatch(unit(), tmp_path)
    assert seen(watch, 100) == {}
    assert seen(watch, 250)["fitness/mean"] == watch.points[0].fitness


def test_no_points_and_no_episodes_can_be_asked_for(tmp_path: Path) -> None:
    none = CurveWatch(unit(eval_points=0), tmp_path)
    seen(none, 1000)
    assert none.points == []
    bare = CurveWatch(unit(eval_episodes_per_point=0), tmp_path)
    seen(bare, 1000)
    assert bare.points[0].fitness is None


def test_progress_is_replaced_at_most_twice_a_second(tmp_path: Path) -> None:
    clock = Clock()
    watch = CurveWatch(unit(), tmp_path, clock=clock)
    clock.now = 0.4
    watch.rewarded(64, batch(0.0))
    assert json.loads((tmp_path / PROGRESS).read_text())["steps"] == 0
    clock.now = 2.0
    watch.rewarded(128, batch(0.0))
    state = json.loads((tmp_path / PROGRESS).read_text())
    assert state == {"stage": "training", "steps": 128, "total_steps": 1000, "steps_per_s": 64.0}


def test_progress_shows_the_latest_fitness(tmp_path: Path) -> None:
    watch = CurveWatch(unit(), tmp_path)
    seen(watch, 250)
    state = json.loads((tmp_path / PROGRESS).read_text())
    assert state["fitness"] == pytest.approx(watch.points[0].fitness)
