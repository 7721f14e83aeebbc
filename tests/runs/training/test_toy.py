import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.collect import rollout
from rewardsmith.errors import TrainingError
from rewardsmith.runs.training.presets import default_steps, hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Order, Trained, Unwatched, find_trainer
from rewardsmith.runs.training.trainers.checkpoints import save
from rewardsmith.sandbox.failure import Failure

CONTINUOUS, DISCRETE = (task.env for task in toy.tasks())


def order(spec: Any = CONTINUOUS, steps: int | None = None, **changes: Any) -> Order:
    params = hyperparams("toy", spec.id, changes)
    return Order(spec, params, seed=2, steps=steps or default_steps(spec.id, "toy"))


def trained(work: Order, reward: Any = None) -> Trained:
    found = find_trainer("toy").train(work, reward or NativeReward(), Unwatched())
    assert isinstance(found, Trained)
    return found


@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_the_point_learns_to_reach_its_target(spec: Any) -> None:
    result = trained(order(spec))
    episodes = rollout(spec, result.policy, range(8))
    assert np.mean([toy.fitness(episode).fitness for episode in episodes]) > 0.5


def test_it_takes_a_fraction_of_a_second() -> None:
    begin = time.process_time()
    trained(order())
    assert time.process_time() - begin < 1.0  # 0.15 s on an idle core


def test_neither_torch_nor_stable_baselines3_is_imported() -> None:
    program = (
        "import sys; from rewardsmith.runs.training.trainers import find_trainer;"
        "find_trainer('toy');"
        "sys.exit(any(name in sys.modules for name in ('torch', 'stable_baselines3')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_same_seed_gives_the_same_policy_and_another_seed_another() -> None:
    first, again = trained(order(steps=3000)), trained(order(steps=3000))
    other = trained(replace(order(steps=3000), seed=3))
    name = "action_net.weight"
    assert np.array_equal(first.policy.weights[name], again.policy.weights[name])
    assert not np.array_equal(first.policy.weights[name], other.policy.weights[name])


def test_the_reward_decides_what_is_learned(rule_reward: Any) -> None:
    away = rule_reward(lambda columns, action: columns["position"])
    episodes = rollout(CONTINUOUS, trained(order(), away).policy, range(4))
    assert min(e.steps.after["position"].max() for e in episodes) > 2.0


def test_a_failure_of_the_reward_is_the_answer(rule_reward: Any) -> None:
    failure = Failure(kind="bad_output", text="no")
    source = rule_reward(lambda columns, action: columns["position"], failure=failure, fail_at=1)
    assert find_trainer("toy").train(order(), source, Unwatched()) is failure
    assert source.calls == 2


def test_each_rollout_starts_every_environment_from_the_same_state(rule_reward: Any) -> None:
    source = rule_reward(lambda columns, action: columns["position"])
    trained(order(steps=1000, population=6), source)
    steps = source.seen[0]
    first = steps.before["position"][:6]
    assert steps.starts[:6].all()
    assert len(set(first.tolist())) == 1
    assert steps.num_envs == 6


class Noted(Unwatched):
    """Keeps what a watch is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, float]] = []

    def rewarded(self, steps: int, batch: Any) -> None:
        self.told.append((steps, float(batch.total.sum())))


@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_a_training_that_stopped_twice_ends_as_one_that_never_did(
    spec: Any, tmp_path: Path
) -> None:
    train, whole, parts = find_trainer("toy").train, Noted(), Noted()
    never = train(order(spec, 6000), NativeReward(), whole)
    for name in "ab":
        (tmp_path / name).mkdir()
    one = replace(order(spec, 6000), stop=2000, checkpoint=tmp_path / "a")
    two = replace(one, stop=4000, resume=tmp_path / "a", checkpoint=tmp_path / "b")
    for work in (one, two):
        rung = train(work, NativeReward(), parts)
        assert isinstance(rung, Trained)
        assert work.stop is not None
        assert work.stop <= rung.steps < work.stop + 2000
    end = train(replace(order(spec, 6000), resume=tmp_path / "b"), NativeReward(), parts)
    assert isinstance(never, Trained)
    assert isinstance(end, Trained)
    assert end.steps == never.steps
    assert parts.told == whole.told
    for name, weights in never.policy.weights.items():
        assert np.array_equal(weights, end.policy.weights[name])


def test_a_checkpoint_of_another_policy_is_refused(tmp_path: Path) -> None:
    work = replace(order(steps=2000), stop=100)
    save(tmp_path, work, "toy", {"mean": np.zeros(2), "deviation": np.zeros(2)}, {})
    with pytest.raises(TrainingError, match="sizes of another policy"):
        find_trainer("toy").train(replace(work, resume=tmp_path), NativeReward(), Unwatched())
