"""Environments of a batch go on to the bit in another batch, through many resets."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.vector import BatchedEnv, Keepable, Transition, make_batched
from rewardsmith.envs.vector.loop import LoopEnv
from rewardsmith.envs.vector.physics import PhysicsEnv
from rewardsmith.errors import ConfigError, TrainingError

CASES = [
    ("HalfCheetah-v5", PhysicsEnv),
    ("Ant-v5", PhysicsEnv),
    ("Hopper-v5", LoopEnv),
    ("rewardsmith/Point-v0", LoopEnv),
]


def made(env_id: str, kind: Any, count: int) -> Keepable:
    spec = replace(find_task(env_id).env, max_steps=9)
    env: BatchedEnv = LoopEnv(spec, count) if kind is LoopEnv else make_batched(spec, count)
    assert isinstance(env, kind)
    assert isinstance(env, Keepable)
    return env


def played(env: BatchedEnv, steps: int, seed: int, rows: slice) -> list[Transition]:
    """Steps with random actions that are the same for ``rows`` whatever else there is."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(steps):
        drawn = rng.uniform(-1, 1, (2, *env.spec.action.shape))
        actions = np.zeros((env.num_envs, *env.spec.action.shape))
        actions[rows] = drawn
        found.append(env.step(actions))
    return found


@pytest.mark.parametrize(("env_id", "kind"), CASES)
def test_kept_environments_go_on_to_the_bit_elsewhere_in_another_batch(
    env_id: str, kind: Any
) -> None:
    env, other = made(env_id, kind, 2), made(env_id, kind, 4)
    env.reset([7, 8])
    played(env, 14, 0, slice(0, 2))
    kept = [env.kept(i) for i in range(2)]
    whole = played(env, 25, 1, slice(0, 2))
    other.reset([1, 2, 3, 4])
    for i, (arrays, facts) in enumerate(kept):
        other.put_back(2 + i, arrays, json.loads(json.dumps(facts)))
    again = played(other, 25, 1, slice(2, 4))
    names = ("observation", "final_observation", "before", "after", "terminated", "truncated",
             "starts", "native_reward")  # fmt: skip
    for one, two in zip(whole, again, strict=True):
        for name in names:
            assert np.array_equal(getattr(one, name), getattr(two, name)[2:4]), name
    env.close()
    other.close()


@pytest.mark.parametrize("kind", [PhysicsEnv, LoopEnv])
def test_the_state_of_another_robot_is_refused(kind: Any) -> None:
    ant, hopper = made("Ant-v5", kind, 1), made("Hopper-v5", kind, 1)
    ant.reset([1])
    hopper.reset([1])
    with pytest.raises(TrainingError, match=r"Ant-v5: not a state of this kind"):
        ant.put_back(0, *hopper.kept(0))
    ant.close()
    hopper.close()


def test_an_environment_that_cannot_be_captured_says_so() -> None:
    env = make_batched(find_task("LunarLander-v3").env, 1)
    assert isinstance(env, Keepable)
    env.reset([1])
    with pytest.raises(ConfigError, match="cannot be captured"):
        env.kept(0)
    env.close()
