from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv

from rewardsmith.envs import toy
from rewardsmith.envs.recorder import make_env
from rewardsmith.envs.registry import find_task
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training.curve import curve_seeds
from rewardsmith.runs.training.trainers.recording import (
    RecordingVecEnv,
    flat_env,
    seeded,
)

TASK = toy.tasks()[0]
SPEC = replace(TASK.env, max_steps=5)
CONTINUOUS, DISCRETE = (replace(task.env, max_steps=5) for task in toy.tasks())


def actions(spec: Any, envs: int, time: int) -> Any:
    rng = np.random.default_rng(time)
    if spec.action.count is not None:
        return rng.integers(spec.action.count, size=envs)
    return rng.uniform(-1, 1, (envs, *spec.action.shape)).astype(np.float32)


HOPPER, LANDER = (
    replace(find_task(name).env, max_steps=7) for name in ("Hopper-v5", "LunarLander-v3")
)


@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE, HOPPER, LANDER], ids=lambda spec: spec.id)
def test_it_steps_exactly_as_the_plain_vector_of_environments(spec: Any) -> None:
    ours: Any = RecordingVecEnv(spec, 3)
    theirs: Any = DummyVecEnv([lambda: make_env(spec)] * 3)
    for vec in (ours, theirs):
        vec.seed(4)
    assert np.array_equal(ours.reset(), theirs.reset())
    for time in range(12):
        first, second = (vec.step(actions(spec, 3, time)) for vec in (ours, theirs))
        for mine, other in zip(first[:3], second[:3], strict=True):
            assert mine.dtype == other.dtype
            assert np.array_equal(mine, other)
        for mine_info, other_info in zip(first[3], second[3], strict=True):
            assert mine_info["TimeLimit.truncated"] == other_info["TimeLimit.truncated"]
            assert ("terminal_observation" in mine_info) == ("terminal_observation" in other_info)
            if "terminal_observation" in mine_info:
                terminal = mine_info["terminal_observation"]
                assert np.array_equal(terminal, other_info["terminal_observation"])


@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_steps_are_time_major_and_hold_the_actions_that_were_taken(spec: Any) -> None:
    vec = RecordingVecEnv(spec, 2)
    vec.seed(1)
    vec.reset()
    taken, seen = [], []
    for time in range(4):
        push = actions(spec, 2, time)
        observations = vec.step(push)[0]
        taken.append(push.copy())
        seen.append(np.asarray(observations)[:, 0])
        push[...] = 0  # the caller's array is the caller's
    steps = vec.take()
    assert (steps.rows, steps.num_envs) == (8, 2)
    assert np.array_equal(steps.action, np.concatenate(taken))
    np.testing.assert_allclose(steps.after["position"], np.concatenate(seen), atol=1e-6)
    assert set(steps.after) == {field.name for field in spec.fields}
    assert steps.starts.tolist() == [True, True, *[False] * 6]


def test_steps_are_taken_once_and_episodes_go_on_over_the_cut() -> None:
    vec = RecordingVecEnv(SPEC, 2)
    vec.seed(1)
    vec.reset()
    parts = []
    for times in ((0, 1, 2), (3, 4, 5)):
        for time in times:
            vec.step(actions(SPEC, 2, time))
        parts.append(vec.take())
    first, second = parts
    assert (first.rows, second.rows) == (6, 6)
    assert not second.starts[:2].any()
    assert np.array_equal(second.before["position"][:2], first.after["position"][-2:])
    # The fifth step ends both episodes, the sixth begins new ones.
    assert second.truncated.reshape(3, 2)[:, 0].tolist() == [False, True, False]
    assert second.starts.reshape(3, 2)[:, 0].tolist() == [False, False, True]


def test_the_reward_is_nothing_until_it_is_asked_for() -> None:
    vec = RecordingVecEnv(SPEC, 2)
    vec.reset()
    _, rewards, _, _ = vec.step(np.ones((2, 1), np.float32))
    assert np.all(rewards == 0.0)
    assert np.all(vec.take().native_reward < 0.0)


class Pair(gym.ObservationWrapper[Any, Any, Any]):
    """The point's observation as a dictionary."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        box = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = gym.spaces.Dict({"a": box, "b": box})

    def observation(self, observation: Any) -> Any:
        return {"a": observation[:1], "b": observation[2:]}


def test_observations_of_any_space_become_one_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "rewardsmith.runs.training.trainers.recording.make_env", lambda spec: Pair(make_env(spec))
    )
    env = flat_env(SPEC)
    assert env.observation_space.shape == (2,)
    assert env.reset(seed=1)[0].shape == (2,)
    monkeypatch.undo()
    assert not isinstance(flat_env(SPEC), gym.wrappers.FlattenObservation)


class Told(DummyVecEnv):
    """Keeps the seeds that it is given."""

    def __init__(self) -> None:
        self.given: list[int | None] = []

    def seed(self, seed: int | None = None) -> Any:
        self.given.append(seed)
        return []


@given(seed=st.integers(0, 10**9), count=st.integers(0, 5), first=st.integers(0, 2 * 10**9))
def test_training_curve_and_judgement_have_reset_seeds_of_their_own(
    seed: int, count: int, first: int
) -> None:
    vec = Told()
    seeded(vec, seed)
    (start,) = vec.given
    assert start is not None
    training = set(range(start, start + 8))
    unit = Unit(
        id="u", task=TASK, program=None, trainer="toy", hyperparams={}, seed=seed, steps=1,
        eval_seeds=tuple(range(first, first + 20)), eval_episodes_per_point=count,
    )  # fmt: skip
    curve = set(curve_seeds(unit))
    assert len(curve) == count
    assert not training & set(unit.eval_seeds)
    assert not training & curve
    assert not curve & set(unit.eval_seeds)


def test_seeds_of_trainings_differ_from_run_to_run() -> None:
    vec = Told()
    for seed in range(200):
        seeded(vec, seed)
    assert len(set(vec.given)) == 200


def test_its_environments_have_no_attributes_and_no_methods() -> None:
    vec = RecordingVecEnv(SPEC, 2)
    assert vec.get_attr("render_mode") == [None, None]
    assert vec.env_is_wrapped(gym.Wrapper) == [False, False]
    for call in (
        lambda: vec.get_attr("position"),
        lambda: vec.set_attr("position", 1.0),
        lambda: vec.env_method("render"),
    ):
        with pytest.raises(AttributeError, match="environments of a batch have no"):
            call()


def test_without_a_seed_every_reset_is_another() -> None:
    vec = RecordingVecEnv(SPEC, 2)
    assert not np.array_equal(vec.reset(), vec.reset())
