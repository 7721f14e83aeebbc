"""Trains several units at once: ``python -m rewardsmith.runs.training.stack FOLDER FOLDER ...``.

Each folder stays the home of its unit, as in `job`; what a stack leaves there is what a job of its
own would have left. A folder with a report is left alone.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rewardsmith.errors import ConfigError, RewardsmithError, TrainingError
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.curve import CurveWatch
from rewardsmith.runs.training.job import (
    check,
    cpu_seconds,
    judged_report,
    order_of,
    settled,
    written,
)
from rewardsmith.runs.training.judges import judged, judged_together
from rewardsmith.runs.training.judging import Judgement
from rewardsmith.runs.training.lifetime import die_with_parent, forget_secrets
from rewardsmith.runs.training.reward_sources import MeteredReward, open_reward
from rewardsmith.runs.training.trainers import Lane, Order, StackTrainer, Trained, find_trainer
from rewardsmith.sandbox.failure import Failure


@dataclass(frozen=True)
class _Place:
    """One unit of the stack, where it lies, and what its lane is given."""

    unit: Unit
    folder: Path
    order: Order
    reward: MeteredReward
    watch: CurveWatch

    @property
    def lane(self) -> Lane:
        return Lane(self.order, self.reward, self.watch)


@dataclass(frozen=True)
class _End:
    """What the training of a lane came to: a policy that is left to be judged, unless it failed."""

    place: _Place
    steps: int = 0
    report: TrainingReport | None = None
    error: RewardsmithError | None = None


def run_stack(folders: Sequence[Path]) -> list[RewardsmithError]:
    """Trains and judges the units of the folders; returns what kept lanes from a report.

    Raises:
        TrainingError: training broke for a reason that is no reward's.
        ConfigError: the units cannot be trained together.
    """
    units = [(files.read_unit(folder), folder) for folder in folders]
    units = [(unit, folder) for unit, folder in units if files.finished(folder, unit) is None]
    if not units:
        return []
    begin = time.monotonic()
    with ExitStack() as stack:
        places = [_place(unit, folder, stack) for unit, folder in units]
        outcomes = _trainer(places).train_stack([place.lane for place in places])
        if len(outcomes) != len(places):
            raise TrainingError(f"{len(places)} lanes were trained, and {len(outcomes)} came back")
        ends = [_end(place, outcome) for place, outcome in zip(places, outcomes, strict=True)]
        judgements = _judgements(ends)
        # Each lane's part of what all of them took together.
        shares = (time.monotonic() - begin) / len(places), cpu_seconds() / len(places)
        told = [_finish(end, judgements.get(end.place.unit.id), shares) for end in ends]
    return [error for error in told if error is not None]


def _place(unit: Unit, folder: Path, stack: ExitStack) -> _Place:
    check(unit)
    files.clear(folder)
    reward = stack.enter_context(open_reward(unit))
    watch = CurveWatch(unit, folder)
    return _Place(unit, folder, order_of(unit, folder, watch), reward, watch)


def _trainer(places: Sequence[_Place]) -> StackTrainer:
    first, *others = (_common(place.order) for place in places)
    names = {place.unit.trainer for place in places}
    trainer = find_trainer(places[0].unit.trainer)
    if len(names) > 1 or any(order != first for order in others):
        raise ConfigError("the units of a stack differ in more than seed, reward and folders")
    if not isinstance(trainer, StackTrainer):
        raise ConfigError(f"trainer {names.pop()!r} trains one order at a time; see StackTrainer")
    return trainer


def _common(order: Order) -> Order:
    here = Path()
    resume, checkpoint = order.resume and here, order.checkpoint and here
    return replace(order, seed=0, logs=None, resume=resume, checkpoint=checkpoint)


def _end(place: _Place, outcome: Trained | Failure) -> _End:
    try:
        failed = settled(place.unit, place.folder, place.reward, place.watch, outcome)
    except RewardsmithError as error:
        return _End(place, error=error)
    return _End(place, outcome.steps if isinstance(outcome, Trained) else 0, failed)


def _judgements(ends: Sequence[_End]) -> dict[str, Judgement]:
    """Has all policies that are to be judged judged by one process, which starts but once."""
    left = [end.place for end in ends if end.report is None and end.error is None]
    for place in left:
        place.watch.stage("judging")
    return judged_together([(place.unit, place.folder) for place in left]) if left else {}


def _finish(
    end: _End, judgement: Judgement | None, shares: tuple[float, float]
) -> RewardsmithError | None:
    """Leaves the report of one lane; returns what went wrong, which stays this lane's."""
    begin, cpu_s, place = time.monotonic(), cpu_seconds(), end.place
    try:
        report = _report(end, judgement)
    except RewardsmithError as error:
        files.write_error(place.folder, error)
        return error
    wall_s, cpu_s = time.monotonic() - begin + shares[0], cpu_seconds() - cpu_s + shares[1]
    written(place.folder, report, place.reward, wall_s=wall_s, cpu_s=cpu_s)
    return None


def _report(end: _End, judgement: Judgement | None) -> TrainingReport:
    if end.error is not None:
        raise end.error
    if end.report is not None:
        return end.report
    place = end.place
    known = judgement or judged(place.unit, place.folder)
    return judged_report(place.unit, place.folder, place.reward, place.watch, known, end.steps)


def main() -> int:
    """Runs the stack of the folders given; returns the exit code."""
    die_with_parent()
    forget_secrets()
    folders = [Path(argument) for argument in sys.argv[1:]]
    try:
        errors = run_stack(folders)
    except RewardsmithError as error:
        files.write_error(folders[0], error)
        return error.exit_code
    return errors[0].exit_code if errors else 0


if __name__ == "__main__":
    sys.exit(main())
