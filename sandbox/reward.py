"""What every reward is to the trainer: arrays in, arrays out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import FloatArray
from rewardsmith.sandbox.failure import Failure


@dataclass(frozen=True)
class RewardBatch:
    """The rewards of some steps: ``total`` (rows,) and ``components[name]`` (rows,), all finite."""

    total: FloatArray
    components: Mapping[str, FloatArray]


class RewardSource(Protocol):
    """Anything that can reward recorded steps: a program in its worker, or the environment."""

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the rewards of ``steps``, or what the program did wrong.

        Args:
            steps: time-major rows; order matters only to programs with ``memory``.
            carry: go on with the memory of the previous call with ``carry`` (the same environments,
                later in time) instead of starting afresh.
        """
        ...

    def close(self) -> None:
        """Ends the worker, if there is one; safe to call twice."""
        ...
