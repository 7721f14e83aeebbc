import time
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.collect import rollout
from rewardsmith.envs.conformance import SuiteConformance
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.recorder import make_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.toy import tasks


class TestToySuite(SuiteConformance):
    def tasks(self) -> Any:
        return tasks()


def _steer(obs: Any) -> Any:
    position, velocity, target = obs
    return np.clip([4.0 * (target - position) - 3.0 * velocity], -1.0, 1.0).astype(np.float32)


def test_a_sensible_controller_solves_it() -> None:
    task = find_task("rewardsmith/Point-v0")
    scores = judge(task, rollout(task.env, _steer, range(10)))
    assert task.solved_at is not None
    assert min(s.fitness for s in scores) > task.solved_at
    assert all(s.success for s in scores)


def test_doing_nothing_does_not() -> None:
    task = find_task("rewardsmith/Point-v0")
    scores = judge(task, rollout(task.env, lambda obs: np.zeros(1), range(10)))
    assert max(s.fitness for s in scores) < 0.3


def test_leaving_the_line_scores_zero() -> None:
    task = find_task("rewardsmith/Point-v0")
    (score,) = judge(task, rollout(task.env, lambda obs: np.ones(1), [0]))
    assert (score.fitness, score.outcome) == (0.0, "left the line")


def test_the_discrete_variant_pushes_to_the_sides() -> None:
    env = make_env(find_task("rewardsmith/Point-v0-discrete").env)
    moved = []
    for action in (0, 1, 2):
        env.reset(seed=0)
        env.step(action)
        moved.append(env.unwrapped.velocity)  # type: ignore[attr-defined]
    assert moved == pytest.approx([-0.1, 0.0, 0.1])


def test_steps_are_cheap() -> None:
    env = make_env(find_task("rewardsmith/Point-v0").env)
    action = np.zeros(1)
    best = float("inf")
    for _ in range(5):
        env.reset(seed=0)
        start = time.process_time()
        for _ in range(39):
            env.step(action)
        best = min(best, (time.process_time() - start) / 39)
    assert best < 200e-6
