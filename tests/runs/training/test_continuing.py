"""A training that stops, leaves a checkpoint and goes on ends as one that never stopped."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Order, Trained, Unwatched, find_trainer
from rewardsmith.runs.training.trainers.checkpoints import ARRAYS, FACTS, load, save
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

CONTINUOUS, DISCRETE = (replace(task.env, max_steps=13) for task in toy.tasks())
# Rollouts, episodes and updates all end at other steps.
SMALL: Mapping[str, dict[str, Any]] = {
    "ppo": {"n_envs": 3, "n_steps": 21, "batch_size": 21, "n_epochs": 2, "net_arch": [8, 8]},
    "sac": {"n_envs": 3, "train_freq": 7, "gradient_steps": 2, "batch_size": 16,
            "learning_starts": 60, "net_arch": [8, 8], "buffer_size": 150},
    "a2c": {"n_envs": 3, "n_steps": 7, "net_arch": [8, 8]},
    "td3": {"n_envs": 3, "train_freq": 7, "gradient_steps": 3, "batch_size": 16,
            "learning_starts": 60, "net_arch": [8, 8], "buffer_size": 150},
    "ddpg": {"n_envs": 3, "train_freq": 7, "gradient_steps": 2, "batch_size": 16,
             "learning_starts": 60, "net_arch": [8, 8], "buffer_size": 150},
    "dqn": {"n_envs": 3, "train_freq": 5, "gradient_steps": 2, "batch_size": 16,
            "learning_starts": 60, "net_arch": [8, 8], "buffer_size": 150,
            "target_update_interval": 50, "exploration_fraction": 0.8},
}  # fmt: skip
SMALL = {**SMALL, "fast": SMALL["ppo"]}


def order(spec: EnvSpec, trainer: str, steps: int, **changes: Any) -> Order:
    return Order(spec, hyperparams(trainer, spec.id, SMALL[trainer] | changes), seed=5, steps=steps)


class Noted(Unwatched):
    """Keeps what a watch is told."""

    def __init__(self) -> None:
        self.rewards: list[tuple[int, bytes]] = []
        self.updates: list[int] = []

    def rewarded(self, steps: int, batch: RewardBatch) -> None:
        self.rewards.append((steps, batch.total.tobytes()))

    def updated(self, steps: int, policy: Any, std: Any) -> Mapping[str, float]:
        self.updates.append(steps)
        return {}


def run(
    work: Order, trainer: str, watch: Any = None, reward: RewardSource | None = None
) -> Trained:
    found = find_trainer(trainer).train(work, reward or NativeReward(), watch or Unwatched())
    assert isinstance(found, Trained), found
    return found


def rungs(work: Order, folder: Path, *stops: int) -> Iterator[Order]:
    """The same training in parts, each from the checkpoint of the one before."""
    resume = None
    for stop in stops:
        checkpoint = folder / str(stop)
        checkpoint.mkdir()
        yield replace(work, stop=stop, resume=resume, checkpoint=checkpoint)
        resume = checkpoint
    yield replace(work, resume=resume)


def assert_same(one: Trained, other: Trained) -> None:
    assert one.policy.spec == other.policy.spec
    assert one.steps == other.steps
    for name, weights in one.policy.weights.items():
        assert np.array_equal(weights, other.policy.weights[name]), name


CASES = [
    ("ppo", CONTINUOUS, {}),
    ("ppo", DISCRETE, {}),
    ("ppo", CONTINUOUS, {"normalize_obs": True, "normalize_reward": False}),
    ("ppo", CONTINUOUS, {"schedule": "linear"}),
    ("ppo", CONTINUOUS, {"use_sde": True, "sde_sample_freq": 4}),
    ("fast", CONTINUOUS, {}),
    ("fast", DISCRETE, {}),
    ("fast", CONTINUOUS, {"normalize_obs": True, "normalize_reward": False}),
    ("fast", CONTINUOUS, {"use_sde": True, "sde_sample_freq": 4, "schedule": "linear"}),
    ("sac", CONTINUOUS, {}),
    ("sac", CONTINUOUS, {"normalize_obs": True, "schedule": "linear"}),
    ("sac", CONTINUOUS, {"use_sde": True, "ent_coef": 0.1}),
    ("sac", CONTINUOUS, {"gradient_steps": -1}),
    ("a2c", CONTINUOUS, {"normalize_obs": True}),
    ("a2c", DISCRETE, {"schedule": "linear", "use_rms_prop": False}),
    ("td3", CONTINUOUS, {"normalize_obs": True}),
    ("ddpg", CONTINUOUS, {"schedule": "linear"}),
    ("dqn", DISCRETE, {}),
]


@pytest.mark.parametrize(("trainer", "spec", "changes"), CASES)
def test_stopped_and_gone_on_is_the_same_as_never_stopped_to_the_bit(
    trainer: str, spec: EnvSpec, changes: dict[str, Any], tmp_path: Path
) -> None:
    whole, parts = Noted(), Noted()
    never = run(order(spec, trainer, 400, **changes), trainer, whole)
    for work in rungs(order(spec, trainer, 400, **changes), tmp_path, 30, 200):
        np.random.seed(1)  # what happens in between is of no account
        end = run(work, trainer, parts)
    assert_same(end, never)
    assert parts.rewards == whole.rewards
    assert parts.updates == whole.updates


MUJOCO = [("ppo", "HalfCheetah-v5"), ("ppo", "Hopper-v5"), ("ppo", "Ant-v5"),
          ("fast", "HalfCheetah-v5"), ("fast", "Hopper-v5"), ("fast", "Ant-v5"),
          ("sac", "Reacher-v5")]  # fmt: skip


@pytest.mark.parametrize(("trainer", "env_id"), MUJOCO)
def test_on_mujoco_stopped_and_gone_on_is_the_same_as_never_stopped_to_the_bit(
    trainer: str, env_id: str, tmp_path: Path
) -> None:
    spec, whole, parts = find_task(env_id).env, Noted(), Noted()
    never = run(order(spec, trainer, 300), trainer, whole)
    for work in rungs(order(spec, trainer, 300), tmp_path, 130):
        end = run(work, trainer, parts)
    assert_same(end, never)
    assert parts.rewards == whole.rewards


MEMORY = """
MEMORY = {"last": 0.0, "age": 0.0}

def compute_reward(position, memory):
    memory["age"] = memory["age"] + 1.0
    gain = position - memory["last"]
    memory["last"] = 0.5 * memory["last"] + position
    return gain, {"age": memory["age"] + 0.0}
"""


@pytest.mark.parametrize("trainer", ["ppo", "fast", "sac"])
def test_a_reward_with_memory_remembers_the_episodes_under_way(
    trainer: str, tmp_path: Path
) -> None:
    whole, parts = Noted(), Noted()
    with RewardClient(MEMORY, CONTINUOUS) as client:
        never = run(order(CONTINUOUS, trainer, 300), trainer, whole, client)
    for work in rungs(order(CONTINUOUS, trainer, 300), tmp_path, 30, 130):
        with RewardClient(MEMORY, CONTINUOUS) as client:  # a worker that has seen nothing
            end = run(work, trainer, parts, client)
    assert_same(end, never)
    assert parts.rewards == whole.rewards


class FailsAt:
    """The native reward, and a failure at one call."""

    def __init__(self, call: int) -> None:
        self._left = call

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self._left -= 1
        return NativeReward().rewards(steps) if self._left else Failure(kind="oom", text="too much")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("trainer", ["ppo", "fast"])
def test_a_reward_that_fails_on_its_way_back_is_the_result(
    trainer: str, call: int, tmp_path: Path
) -> None:
    first, second = rungs(order(CONTINUOUS, trainer, 200), tmp_path, 30)
    run(first, trainer)
    found = find_trainer(trainer).train(second, FailsAt(call), Unwatched())
    assert isinstance(found, Failure)
    assert found.kind == "oom"


@pytest.mark.parametrize("trainer", ["ppo", "fast"])
def test_an_environment_that_cannot_be_captured_is_refused_in_words(
    trainer: str, tmp_path: Path
) -> None:
    spec = find_task("LunarLander-v3").env
    first, _ = rungs(order(spec, trainer, 200), tmp_path, 30)
    with pytest.raises(ConfigError, match="LunarLander-v3 cannot be captured"):
        run(first, trainer)


def test_the_checkpoint_of_another_trainer_is_refused(tmp_path: Path) -> None:
    first, second = rungs(order(CONTINUOUS, "ppo", 200), tmp_path, 30)
    run(first, "ppo")
    params = hyperparams("sac", CONTINUOUS.id, SMALL["sac"])
    with pytest.raises(ConfigError, match="differs in trainer, hyperparams"):
        run(replace(second, hyperparams=params), "sac")


@pytest.mark.parametrize(
    ("trainer", "version"), [("ppo", "torch"), ("fast", "jax")], ids=["ppo", "fast"]
)
def test_the_checkpoint_of_another_library_version_is_refused(
    trainer: str, version: str, tmp_path: Path
) -> None:
    first, second = rungs(order(CONTINUOUS, trainer, 200), tmp_path, 30)
    run(first, trainer)
    path = tmp_path / "30" / FACTS
    told = json.loads(path.read_text())
    told["facts"][version] = "1.0"
    path.write_text(json.dumps(told))
    with pytest.raises(TrainingError, match=rf"(?i)left by {version} 1\.0"):
        run(second, trainer)


@pytest.mark.parametrize("lost", ["weights/policy/action_net.weight", "env0/row", "rng/torch",
                                  "callback/scale/mean", "last/_last_obs"])  # fmt: skip
def test_a_checkpoint_that_lacks_a_part_is_refused(lost: str, tmp_path: Path) -> None:
    first, second = rungs(order(CONTINUOUS, "ppo", 200), tmp_path, 30)
    run(first, "ppo")
    arrays, facts = load(tmp_path / "30", second, "ppo")
    del arrays[lost]
    save(tmp_path / "30", second, "ppo", arrays, facts)
    with pytest.raises(TrainingError, match=r"no checkpoint of this|not a state"):
        run(second, "ppo")


@pytest.mark.parametrize("lost", ["learner/weights", "rollouts/env0/row", "rollouts/seen",
                                  "scales/mean", "sums/returns", "recent"])  # fmt: skip
def test_a_checkpoint_of_the_fast_trainer_that_lacks_a_part_is_refused(
    lost: str, tmp_path: Path
) -> None:
    first, second = rungs(order(CONTINUOUS, "fast", 200), tmp_path, 30)
    run(first, "fast")
    arrays, facts = load(tmp_path / "30", second, "fast")
    del arrays[lost]
    save(tmp_path / "30", second, "fast", arrays, facts)
    with pytest.raises(TrainingError, match=r"no checkpoint of this|not a state"):
        run(second, "fast")


def test_a_checkpoint_holds_arrays_and_json_alone(tmp_path: Path) -> None:
    first, _ = rungs(order(CONTINUOUS, "sac", 200), tmp_path, 130)
    run(first, "sac")
    assert {path.name for path in (tmp_path / "130").iterdir()} == {ARRAYS, FACTS}
    json.loads((tmp_path / "130" / FACTS).read_bytes())


def test_without_a_checkpoint_no_steps_are_kept_and_nothing_is_captured() -> None:
    spec = replace(find_task("LunarLander-v3").env, max_steps=30)
    assert run(replace(order(spec, "ppo", 200), stop=70), "ppo").steps == 126
