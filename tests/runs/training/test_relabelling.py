from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.step import Steps
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Unwatched
from rewardsmith.runs.training.trainers.deferred import OffPolicy
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv, seeded
from rewardsmith.runs.training.trainers.relabelling import relabel
from rewardsmith.runs.training.trainers.sb3 import new_model
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

SPEC = replace(toy.tasks()[0].env, max_steps=9)
MEMORY = """
MEMORY = {"last": 0.0}

def compute_reward(position, memory):
    gain = position - memory["last"]
    memory["last"] = 0.5 * memory["last"] + position
    return gain, {}
"""


class Keeps:
    """Passes on a reward's answers and keeps the steps that it was asked about."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.seen: list[Steps] = []

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.seen.append(steps)
        answer: RewardBatch | Failure = self.source.rewards(steps, carry=carry)
        return answer

    @property
    def steps(self) -> Steps:
        """All steps seen, in order."""
        first = self.seen[0]

        def joined(name: str) -> Any:
            return np.concatenate([getattr(steps, name) for steps in self.seen])

        names = ("action", "terminated", "truncated", "starts", "native_reward")
        after, before = (
            {k: np.concatenate([getattr(s, part)[k] for s in self.seen]) for k in first.after}
            for part in ("after", "before")
        )
        plain = {name: joined(name) for name in names}
        return Steps(num_envs=first.num_envs, after=after, before=before, **plain)

    def close(self) -> None:
        pass


def collected(source: Any, buffer_size: int) -> Any:
    """The replay buffer of a training that only collects: whatever the reward, the same steps."""
    params = hyperparams("sac", SPEC.id, {
        "n_envs": 3, "train_freq": 4, "gradient_steps": 1, "batch_size": 8,
        "learning_starts": 1000, "net_arch": [4], "buffer_size": buffer_size,
    })  # fmt: skip
    vec = RecordingVecEnv(SPEC, 3)
    model: Any = new_model("sac", vec, params, seed=1, device="cpu")
    seeded(vec, 1)
    model.learn(120, callback=OffPolicy(source, Unwatched(), vec, None))
    return model.replay_buffer


@pytest.mark.parametrize("buffer_size", [1000, 60], ids=["roomy", "wraps"])
@pytest.mark.parametrize("memory", [False, True], ids=["plain", "memory"])
def test_a_relabelled_buffer_is_that_of_a_training_with_the_other_reward(
    buffer_size: int, memory: bool, rule_reward: Any
) -> None:
    first = Keeps(rule_reward(lambda columns, action: columns["velocity"]))
    buffer = collected(first, buffer_size)
    with RewardClient(MEMORY, SPEC) as client, RewardClient(MEMORY, SPEC) as again:
        other = collected(client if memory else NativeReward(), buffer_size)
        assert not np.array_equal(buffer.rewards, other.rewards)
        assert relabel(buffer, first.steps, again if memory else NativeReward()) is None
    for name in ("observations", "actions", "rewards", "dones"):
        assert np.array_equal(getattr(buffer, name), getattr(other, name)), name


def test_a_reward_that_fails_leaves_the_buffer_as_it_was() -> None:
    class Fails:
        def rewards(self, steps: Steps, *, carry: bool = False) -> Failure:
            return Failure(kind="oom", text="too much")

        def close(self) -> None:
            pass

    kept = Keeps(NativeReward())
    buffer = collected(kept, 60)
    before = buffer.rewards.copy()
    failure = relabel(buffer, kept.steps, Fails())
    assert failure is not None
    assert failure.kind == "oom"
    assert np.array_equal(buffer.rewards, before)


def test_steps_that_do_not_cover_the_buffer_are_refused() -> None:
    kept = Keeps(NativeReward())
    buffer = collected(kept, 1000)
    with pytest.raises(ConfigError, match="record every step from the start"):
        relabel(buffer, kept.seen[-1], NativeReward())
    with pytest.raises(ConfigError, match="of 1 environments"):
        relabel(buffer, replace(kept.steps, num_envs=1), NativeReward())
