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
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.curve import CurveWatch
from rewardsmith.runs.training.job import check, cpu_seconds, order_of, reported, written
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
        # Each lane's part of what all of them took together.
        shares = (time.monotonic() - begin) / len(places), cpu_seconds() / len(places)
        told = [_finish(p, outcome, shares) for p, outcome in zip(places, outcomes, strict=True)]
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


def _finish(
    place: _Place, outcome: Trained | Failure, shares: tuple[float, float]
) -> RewardsmithError | None:
    """Judges one lane and leaves its report; returns what went wrong, which stays this lane's."""
    begin, cpu_s = time.monotonic(), cpu_seconds()
    try:
        report = reported(place.unit, place.folder, place.reward, place.watch, outcome)
    except RewardsmithError as error:
        files.write_error(place.folder, error)
        return error
    wall_s, cpu_s = time.monotonic() - begin + shares[0], cpu_seconds() - cpu_s + shares[1]
    written(place.folder, report, place.reward, wall_s=wall_s, cpu_s=cpu_s)
    return None


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
