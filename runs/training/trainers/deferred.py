"""Rewards after the fact: one call per rollout, then the returns are computed again.

A reward never influences the simulator within a rollout, so the environments give 0 and the reward
program sees the rollout as one batch. The result is bit-identical to rewards given at every step.
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd

from rewardsmith.envs.task import BoolArray
from rewardsmith.runs.training.policy import Policy
from rewardsmith.runs.training.trainers import Watch
from rewardsmith.runs.training.trainers.divergence import WEIGHTS, diverged, single_precision
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv, dones_of
from rewardsmith.runs.training.trainers.underway import Underway
from rewardsmith.runs.training.trainers.weights import finite, policy_of, spread
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

Arrays = dict[str, npt.NDArray[Any]]
Float32Array = npt.NDArray[np.float32]


class Stopped(Exception):
    """Ends a training from within a callback; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class ReturnScale:
    """Divides rewards by the running deviation of the discounted return, as VecNormalize does."""

    def __init__(self, num_envs: int, gamma: float, *, clip: float = 10.0) -> None:
        self._returns = np.zeros(num_envs)
        self._statistics = RunningMeanStd(shape=())
        self._gamma = gamma
        self._clip = clip

    def scaled(self, rewards: Float32Array, dones: BoolArray) -> Float32Array:
        """Returns (T, N) rewards, each scaled by what was known at its time; T goes in order."""
        out = np.empty_like(rewards)
        for t, row in enumerate(rewards):
            self._returns = self._returns * self._gamma + row
            self._statistics.update(self._returns)
            deviation = np.sqrt(self._statistics.var + 1e-8)
            out[t] = np.clip(row / deviation, -self._clip, self._clip)
            self._returns[dones[t]] = 0
        return out

    def kept(self) -> Arrays:
        """Returns all that the next call depends on."""
        known = self._statistics
        parts = {"returns": self._returns, "mean": known.mean, "var": known.var}
        parts["count"] = np.asarray(known.count)
        return {name: np.array(part) for name, part in parts.items()}

    def put_back(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes what `kept` returned."""
        self._returns[:] = arrays["returns"]
        self._statistics.mean, self._statistics.var = arrays["mean"], arrays["var"]
        self._statistics.count = float(arrays["count"])


class _Episodes:
    """Sums of reward and steps of the episodes under way; finished ones go to SB3's log."""

    def __init__(self, num_envs: int) -> None:
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, dtype=np.int64)

    def finished(self, rewards: Float32Array, dones: BoolArray) -> list[dict[str, float]]:
        ended: list[dict[str, float]] = []
        for t in range(len(rewards)):
            self._returns += rewards[t]
            self._lengths += 1
            for i in np.flatnonzero(dones[t]):
                ended.append({"r": float(self._returns[i]), "l": int(self._lengths[i])})
                self._returns[i], self._lengths[i] = 0.0, 0
        return ended

    def kept(self) -> Arrays:
        return {"returns": self._returns.copy(), "lengths": self._lengths.copy()}

    def put_back(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._returns[:], self._lengths[:] = arrays["returns"], arrays["lengths"]


class Deferred(BaseCallback):
    """Gets each rollout's rewards from ``source`` and hands them to the algorithm."""

    def __init__(
        self,
        source: RewardSource,
        watch: Watch,
        recorder: RecordingVecEnv,
        scale: ReturnScale | None,
    ) -> None:
        super().__init__()
        self.recorder = recorder
        self._source = source
        self._watch = watch
        self._scale = scale
        self._episodes = _Episodes(recorder.num_envs)
        self._underway: Underway | None = None
        self._told = 0  # env steps at the last update that the watch has heard of

    def keep_underway(self) -> None:
        """Has the callback keep the steps of episodes under way, as a checkpoint needs them."""
        self._underway = Underway()

    def kept(self) -> Arrays:
        """Returns the callback's part of a checkpoint; `keep_underway` was called at the start."""
        assert self._underway is not None
        parts = {"episodes": self._episodes.kept(), "underway": self._underway.kept()}
        parts |= {} if self._scale is None else {"scale": self._scale.kept()}
        return {f"{part}/{name}": a for part, found in parts.items() for name, a in found.items()}

    def put_back(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes what `kept` returned, and has a reward with memory live through it again.

        Raises:
            Stopped: the reward program failed on the steps of the episodes under way.
        """
        self._episodes.put_back(_below("episodes", arrays))
        if self._scale is not None:
            self._scale.put_back(_below("scale", arrays))
        underway = self._underway or Underway()
        underway.put_back(_below("underway", arrays), self.recorder.num_envs)
        batch = self._source.rewards(underway.steps, carry=True) if underway.steps else None
        if isinstance(batch, Failure):
            raise Stopped(batch)

    def _on_training_start(self) -> None:
        self._told = self.num_timesteps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self._told:
            self._updated()

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._told:
            self._updated()
        self.logger.dump(self.num_timesteps)

    def _on_rollout_end(self) -> None:
        rewards, dones = self._rewards()
        self._hand_over(rewards, dones)

    def _hand_over(self, rewards: Float32Array, dones: BoolArray) -> None:
        raise NotImplementedError

    def _rewards(self) -> tuple[Float32Array, BoolArray]:
        """Returns (T, N) rewards and episode ends of the steps since the last call."""
        steps = self.recorder.take()
        if self._underway is not None:
            self._underway.add(steps)
        batch = self._source.rewards(steps, carry=True)
        if isinstance(batch, Failure):
            raise Stopped(batch)
        raw = single_precision(batch, steps.num_envs)
        if isinstance(raw, Failure):
            raise Stopped(raw)
        dones = dones_of(steps)
        self._log(batch, raw, dones)
        return (raw if self._scale is None else self._scale.scaled(raw, dones)), dones

    def _log(self, batch: RewardBatch, raw: Float32Array, dones: BoolArray) -> None:
        self._watch.rewarded(self.num_timesteps, batch)
        self.logger.record("reward/total", float(batch.total.mean()))
        for name, values in batch.components.items():
            self.logger.record(f"reward/{name}", float(values.mean()))
        if self.model.ep_info_buffer is not None:
            self.model.ep_info_buffer.extend(self._episodes.finished(raw, dones))

    def _updated(self) -> None:
        if not finite(self.model.policy):
            raise Stopped(diverged(WEIGHTS))
        self._told = self.num_timesteps
        scalars = self._watch.updated(self.num_timesteps, self._policy, self._spread)
        for name, value in scalars.items():
            self.logger.record(name, value)

    def _policy(self) -> Policy:
        return policy_of(self.model)

    def _spread(self) -> float | None:
        return spread(self.model)


class OnPolicy(Deferred):
    """Fills the rollout buffer, then lets it compute returns and advantages once more."""

    def _hand_over(self, rewards: Float32Array, dones: BoolArray) -> None:
        buffer = cast(OnPolicyAlgorithm, self.model).rollout_buffer
        # The buffer holds only gamma * V(terminal) on time-outs, added while rewards were 0.
        buffer.rewards[:] = rewards + buffer.rewards
        values = cast(torch.Tensor, self.locals["values"])
        buffer.compute_returns_and_advantage(last_values=values, dones=self.locals["dones"])


class OffPolicy(Deferred):
    """Labels each collected chunk in the replay buffer, in order of time, before it is used."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._positions: list[int] = []

    def _on_step(self) -> bool:
        # Stable-Baselines3 stores the transition right after this call, at this position.
        self._positions.append(self._buffer().pos)
        return True

    def _buffer(self) -> ReplayBuffer:
        return cast(ReplayBuffer, cast(OffPolicyAlgorithm, self.model).replay_buffer)

    def _hand_over(self, rewards: Float32Array, dones: BoolArray) -> None:
        self._buffer().rewards[self._positions] = rewards
        self._positions.clear()


def _below(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    start = f"{prefix}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
