"""TensorBoard files under the names that users of Stable-Baselines3 know, without torch."""

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rewardsmith.sandbox.reward import RewardBatch

WINDOW = 100  # episodes over which rollout/* is a mean


class Board:
    """One training's scalars; none are written where ``folder`` is None."""

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        self._scalars: dict[str, float] = {}
        if folder is not None:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            folder.mkdir(parents=True, exist_ok=True)
            self._writer = EventFileWriter(str(folder))

    def record(self, scalars: Mapping[str, float]) -> None:
        """Keeps scalars for the next `write`."""
        self._scalars.update(scalars)

    def write(self, steps: int) -> None:
        """Writes what was recorded since the last call, at env step ``steps``."""
        if self._writer is not None and self._scalars:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary

            values = [
                Summary.Value(tag=name, simple_value=float(value))
                for name, value in self._scalars.items()
            ]
            event = Event(wall_time=time.time(), step=steps, summary=Summary(value=values))
            self._writer.add_event(event)
        self._scalars.clear()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def reward_scalars(batch: RewardBatch) -> dict[str, float]:
    """Returns the means of a rollout's rewards: ``reward/total`` and one per component."""
    means = {f"reward/{name}": float(values.mean()) for name, values in batch.components.items()}
    return {"reward/total": float(batch.total.mean()), **means}


def episode_scalars(recent: "deque[tuple[float, int]]") -> dict[str, float]:
    """Returns mean return and length of the last episodes; nothing before the first has ended."""
    if not recent:
        return {}
    returns, lengths = np.mean(np.array(recent), axis=0)
    return {"rollout/ep_rew_mean": float(returns), "rollout/ep_len_mean": float(lengths)}
