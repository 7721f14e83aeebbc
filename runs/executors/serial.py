"""One job after the other, each in its own child process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rewardsmith.runs.executors import ProgressWatch
from rewardsmith.runs.executors.local import Local
from rewardsmith.runs.records import TrainingReport, Unit


@dataclass(frozen=True)
class Serial:
    """Runs one unit at a time, in the order given, on whatever core is free."""

    wall_s: float | None = None

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields each unit with its report, in the order of ``units``; see `Executor`."""
        return Local(workers=1, wall_s=self.wall_s, pin=False).run(units, watch)
