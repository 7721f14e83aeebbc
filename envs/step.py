"""Columns of recorded steps and of whole episodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.task import BoolArray, FloatArray


@dataclass(frozen=True)
class Steps:
    """Recorded steps of N environments, time-major: row ``t * num_envs + i`` is step t of i.

    ``after[name]`` (rows, *shape) holds a field after the action (at an episode's last step the
    terminal state, never the auto-reset one); ``before[name]`` the same field before it (at an
    episode's first step the reset state). ``action`` (rows, *action shape) is what ``env.step``
    received. ``starts`` marks the first step of an episode. ``native_reward`` is the environment's
    own reward; neither it nor any hidden field is ever sent to a reward program.
    """

    num_envs: int
    after: Mapping[str, FloatArray]
    before: Mapping[str, FloatArray]
    action: npt.NDArray[Any]
    terminated: BoolArray
    truncated: BoolArray
    starts: BoolArray
    native_reward: FloatArray

    @property
    def rows(self) -> int:
        """Number of steps, T * num_envs."""
        return len(self.terminated)

    def take(self, index: npt.NDArray[np.int64]) -> "Steps":
        """Returns the rows at ``index`` as unrelated steps: an environment each, all starts."""
        return Steps(
            num_envs=len(index),
            after={k: v[index] for k, v in self.after.items()},
            before={k: v[index] for k, v in self.before.items()},
            action=self.action[index],
            terminated=self.terminated[index],
            truncated=self.truncated[index],
            starts=np.ones(len(index), dtype=np.bool_),
            native_reward=self.native_reward[index],
        )


@dataclass(frozen=True)
class Episode:
    """One whole episode as the fitness sees it: T steps, card fields and hidden fields alike.

    ``steps.num_envs`` is 1; ``steps.after`` and ``steps.before`` hold the card's fields and the
    hidden ones. ``snapshots`` maps a step index to the full simulator state before that step
    (float64 vector), where the simulator can be restored; else it is empty.
    """

    seed: int
    dt: float
    steps: Steps
    snapshots: Mapping[int, FloatArray]

    @property
    def length(self) -> int:
        """Number of steps T."""
        return self.steps.rows

    @property
    def terminated(self) -> bool:
        """Whether the task ended the episode (a fall, a landing), rather than the time limit."""
        return bool(self.steps.terminated[-1])
