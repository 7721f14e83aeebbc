"""The transitions that one reward has collected, with the labels of another."""

from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import ReplayBuffer

from rewardsmith.envs.step import Steps
from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardSource


def relabel(buffer: ReplayBuffer, steps: Steps, reward: RewardSource) -> Failure | None:
    """Replaces the rewards of all transitions in a replay buffer by those of ``reward``.

    Args:
        buffer: filled by the trainer of which ``steps`` are recorded.
        steps: all steps in the order of their collection, of which the buffer holds the last; for a
            reward with memory from the starts of their episodes on, so best from the very first.
        reward: is asked once, in order of time.

    Returns:
        What the reward program did wrong, None if nothing; then the buffer is as it was.

    Raises:
        ConfigError: the steps are not those of the buffer.
    """
    held = buffer.buffer_size if buffer.full else buffer.pos
    times = steps.rows // steps.num_envs
    if steps.num_envs != buffer.n_envs or times < held:
        raise ConfigError(
            f"{times} steps of {steps.num_envs} environments do not cover a buffer that holds "
            f"{held} of {buffer.n_envs}; record every step from the start"
        )
    batch = reward.rewards(steps)
    if isinstance(batch, Failure):
        return batch
    rewards: npt.NDArray[Any] = batch.total.astype(np.float32).reshape(times, steps.num_envs)
    places = (buffer.pos - held + np.arange(held)) % buffer.buffer_size
    buffer.rewards[places] = rewards[times - held :]
    return None
