"""Units that are sent somewhere and awaited: finished ones left alone, lost ones sent again."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rewardsmith.errors import RewardsmithError, TrainingError
from rewardsmith.runs.executors.child import failed
from rewardsmith.runs.executors.stacks import Job, grouped
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files

Outcome = TrainingReport | RewardsmithError


@dataclass(frozen=True)
class Trip:
    """One sending of a unit, or of several that are trained together.

    ``ticket`` is what its carrier knows it by.
    """

    jobs: tuple[Job, ...]
    attempt: int = 1
    ticket: Any = None

    @property
    def name(self) -> str:
        """The id of its first unit, which is in no other trip."""
        return self.jobs[0][0].id

    @property
    def alone(self) -> bool:
        """Whether it is of one unit."""
        return len(self.jobs) == 1


class Carrier(Protocol):
    """Takes units away and says what came of them."""

    def places(self) -> int | None:
        """Returns how many trips can be under way at once; None where that is not known."""
        ...

    def send(self, trip: Trip) -> Any:
        """Returns the ticket of a trip that is now on its way."""
        ...

    def ended(self, away: Sequence[Trip]) -> list[tuple[Trip, Sequence[Outcome]]]:
        """Waits a little; returns the trips that ended, with the report or error of each unit."""
        ...

    def cancel(self, trip: Trip) -> None:
        """Ends a trip that nobody waits for any more."""
        ...


def carried(
    units: Sequence[Job],
    open_carrier: Callable[[], Carrier],
    *,
    workers: int | None,
    attempts: int,
    stack: int,
    say: Callable[[Sequence[Trip]], None],
) -> Iterator[tuple[Unit, TrainingReport]]:
    """Yields each unit with its report, in order of completion; see `Executor`.

    Args:
        units: what to run, and the folder of each.
        open_carrier: called once there is something to send.
        workers: trips under way at most; None for all. Units are stacked for so many places, or for
            as many as the carrier knows of; where neither is known, each goes alone.
        attempts: how often a unit is sent before it counts as lost; a stack is sent once, is one of
            them but never the last, and what it leaves without a report goes on alone.
        stack: units of a stack trainer that go together, at most.
        say: is told the trips under way after each look.
    """
    left: list[Job] = []
    for unit, folder in units:
        known = files.finished(folder, unit)
        if known is not None:
            yield unit, known
        else:
            files.write_unit(folder, unit)
            left.append((unit, folder))
    if left:
        carrier = open_carrier()
        places = workers or carrier.places()
        groups = grouped(left, places, stack) if places else [(job,) for job in left]
        todo = deque(Trip(group) for group in groups)
        yield from _carried(todo, carrier, workers or len(left), attempts, say)


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
            for trip, outcomes in carrier.ended(list(away.values())):
                del away[trip.name]
                for job, outcome in zip(trip.jobs, outcomes, strict=True):
                    if isinstance(outcome, TrainingReport):
                        yield job[0], outcome
                    elif _again(trip, outcome, attempts):
                        todo.append(Trip((job,), trip.attempt + 1))
                    else:
                        lost.append(outcome)
            say([*away.values(), *todo])
    finally:
        # Also when the caller breaks off or Ctrl-C arrives: nothing goes on elsewhere.
        for trip in away.values():
            carrier.cancel(trip)
    if lost:
        raise failed(lost)


def _again(trip: Trip, error: RewardsmithError, attempts: int) -> bool:
    """Says whether a unit is sent again, alone: a stack is but a faster way, and never the last."""
    return not trip.alone or (isinstance(error, TrainingError) and trip.attempt < attempts)


def _send(todo: deque[Trip], away: dict[str, Trip], carrier: Carrier, most: int) -> None:
    while todo and len(away) < most:
        trip = todo.popleft()
        away[trip.name] = replace(trip, ticket=carrier.send(trip))
