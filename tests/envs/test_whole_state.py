import json
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest

from rewardsmith.envs.recorder import KEY, Recorder, make_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import ActionSpec, EnvSpec
from rewardsmith.envs.whole_state import kept, put_back
from rewardsmith.errors import ConfigError, TrainingError

MUJOCO = ("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "InvertedDoublePendulum-v5", "Reacher-v5",
          "Walker2d-v5")  # fmt: skip
POINTS = ("rewardsmith/Point-v0", "rewardsmith/Point-v0-discrete")
CLASSIC = ("CartPole-v1", "Pendulum-v1", "MountainCar-v0", "Acrobot-v1")
OTHER_MUJOCO = ("Humanoid-v5", "HumanoidStandup-v5", "Swimmer-v5", "Pusher-v5")


def spec_of(name: str) -> EnvSpec:
    if name not in (*CLASSIC, *OTHER_MUJOCO):
        return find_task(name).env
    limit = gymnasium.spec(name).max_episode_steps
    plain = ActionSpec((), (), (), None, "")
    return EnvSpec(name, (), (), plain, limit or 100, 0.1)


def played(env: Any, seed: int, count: int) -> list[Any]:
    """Everything that a training sees of some steps, resets included."""
    env.action_space.seed(seed)
    seen: list[Any] = []
    for _ in range(count):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        row = info[KEY]
        seen.append((observation.tobytes(), row.before.tobytes(), row.after.tobytes(),
                     row.native_reward, row.starts, terminated, truncated))  # fmt: skip
        if terminated or truncated:
            seen.append(env.reset()[0].tobytes())
    return seen


@pytest.mark.parametrize("name", [*MUJOCO, *POINTS, *CLASSIC, *OTHER_MUJOCO])
@pytest.mark.parametrize("before", [0, 1, 37])
def test_what_was_put_back_goes_on_the_same_to_the_bit(name: str, before: int) -> None:
    spec = replace(spec_of(name), max_steps=45)
    env, other = make_env(spec), make_env(spec)
    env.reset(seed=3)
    played(env, 1, before)
    arrays, facts = kept(env)
    facts = json.loads(json.dumps(facts))
    whole = played(env, 2, 60)
    other.reset(seed=8)
    played(other, 5, 11)
    put_back(other, arrays, facts)
    assert played(other, 2, 60) == whole


def test_what_was_kept_does_not_change_with_the_environment() -> None:
    env = make_env(find_task("Ant-v5").env)
    env.reset(seed=0)
    arrays, _ = kept(env)
    copies = {name: array.copy() for name, array in arrays.items()}
    played(env, 0, 5)
    assert all(np.array_equal(arrays[name], copies[name]) for name in copies)


@pytest.mark.parametrize("name", ["LunarLander-v3", "BipedalWalker-v3"])
def test_what_cannot_be_captured_says_so_and_what_to_do(name: str) -> None:
    env = make_env(find_task(name).env)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=f"{name} cannot be captured.*train in one go"):
        kept(env)


def test_a_wrapper_of_somebody_elses_may_hold_anything_and_is_refused() -> None:
    spec = find_task("HalfCheetah-v5").env
    inner = gymnasium.wrappers.NormalizeObservation(gymnasium.make("HalfCheetah-v5"))
    env = Recorder(inner, spec, native_reward=False)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="the wrapper NormalizeObservation around HalfCheetah-v5"):
        kept(env)


def test_an_environment_of_somebody_elses_is_captured_through_its_own_methods_alone() -> None:
    class Theirs(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
        action_space = gymnasium.spaces.Discrete(2)
        data = "simulated elsewhere"

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return np.zeros(1, np.float32), {}

    plain = ActionSpec((), (), (), 2, "")
    env = Recorder(Theirs(), EnvSpec("Theirs-v0", (), (), plain, 9, 0.1), native_reward=False)
    env.reset()
    with pytest.raises(ConfigError, match="the environment Theirs cannot be captured"):
        kept(env)


def test_nothing_is_kept_of_what_never_began() -> None:
    with pytest.raises(ConfigError, match="before the first reset"):
        kept(make_env(find_task("Hopper-v5").env))


def test_without_a_recorder_there_is_nothing_to_go_on_with() -> None:
    with pytest.raises(ConfigError, match="without a recorder"):
        kept(gymnasium.make("Hopper-v5", disable_env_checker=True))


@pytest.mark.parametrize("damage", ["missing", "shape", "rng"])
def test_the_state_of_another_kind_is_refused(damage: str) -> None:
    env = make_env(find_task("Hopper-v5").env)
    env.reset(seed=0)
    arrays, facts = kept(env)
    if damage == "missing":
        del arrays["xpos"]
    elif damage == "shape":
        arrays["state"] = arrays["state"][:-1]
    else:
        facts["rng"] = {"bit_generator": "Dice"}
    with pytest.raises(TrainingError, match="not a state of this kind"):
        put_back(env, arrays, facts)
