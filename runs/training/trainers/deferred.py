"""Rewards after the fact: one call per rollout, then the returns are computed again.

A reward never influences the simulator within a rollout, so the environments give 0 and the reward
program sees the rollout as one batch. The result is bit-identical to rewards given at every step.
"""

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
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv, dones_of
from rewardsmith.runs.training.trainers.weights import finite, policy_of, spread
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

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
        self._source = source
        self._watch = watch
        self._recorder = recorder
        self._scale = scale
        self._episodes = _Episodes(recorder.num_envs)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > 0:
            self._updated()

    def _on_training_end(self) -> None:
        self._updated()
        self.logger.dump(self.num_timesteps)

    def _on_rollout_end(self) -> None:
        rewards, dones = self._rewards()
        self._hand_over(rewards, dones)

    def _hand_over(self, rewards: Float32Array, dones: BoolArray) -> None:
        raise NotImplementedError

    def _rewards(self) -> tuple[Float32Array, BoolArray]:
        """Returns (T, N) rewards and episode ends of the steps since the last call."""
        steps = self._recorder.take()
        batch = self._source.rewards(steps, carry=True)
        if isinstance(batch, Failure):
            raise Stopped(batch)
        with np.errstate(over="ignore"):
            raw = batch.total.astype(np.float32).reshape(-1, steps.num_envs)
        if not np.isfinite(raw).all():
            raise Stopped(_too_large(batch))
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
            raise Stopped(diverged("the policy's weights became NaN or infinite"))
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


def diverged(what: str) -> Failure:
    """Returns the failure of a training under whose reward the policy fell apart."""
    return Failure(
        kind="diverged",
        text=f"training diverged: {what}. Keep the reward of one step within about -10 and 10, and "
        "free of jumps by orders of magnitude.",
    )


def _too_large(batch: RewardBatch) -> Failure:
    worst = float(np.max(np.abs(batch.total)))
    return diverged(f"a step's total reward reached {worst:.3g}, beyond single precision")
