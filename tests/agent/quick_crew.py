"""Whole runs in well under a second: real prompts and checks, trainings by arithmetic."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from loop_rig import Arithmetic

from rewardsmith.agent.assembly import assemble
from rewardsmith.runs.executors import Executor, ProgressWatch
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.job import run_job


def worth(unit: Unit) -> float:
    """Returns a fitness that depends on program and seed alone."""
    text = f"{unit.program} {unit.seed} {unit.steps > 0}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) / 0xFFFFFF


class Here:
    """An executor that really trains, in this process."""

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        for unit, folder in units:
            files.write_unit(folder, unit)
            yield unit, run_job(folder)


def quick_crew(executor: Executor | None = None) -> Any:
    """Returns a maker of crews that train nothing."""
    return lambda *given: assemble(*given, executor=executor or Arithmetic(worth))


def unwatched(kind: str, **facts: Any) -> None:
    """Ignores an event."""
