from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rewardsmith.envs import toy
from rewardsmith.envs.step import Steps
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.trainers import Unwatched
from rewardsmith.runs.training.trainers.deferred import (
    OffPolicy,
    OnPolicy,
    ReturnScale,
    Stopped,
    _Episodes,
)
from rewardsmith.runs.training.trainers.divergence import diverged
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv, dones_of, seeded
from rewardsmith.runs.training.trainers.sb3 import new_model
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

SPEC = replace(toy.tasks()[0].env, max_steps=9)
Float = npt.NDArray[np.float32]


class Told(gym.Env[Any, Any]):
    """Hands out the rewards and ends that it is given, one after the other."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, rewards: Float, dones: npt.NDArray[np.bool_]) -> None:
        self._rewards, self._dones, self._time = rewards, dones, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        t, self._time = self._time, self._time + 1
        return np.zeros(1, np.float32), float(self._rewards[t]), bool(self._dones[t]), False, {}


def rollouts(seed: int, steps: int, envs: int, size: float) -> tuple[Float, Any]:
    rng = np.random.default_rng(seed)
    rewards = (size * rng.standard_normal((steps, envs))).astype(np.float32)
    return rewards, rng.random((steps, envs)) < 0.2


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    steps=st.integers(1, 40),
    envs=st.integers(1, 4),
    size=st.sampled_from([0.0, 1e-4, 1.0, 1e3, 1e6]),
    gamma=st.sampled_from([0.0, 0.9, 0.999, 1.0]),
    cuts=st.lists(st.integers(1, 39), max_size=3),
)
def test_rewards_are_scaled_exactly_as_vecnormalize_does(
    seed: int, steps: int, envs: int, size: float, gamma: float, cuts: list[int]
) -> None:
    rewards, dones = rollouts(seed, steps, envs, size)
    theirs = VecNormalize(
        DummyVecEnv([lambda i=i: Told(rewards[:, i], dones[:, i]) for i in range(envs)]),  # type: ignore[misc]
        norm_obs=False,
        gamma=gamma,
    )
    theirs.reset()
    wanted = np.array([theirs.step(np.zeros(envs, int))[1] for _ in range(steps)])
    ours = ReturnScale(envs, gamma)
    edges = sorted({0, steps, *(cut for cut in cuts if cut < steps)})
    found = [ours.scaled(rewards[a:b], dones[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(found), wanted)


def test_scaled_rewards_stay_within_the_clip() -> None:
    rewards = np.zeros((50, 1), np.float32)
    rewards[-1] = 1e6
    scaled = ReturnScale(1, 0.99, clip=3.0).scaled(rewards, np.zeros((50, 1), bool))
    assert scaled[-1] == 3.0
    assert np.all(np.abs(scaled) <= 3.0)


@given(
    seed=st.integers(0, 999),
    steps=st.integers(1, 30),
    envs=st.integers(1, 4),
    cut=st.integers(0, 30),
)
def test_episode_sums_do_not_depend_on_where_rollouts_are_cut(
    seed: int, steps: int, envs: int, cut: int
) -> None:
    rewards, dones = rollouts(seed, steps, envs, 1.0)
    whole = _Episodes(envs).finished(rewards, dones)
    parts = _Episodes(envs)
    found = parts.finished(rewards[:cut], dones[:cut]) + parts.finished(rewards[cut:], dones[cut:])
    assert found == whole
    assert len(whole) == int(dones.sum())
    wanted: list[int] = []
    for i in range(envs):
        ends = np.flatnonzero(dones[:, i])
        wanted += np.diff(ends, prepend=-1).tolist()
    assert sorted(e["l"] for e in whole) == sorted(wanted)


def advantages(
    rewards: Float, values: Float, starts: Any, end: tuple[Float, Any], rates: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Generalised advantages by their definition: a discounted sum of errors up to the end."""
    (last, dones), (gamma, lam) = end, rates
    steps, envs = rewards.shape
    found = np.zeros((steps, envs))
    for i in range(envs):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                ended = dones[i] if k == steps - 1 else starts[k + 1, i]
                following = last[i] if k == steps - 1 else values[k + 1, i]
                error = rewards[k, i] + gamma * following * (1 - ended) - values[k, i]
                found[t, i] += weight * error
                if ended:
                    break
                weight *= gamma * lam
    return found


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    steps=st.integers(1, 8),
    envs=st.integers(1, 3),
    gamma=st.sampled_from([0.5, 0.99, 1.0]),
    lam=st.sampled_from([0.0, 0.9, 1.0]),
)
def test_advantages_are_those_of_the_rewards_that_came_later(
    seed: int, steps: int, envs: int, gamma: float, lam: float
) -> None:
    rng = np.random.default_rng(seed)
    box = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    buffer = RolloutBuffer(steps, box, box, gamma=gamma, gae_lambda=lam, n_envs=envs)
    bootstrap = np.where(rng.random((steps, envs)) < 0.2, 0.7, 0.0).astype(np.float32)
    starts = (rng.random((steps, envs)) < 0.3).astype(np.float32)
    values = torch.as_tensor(rng.standard_normal((steps, envs)), dtype=torch.float32)
    zeros = np.zeros((envs, 1), np.float32)
    for t in range(steps):
        buffer.add(zeros, zeros, bootstrap[t], starts[t], values[t], torch.zeros(envs))
    last = torch.as_tensor(rng.standard_normal(envs), dtype=torch.float32)
    dones = rng.random(envs) < 0.3
    rewards = rng.standard_normal((steps, envs)).astype(np.float32)
    callback = OnPolicy(Halves(), Unwatched(), recorder(envs), None)
    callback.model = SimpleNamespace(rollout_buffer=buffer)  # type: ignore[assignment]
    callback.locals = {"values": last, "dones": dones}
    callback._hand_over(rewards, np.zeros((steps, envs), bool))
    wanted = advantages(
        rewards + bootstrap, values.numpy(), starts, (last.numpy(), dones), (gamma, lam)
    )
    np.testing.assert_allclose(buffer.advantages, wanted, atol=2e-5)
    np.testing.assert_allclose(buffer.returns, wanted + values.numpy(), atol=2e-5)


def recorder(envs: int) -> RecordingVecEnv:
    return RecordingVecEnv(SPEC, envs)


class Halves:
    """Rewards row number over two, counted from the start: every row can be told apart."""

    def __init__(self) -> None:
        self.rows = 0
        self.given: list[Steps] = []

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        assert carry
        total = 0.5 * np.arange(self.rows, self.rows + steps.rows, dtype=np.float64)
        self.rows += steps.rows
        self.given.append(steps)
        return RewardBatch(total=total, components={"half": total})

    def close(self) -> None:
        pass


@pytest.mark.parametrize("buffer_size", [1000, 60, 12], ids=["roomy", "wraps", "one chunk"])
def test_sac_labels_every_transition_in_order_of_time(buffer_size: int) -> None:
    envs, chunk = 3, 4
    params = hyperparams("sac", SPEC.id, {
        "n_envs": envs, "train_freq": chunk, "gradient_steps": 1, "batch_size": 8,
        "learning_starts": 30, "net_arch": [4], "buffer_size": buffer_size,
    })  # fmt: skip
    vec, source = recorder(envs), Halves()
    model: Any = new_model("sac", vec, params, seed=1, device="cpu")
    seeded(vec, 1)
    model.learn(96, callback=OffPolicy(source, Unwatched(), vec, None))
    buffer = model.replay_buffer
    assert source.rows == 96
    rows = np.arange(96).reshape(-1, envs)
    room = buffer_size // envs
    for t, row in enumerate(rows):
        if t >= len(rows) - room:
            assert buffer.rewards[t % room].tolist() == (0.5 * row).tolist(), t
    positions = np.concatenate([s.after["position"] for s in source.given]).reshape(-1, envs)
    kept = min(room, len(rows))
    for t in range(len(rows) - kept, len(rows)):
        # The transition beside the label is the one that was rewarded.
        stored = buffer.next_observations[t % room][:, 0]
        np.testing.assert_allclose(stored, positions[t], atol=1e-6)


class Answers:
    """Gives the totals that it is told to, call by call."""

    def __init__(self, value: float) -> None:
        self.value = value

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        total = np.full(steps.rows, self.value)
        return RewardBatch(total=total, components={"only": total})

    def close(self) -> None:
        pass


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e80])
def test_rewards_beyond_single_precision_end_a_training_as_diverged(value: float) -> None:
    vec = recorder(2)
    callback = OnPolicy(Answers(value), Unwatched(), vec, None)
    vec.reset()
    vec.step(np.zeros((2, 1), np.float32))
    with pytest.raises(Stopped) as stopped:
        callback._rewards()
    assert stopped.value.failure.kind == "diverged"
    assert "single precision" in stopped.value.failure.text


def test_a_divergence_says_what_to_do_about_it() -> None:
    failure = diverged("the weights became NaN")
    assert failure.kind == "diverged"
    assert "the weights became NaN" in failure.text
    assert "within about -10 and 10" in failure.text


class Seen(Unwatched):
    """Notes what it is told, and what is asked of it."""

    def __init__(self, scalars: Mapping[str, float]) -> None:
        self.scalars = scalars
        self.told: list[tuple[str, int]] = []

    def rewarded(self, steps: int, batch: RewardBatch) -> None:
        self.told.append(("rewarded", steps))

    def updated(self, steps: int, policy: Any, std: Any) -> Mapping[str, float]:
        self.told.append(("updated", steps))
        assert policy().spec.kind in ("ppo", "sac")
        assert std() is None or std() > 0
        return self.scalars


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_watch_hears_of_each_rollout_and_then_of_the_update_that_follows(algorithm: Any) -> None:
    from rewardsmith.runs.training.trainers import Order, find_trainer

    sizes = {"n_envs": 2, "batch_size": 8, "net_arch": [4]}
    more = {"n_steps": 8} if algorithm == "ppo" else {"train_freq": 8, "learning_starts": 10}
    watch = Seen({})
    params = hyperparams(algorithm, SPEC.id, {**sizes, **more})
    find_trainer(algorithm).train(Order(SPEC, params, seed=1, steps=48), Halves(), watch)
    assert watch.told == [
        ("rewarded", 16), ("updated", 16), ("rewarded", 32), ("updated", 32), ("rewarded", 48),
        ("updated", 48),
    ]  # fmt: skip


def test_ends_of_episodes_are_told_per_environment_whatever_ended_them() -> None:
    vec = recorder(2)
    vec.reset()
    for _ in range(SPEC.max_steps):
        vec.step(np.zeros((2, 1), np.float32))
    dones = dones_of(vec.take())
    assert dones.shape == (SPEC.max_steps, 2)
    assert dones[-1].all()
    assert not dones[:-1].any()
