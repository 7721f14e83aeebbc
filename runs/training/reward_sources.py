"""The rewards a trainer can be given: a program in its worker, or the environment's own."""

import time
from types import TracebackType
from typing import Self

from rewardsmith.envs.step import Steps
from rewardsmith.runs.records import Unit
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource


class NativeReward:
    """The environment's own reward, through the same deferred path as every program."""

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch:
        """Returns ``steps.native_reward`` as total and as the one component ``native``."""
        del carry  # a recorded reward has no memory
        return RewardBatch(total=steps.native_reward, components={"native": steps.native_reward})

    def close(self) -> None:
        """Does nothing: there is no worker."""


class MeteredReward:
    """A reward source that counts its calls and their wall time, ``calls`` and ``wall_s``."""

    def __init__(self, source: RewardSource) -> None:
        self._source = source
        self.calls = 0
        self.wall_s = 0.0

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the source's answer."""
        start = time.perf_counter()
        try:
            return self._source.rewards(steps, carry=carry)
        finally:
            self.calls += 1
            self.wall_s += time.perf_counter() - start

    def verdict(self) -> Failure | None:
        """Returns what the program did wrong that only its whole training shows, None if nothing.

        Asked once, after the last rollout and before the policy is judged.
        """
        return None

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_reward(unit: Unit) -> MeteredReward:
    """Returns the reward that ``unit`` is to be trained with; a program gets a worker."""
    if unit.program is None:
        return MeteredReward(NativeReward())
    from rewardsmith.sandbox.client import RewardClient

    return MeteredReward(
        RewardClient(unit.program, unit.task.env, sandbox=unit.sandbox, mode=unit.mode)
    )
