"""Units that are sent somewhere and awaited: finished ones left alone, lost ones sent again."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rewardsmith.errors import RewardsmithError, TrainingError
from rewardsmith.runs.executors.child import failed
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files

Outcome = TrainingReport | RewardsmithError


@dataclass(frozen=True)
class Trip:
    """One sending of a unit; ``ticket`` is what its carrier knows it by."""

    unit: Unit
    folder: Path
    attempt: int = 1
    ticket: Any = None


class Carrier(Protocol):
    """Takes units away and says what came of them."""

    def send(self, trip: Trip) -> Any:
        """Returns the ticket of a unit that is now on its way."""
        ...

    def ended(self, away: Sequence[Trip]) -> list[tuple[Trip, Outcome]]:
        """Waits a little; returns the trips that ended, each with its report or its error."""
        ...

    def cancel(self, trip: Trip) -> None:
        """Ends a trip that nobody waits for any more."""
        ...


def carried(
    units: Sequence[tuple[Unit, Path]],
    open_carrier: Callable[[], Carrier],
    *,
    workers: int | None,
    attempts: int,
    say: Callable[[Sequence[Trip]], None],
) -> Iterator[tuple[Unit, TrainingReport]]:
    """Yields each unit with its report, in order of completion; see `Executor`.

    Args:
        units: what to run, and the folder of each.
        open_carrier: called once there is something to send.
        workers: trips under way at most; None for all.
        attempts: how often a unit is sent before it counts as lost.
        say: is told the trips under way after each look.
    """
    todo: deque[Trip] = deque()
    for unit, folder in units:
        known = files.finished(folder, unit)
        if known is not None:
            yield unit, known
        else:
            files.write_unit(folder, unit)
            todo.append(Trip(unit, folder))
    if todo:
        yield from _carried(todo, open_carrier(), workers or len(todo), attempts, say)


def _carried(
    todo: deque[Trip],
    carrier: Carrier,
    most: int,
    attempts: int,
    say: Callable[[Sequence[Trip]], None],
) -> Iterator[tuple[Unit, TrainingReport]]:
    away: dict[str, Trip] = {}
    lost: list[RewardsmithError] = []
    try:
        while todo or away:
            _send(todo, away, carrier, most)
            for trip, outcome in carrier.ended(list(away.values())):
                del away[trip.unit.id]
                if isinstance(outcome, TrainingReport):
                    yield trip.unit, outcome
                elif isinstance(outcome, TrainingError) and trip.attempt < attempts:
                    todo.append(Trip(trip.unit, trip.folder, trip.attempt + 1))
                else:
                    lost.append(outcome)
            say([*away.values(), *todo])
    finally:
        # Also when the caller breaks off or Ctrl-C arrives: nothing goes on elsewhere.
        for trip in away.values():
            carrier.cancel(trip)
    if lost:
        raise failed(lost)


def _send(todo: deque[Trip], away: dict[str, Trip], carrier: Carrier, most: int) -> None:
    while todo and len(away) < most:
        trip = todo.popleft()
        away[trip.unit.id] = Trip(trip.unit, trip.folder, trip.attempt, carrier.send(trip))
