"""Stacked statistics and advantages against Stable-Baselines3's, bit for bit."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rewardsmith.runs.training.trainers.deferred import ReturnScale, _Episodes
from rewardsmith.runs.training.trainers.fast_returns import (
    EpisodeSums,
    Moments,
    ReturnScales,
    advantages,
    clipped,
    explained_variance,
)


class Still(gym.Env[Any, Any]):
    """An environment that only has spaces."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(3), {}


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    lanes=st.integers(1, 5),
    envs=st.integers(1, 9),
    size=st.sampled_from([1e-3, 1.0, 1e5]),
)
def test_each_lanes_moments_are_those_of_a_running_mean_std(
    seed: int, lanes: int, envs: int, size: float
) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = Moments(lanes, (3,)), [RunningMeanStd(shape=(3,)) for _ in range(lanes)]
    for _ in range(10):
        values = size * rng.standard_normal((lanes, envs, 3)) + rng.standard_normal(3)
        ours.update(values)
        for lane, one in enumerate(theirs):
            one.update(values[lane])
    for lane, one in enumerate(theirs):
        assert np.array_equal(ours.mean[lane], one.mean)
        assert np.array_equal(ours.var[lane], one.var)
        assert ours.count == one.count


def test_observations_are_normalised_as_vecnormalize_does() -> None:
    rng = np.random.default_rng(0)
    theirs = VecNormalize(DummyVecEnv([Still] * 4), norm_reward=False)
    ours = Moments(1, (3,))
    for size in (1.0, 1.0, 300.0):
        values = size * rng.standard_normal((1, 4, 3))
        ours.update(values)
        theirs.obs_rms.update(values[0])
        wanted: Any = theirs.normalize_obs(values[0])
        assert np.array_equal(ours.normalised(values)[0], wanted)
    assert np.abs(ours.normalised(1e9 * np.ones((1, 4, 3)))).max() == 10.0


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    lanes=st.integers(1, 4),
    envs=st.integers(1, 9),
    size=st.sampled_from([0.0, 1e-4, 1.0, 1e6]),
    gamma=st.sampled_from([0.0, 0.9, 1.0]),
)
def test_each_lanes_rewards_are_scaled_as_if_it_were_alone(
    seed: int, lanes: int, envs: int, size: float, gamma: float
) -> None:
    rng = np.random.default_rng(seed)
    ours = ReturnScales(lanes, envs, gamma)
    theirs = [ReturnScale(envs, gamma) for _ in range(lanes)]
    for _ in range(2):
        rewards = (size * rng.standard_normal((12, lanes, envs))).astype(np.float32)
        dones = rng.random((12, lanes, envs)) < 0.2
        found = ours.scaled(rewards, dones)
        for lane, one in enumerate(theirs):
            assert np.array_equal(found[:, lane], one.scaled(rewards[:, lane], dones[:, lane]))


@given(seed=st.integers(0, 999), lanes=st.integers(1, 3), envs=st.integers(1, 4))
def test_each_lanes_episodes_are_summed_as_if_it_were_alone(
    seed: int, lanes: int, envs: int
) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = EpisodeSums(lanes, envs), [_Episodes(envs) for _ in range(lanes)]
    for _ in range(2):
        rewards = rng.standard_normal((9, lanes, envs)).astype(np.float32)
        dones = rng.random((9, lanes, envs)) < 0.3
        found = ours.finished(rewards, dones)
        for lane, one in enumerate(theirs):
            wanted = [(e["r"], e["l"]) for e in one.finished(rewards[:, lane], dones[:, lane])]
            assert found[lane] == wanted


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    steps=st.integers(1, 12),
    envs=st.integers(1, 3),
    gamma=st.sampled_from([0.5, 0.99, 1.0]),
    lam=st.sampled_from([0.0, 0.95, 1.0]),
)
def test_advantages_are_those_of_the_rollout_buffer_to_the_bit(
    seed: int, steps: int, envs: int, gamma: float, lam: float
) -> None:
    rng = np.random.default_rng(seed)
    shapes = ((steps, 2, envs), (steps, 2, envs), (2, envs))
    rewards, values, last = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    dones = rng.random((steps, 2, envs)) < 0.3
    ours = advantages(rewards, values, last, dones, gamma=gamma, gae_lambda=lam)
    for lane in range(2):
        box = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        buffer = RolloutBuffer(steps, box, box, gamma=gamma, gae_lambda=lam, n_envs=envs)
        buffer.rewards[:], buffer.values[:] = rewards[:, lane], values[:, lane]
        buffer.episode_starts[1:] = dones[:-1, lane]
        buffer.compute_returns_and_advantage(torch.as_tensor(last[lane]), dones[-1, lane])
        assert np.array_equal(ours[:, lane], buffer.advantages)


def test_clipping_keeps_nan_and_changes_its_argument() -> None:
    values = np.array([-20.0, np.nan, 3.0, np.inf])
    found = clipped(values, 10.0)
    assert found is values
    assert found[[0, 2, 3]].tolist() == [-10.0, 3.0, 10.0]
    assert np.isnan(found[1])


def test_explained_variance_is_one_for_a_perfect_critic_and_nan_without_variance() -> None:
    returns = np.arange(5, dtype=np.float32)
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(np.zeros(5, np.float32), returns) == pytest.approx(0.0)
    assert np.isnan(explained_variance(returns, np.ones(5, np.float32)))
