"""What holds for every trainer, on every kind of task; and every preset in its environment."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.collect import rollout
from rewardsmith.envs.registry import find_task, task_ids
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training.curve import CurveWatch
from rewardsmith.runs.training.files import PROGRESS
from rewardsmith.runs.training.judging import flat
from rewardsmith.runs.training.policy import load_policy, save_policy
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import (
    TRAINERS,
    Order,
    StackTrainer,
    Trained,
    Unwatched,
    find_trainer,
    stackable,
)
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

CONTINUOUS, DISCRETE = (replace(task.env, max_steps=11) for task in toy.tasks())
SMALL: Mapping[str, dict[str, Any]] = {
    "ppo": {"n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 1, "net_arch": [8]},
    "sac": {"n_envs": 2, "train_freq": 8, "gradient_steps": 1, "batch_size": 8,
            "learning_starts": 20, "net_arch": [8], "buffer_size": 200},
    "a2c": {"n_envs": 2, "n_steps": 8, "net_arch": [8]},
    "td3": {"n_envs": 2, "train_freq": 8, "gradient_steps": 1, "batch_size": 8,
            "learning_starts": 20, "net_arch": [8], "buffer_size": 200},
    "ddpg": {"n_envs": 2, "train_freq": 8, "gradient_steps": 1, "batch_size": 8,
            "learning_starts": 20, "net_arch": [8], "buffer_size": 200},
    "dqn": {"n_envs": 2, "train_freq": 8, "gradient_steps": 1, "batch_size": 8,
            "learning_starts": 20, "net_arch": [8], "buffer_size": 200},
    "toy": {"population": 3, "episodes": 1},
}  # fmt: skip
SMALL = {**SMALL, "fast": SMALL["ppo"]}
CASES = [("ppo", CONTINUOUS), ("ppo", DISCRETE), ("fast", CONTINUOUS), ("fast", DISCRETE),
         ("sac", CONTINUOUS), ("toy", CONTINUOUS), ("toy", DISCRETE), ("a2c", CONTINUOUS),
         ("a2c", DISCRETE), ("td3", CONTINUOUS), ("ddpg", CONTINUOUS), ("dqn", DISCRETE),
         ]  # fmt: skip
NAMES = [f"{name}-{'discrete' if spec is DISCRETE else 'continuous'}" for name, spec in CASES]
BOTH = pytest.mark.parametrize(("trainer", "spec"), CASES, ids=NAMES)


def train(
    trainer: str, spec: EnvSpec, reward: Any = None, watch: Any = None, **changes: Any
) -> Trained | Failure:
    params = hyperparams(trainer, spec.id, SMALL[trainer] | changes)
    order = Order(spec, params, seed=3, steps=130)
    return find_trainer(trainer).train(order, reward or NativeReward(), watch or Unwatched())


def trained(*arguments: Any, **changes: Any) -> Trained:
    found = train(*arguments, **changes)
    assert isinstance(found, Trained), found
    return found


class Source:
    """The native reward, until a given call; then a failure, or an exception."""

    def __init__(self, fail_at: int = 10**9, answer: Failure | Exception | None = None) -> None:
        self.calls = 0
        self.rows = 0
        self.closed = 0
        self._fail_at, self._answer = fail_at, answer

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        assert carry
        self.calls += 1
        if self.calls >= self._fail_at:
            if isinstance(self._answer, Exception):
                raise self._answer
            assert self._answer is not None
            return self._answer
        self.rows += steps.rows
        return NativeReward().rewards(steps)

    def close(self) -> None:
        self.closed += 1


@BOTH
def test_at_least_the_steps_asked_for_are_trained_and_all_are_rewarded(
    trainer: str, spec: EnvSpec
) -> None:
    source = Source()
    result = trained(trainer, spec, source)
    assert 130 <= result.steps <= 130 + 64
    assert source.rows == result.steps


@BOTH
def test_the_trained_policy_is_stored_loaded_and_acts_in_its_environment(
    trainer: str, spec: EnvSpec, tmp_path: Path
) -> None:
    result = trained(trainer, spec)
    save_policy(result.policy, tmp_path)
    act = flat(load_policy(tmp_path), spec)
    ours, again = (rollout(spec, policy, (5,)) for policy in (result.policy, act))
    assert np.array_equal(ours[0].steps.action, again[0].steps.action)
    taken = again[0].steps.action
    if spec.action.count is None:
        assert np.all(np.abs(taken) <= 1.0)
    else:
        assert set(taken.tolist()) <= {0, 1, 2}


@BOTH
def test_the_same_order_gives_the_same_weights_whatever_was_drawn_before(
    trainer: str, spec: EnvSpec
) -> None:
    first = trained(trainer, spec).policy
    np.random.seed(77)
    np.random.random(5)
    second = trained(trainer, spec).policy
    for name, weights in first.weights.items():
        assert np.array_equal(weights, second.weights[name]), name


@BOTH
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_reward_that_fails_midway_is_the_result_and_is_asked_no_more(
    trainer: str, spec: EnvSpec, call: int
) -> None:
    failure = Failure(kind="stalled", text="no answer for 5 s")
    source = Source(call, failure)
    assert train(trainer, spec, source) is failure
    assert source.calls == call


@BOTH
def test_an_error_that_is_not_the_programs_is_not_taken_for_its_failure(
    trainer: str, spec: EnvSpec
) -> None:
    source = Source(2, ConfigError("the machine is at fault"))
    with pytest.raises(ConfigError, match="the machine is at fault"):
        train(trainer, spec, source)


@BOTH
def test_a_curve_can_be_watched_without_a_change_to_the_training(
    trainer: str, spec: EnvSpec, tmp_path: Path
) -> None:
    unit = Unit(
        id="u", task=replace(toy.tasks()[0], env=spec), program=None, trainer=trainer,
        hyperparams={}, seed=3, steps=130, eval_seeds=(1,), eval_points=3,
    )  # fmt: skip
    watch = CurveWatch(unit, tmp_path)
    watched, plain = trained(trainer, spec, None, watch), trained(trainer, spec)
    for name, weights in plain.policy.weights.items():
        assert np.array_equal(weights, watched.policy.weights[name]), name
    assert 2 <= len(watch.points) <= 3
    for point in watch.points:
        assert point.fitness is not None
        assert point.episode_length == spec.max_steps
        assert point.total == pytest.approx(point.components["native"])
        assert point.total is not None
        assert -3.0 < point.total < 0.0
    state = json.loads((tmp_path / PROGRESS).read_text())
    assert state["steps"] == watched.steps
    assert state["total_steps"] == 130


def test_deviations_are_told_of_gaussian_policies_alone(tmp_path: Path) -> None:
    class Asks(Unwatched):
        def updated(self, steps: int, policy: Any, std: Any) -> Mapping[str, float]:
            told.append(std())
            return {}

    for trainer, spec, changes in (
        ("ppo", CONTINUOUS, {}),
        ("ppo", DISCRETE, {}),
        ("ppo", CONTINUOUS, {"use_sde": True}),
        ("fast", CONTINUOUS, {}),
        ("fast", DISCRETE, {}),
        ("fast", CONTINUOUS, {"use_sde": True}),
        ("sac", CONTINUOUS, {}),
        ("td3", CONTINUOUS, {}),
        ("dqn", DISCRETE, {}),
        ("toy", CONTINUOUS, {}),
    ):
        told: list[float | None] = []
        trained(trainer, spec, None, Asks(), **changes)
        plain = trainer in ("ppo", "fast") and spec is CONTINUOUS and not changes
        gaussian = plain or trainer == "toy"
        assert all((value is not None) == gaussian for value in told), (trainer, changes)
        assert told


@pytest.mark.parametrize("trainer", ["ppo", "fast", "sac"])
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_device_can_be_named_or_left_to_the_machine(trainer: str, device: str) -> None:
    params = hyperparams(trainer, CONTINUOUS.id, SMALL[trainer])
    order = Order(CONTINUOUS, params, seed=3, steps=32, device=device)
    assert isinstance(find_trainer(trainer).train(order, NativeReward(), Unwatched()), Trained)


@pytest.mark.parametrize("trainer", ["ppo", "fast", "sac"])
def test_a_device_that_does_not_exist_is_an_error_of_the_callers(trainer: str) -> None:
    params = hyperparams(trainer, CONTINUOUS.id, SMALL[trainer])
    order = Order(CONTINUOUS, params, seed=3, steps=32, device="abacus")
    with pytest.raises(ConfigError, match="abacus"):
        find_trainer(trainer).train(order, NativeReward(), Unwatched())


def test_an_entropy_coefficient_of_nonsense_is_an_error_of_the_callers() -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        train("sac", CONTINUOUS, ent_coef="nonsense")


MEMORY = """
MEMORY = {"last": 0.0, "age": 0.0}

def compute_reward(position, memory):
    memory["age"] = memory["age"] + 1.0
    gain = position - memory["last"]
    memory["last"] = position + 0.0
    return 0.1 * gain, {"age": memory["age"] + 0.0}
"""


@pytest.mark.parametrize("trainer", ["ppo", "fast", "sac", "toy", "td3"])
def test_memory_counts_the_steps_of_each_episode_over_all_rollouts(trainer: str) -> None:
    ages: list[np.ndarray[Any, Any]] = []

    class Listens:
        """Passes on what the worker answers, and keeps the ages."""

        def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
            batch = client.rewards(steps, carry=carry)
            assert isinstance(batch, RewardBatch), batch
            ages.append(batch.components["age"].reshape(-1, steps.num_envs))
            return batch

        def close(self) -> None:
            pass

    with RewardClient(MEMORY, CONTINUOUS) as client:
        trained(trainer, CONTINUOUS, Listens())
    # Episodes of the point never end early: in every environment ages run 1 to 11, again and again.
    for column in np.concatenate(ages).T:
        assert column.tolist() == [1.0 + t % 11 for t in range(len(column))]


def preset_cases() -> Iterator[tuple[str, str]]:
    for task_id in task_ids():
        yield task_id, "ppo"
        yield task_id, "fast"
        if task_id not in ("LunarLander-v3", "rewardsmith/Point-v0-discrete"):
            yield task_id, "sac"


def lightened(trainer: str, env_id: str) -> dict[str, Any]:
    """Returns the preset with its sizes cut down, and all else as it is."""
    preset = hyperparams(trainer, env_id)
    small = {
        "ppo": {"n_envs": 2, "n_steps": 8, "batch_size": 8, "n_epochs": 1},
        "fast": {"n_envs": 2, "n_steps": 8, "batch_size": 8, "n_epochs": 1},
        "sac": {"n_envs": 2, "learning_starts": 8, "batch_size": 8, "buffer_size": 100},
    }
    return {**preset, **small[trainer]}


@pytest.mark.parametrize(("task_id", "trainer"), list(preset_cases()))
def test_every_preset_trains_in_its_own_environment(task_id: str, trainer: str) -> None:
    task = find_task(task_id)
    order = Order(task.env, lightened(trainer, task.env.id), seed=1, steps=32)
    result = find_trainer(trainer).train(order, NativeReward(), Unwatched())
    assert isinstance(result, Trained), result
    (episode,) = rollout(task.env, flat(result.policy, task.env), (1,), max_steps=5)
    assert episode.length <= 5


def test_which_trainers_can_stack_is_known_without_importing_them() -> None:
    for name in TRAINERS:
        assert stackable(name) == isinstance(find_trainer(name), StackTrainer), name
    with pytest.raises(ConfigError, match="unknown"):
        stackable("abacus")
