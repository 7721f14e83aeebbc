"""The steps of episodes under way, from which a reward's memory can be rebuilt."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.step import Steps


class Underway:
    """The latest steps, as far back as the oldest episode that is still under way.

    A reward's memory within these episodes follows from them: it is rebuilt by asking for their
    rewards again, in order of time.
    """

    def __init__(self) -> None:
        self._num_envs = 0
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def add(self, steps: Steps) -> None:
        """Takes the steps that follow, and lets go of those of episodes that have ended."""
        self._num_envs, new = steps.num_envs, _columns(steps)
        if self._columns:
            new = {name: np.concatenate([self._columns[name], new[name]]) for name in new}
        first = _oldest(new, steps.num_envs) * steps.num_envs
        # Copied: a view would keep all that it was cut from.
        self._columns = {name: column[first:].copy() for name, column in new.items()}

    @property
    def steps(self) -> Steps | None:
        """The steps kept, None if no episode is under way."""
        if not self._columns or not len(self._columns["starts"]):
            return None
        plain = {name: column for name, column in self._columns.items() if "/" not in name}
        return Steps(
            num_envs=self._num_envs,
            after=_below("after/", self._columns),
            before=_below("before/", self._columns),
            **plain,
        )

    def kept(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the steps as named arrays."""
        return dict(self._columns)

    def put_back(self, columns: Mapping[str, npt.NDArray[Any]], num_envs: int) -> None:
        """Takes what `kept` returned."""
        self._columns, self._num_envs = dict(columns), num_envs


_PLAIN = ("action", "terminated", "truncated", "starts", "native_reward")


def _columns(steps: Steps) -> dict[str, npt.NDArray[Any]]:
    plain: dict[str, npt.NDArray[Any]] = {name: getattr(steps, name) for name in _PLAIN}
    plain |= {f"after/{name}": values for name, values in steps.after.items()}
    return plain | {f"before/{name}": values for name, values in steps.before.items()}


def _below(prefix: str, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {k.removeprefix(prefix): v for k, v in columns.items() if k.startswith(prefix)}


def _oldest(columns: Mapping[str, npt.NDArray[Any]], num_envs: int) -> int:
    """Returns the time at which the oldest episode began that has not ended; T if all have."""
    starts = columns["starts"].reshape(-1, num_envs)
    ended = (columns["terminated"] | columns["truncated"]).reshape(-1, num_envs)[-1]
    times = len(starts) - 1 - np.argmax(starts[::-1], axis=0)
    times[~starts.any(axis=0)] = 0
    return int(np.where(ended, len(starts), times).min())
