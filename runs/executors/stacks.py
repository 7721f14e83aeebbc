"""Units that can be trained together: which ones, on how many cores, and as one process."""

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rewardsmith.runs.executors.child import Progress, Rules, run_process
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.trainers import stackable

Job = tuple[Unit, Path]
MOST_LANES = 8
# What the lanes of a stack may differ in: what is trained for, from where, and how it is judged.
_OWN = {"id", "program", "mode", "seed", "eval_seeds", "resume", "eval_points",
        "eval_episodes_per_point", "shaping"}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What a stack has to say of one unit: progress, or its report."""

    unit: Unit
    progress: dict[str, Any] | None = None
    report: TrainingReport | None = None


def grouped(jobs: Sequence[Job], cores: int, most: int = MOST_LANES) -> list[tuple[Job, ...]]:
    """Returns the jobs in groups, each for one process: stacks of ``most`` lanes, and single units.

    Units that agree in all but program, seed and judging are spread evenly over the cores: 16 of
    them become two stacks of 8 on two cores, 20 of them four of 5. The order is kept.
    """
    alike: dict[str, list[Job]] = {}
    for unit, folder in jobs:
        alone = most < 2 or unit.steps == 0 or files.finished(folder, unit) is not None
        name = unit.id if alone or not _stackable(unit.trainer) else _kind(unit)
        alike.setdefault(name, []).append((unit, folder))
    return [group for members in alike.values() for group in _spread(members, cores, most)]


@cache
def _stackable(trainer: str) -> bool:
    return stackable(trainer)


def _kind(unit: Unit) -> str:
    plain = json.loads(unit.model_dump_json(exclude=_OWN))
    rung = unit.resume.steps if unit.resume is not None else None
    gated = unit.shaping is not None and bool(unit.shaping.gates)
    return json.dumps([plain, rung, gated], sort_keys=True)


def _spread(members: Sequence[Job], cores: int, most: int) -> list[tuple[Job, ...]]:
    """Cuts alike jobs into as few stacks as keep all cores busy alike."""
    rounds = -(-len(members) // (max(1, most) * cores))
    count = min(len(members), rounds * cores)
    edges = [i * len(members) // count for i in range(count + 1)]
    return [tuple(members[a:b]) for a, b in itertools.pairwise(edges)]


def run_stack(
    jobs: Sequence[Job],
    rules: Rules,
    *,
    core: int | None,
    cancel: threading.Event,
    tell: Callable[[Told], None],
) -> list[Job]:
    """Trains the jobs as one process, telling each report as it appears; returns those without one.

    What the stack came to in all is of no account: units that it left are simply run alone.

    Raises:
        Cancelled: ``cancel`` was set.
    """
    for unit, folder in jobs:
        files.write_unit(folder, unit)
    left = dict(enumerate(jobs))
    looks = [_progress(unit, folder, tell) for unit, folder in jobs]

    def look() -> None:
        for i, (unit, folder) in list(left.items()):
            if (report := files.finished(folder, unit)) is not None:
                del left[i]
                tell(Told(unit, report=report))
            else:
                looks[i]()

    wall_s = None if rules.wall_s is None else rules.wall_s * len(jobs)
    folders = [folder for _, folder in jobs]
    run_process(folders, rules.stack, wall_s, core=core, cancel=cancel, look=look)
    look()
    return list(left.values())


def _progress(unit: Unit, folder: Path, tell: Callable[[Told], None]) -> Progress:
    return Progress(folder, lambda state: tell(Told(unit, progress=state)))
