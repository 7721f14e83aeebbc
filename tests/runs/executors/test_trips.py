from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from stack_rig import STACKED

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, RewardsmithError, TrainingError
from rewardsmith.runs.executors.stacks import Job
from rewardsmith.runs.executors.trips import Carrier, Outcome, Trip, carried
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.whole import write_whole

LOST, WRONG = TrainingError("lost on the way"), ConfigError("no such place")


def unit(name: str, trainer: str = "toy") -> Unit:
    return Unit(id=name, task=toy.tasks()[0], program=None, trainer=trainer, hyperparams={},
                seed=1, steps=9, eval_seeds=(1,))  # fmt: skip


def report(name: str) -> TrainingReport:
    return TrainingReport(unit=name, seed=1, steps=9, fitness=1.0)


class Script:
    """A carrier whose trips end, the latest first, as its script says: one error per attempt."""

    def __init__(self, free: int | None = None, **errors: Sequence[RewardsmithError]) -> None:
        self.free, self.errors = free, errors
        self.sent: list[tuple[str, int]] = []
        self.most = 0
        self.cancelled: list[str] = []

    def places(self) -> int | None:
        return self.free

    def send(self, trip: Trip) -> int:
        self.sent.append((units_of(trip), trip.attempt))
        return len(self.sent)

    def ended(self, away: Sequence[Trip]) -> list[tuple[Trip, Sequence[Outcome]]]:
        self.most = max(self.most, len(away))
        trip = max(away, key=lambda t: t.ticket)
        return [(trip, [self._came_of(job, trip.attempt) for job in trip.jobs])]

    def _came_of(self, job: Job, attempt: int) -> Outcome:
        errors = self.errors.get(job[0].id, ())
        return errors[attempt - 1] if attempt <= len(errors) else report(job[0].id)

    def cancel(self, trip: Trip) -> None:
        self.cancelled.append(units_of(trip))


def units_of(trip: Trip) -> str:
    return "".join(unit.id for unit, _ in trip.jobs)


def run(
    folder: Path, carrier: Carrier, names: str = "abc", trainer: str = "toy", **changes: Any
) -> Any:
    jobs = [(unit(name, trainer), folder / name) for name in names]
    plain: dict[str, Any] = {"workers": None, "attempts": 3, "stack": 8, "say": lambda trips: None}
    options = plain | changes
    return carried(jobs, lambda: carrier, **options)


def test_units_are_answered_in_the_order_in_which_they_end(tmp_path: Path) -> None:
    script = Script()
    assert [u.id for u, _ in run(tmp_path, script)] == ["c", "b", "a"]
    assert files.read_unit(tmp_path / "a") == unit("a")


def test_what_was_lost_is_sent_again_and_nothing_else_is(tmp_path: Path) -> None:
    script = Script(b=[LOST, LOST])
    assert {u.id for u, _ in run(tmp_path, script)} == set("abc")
    assert sorted(script.sent) == [("a", 1), ("b", 1), ("b", 2), ("b", 3), ("c", 1)]


def test_what_is_lost_too_often_is_an_error_after_all_others_are_done(tmp_path: Path) -> None:
    script, found = Script(a=[LOST] * 9, b=[LOST] * 9), []
    running = run(tmp_path, script, attempts=2)
    with pytest.raises(TrainingError, match=r"(?s)2 unit\(s\) came to no report.*lost on the way"):
        found.extend(running)
    assert [u.id for u, _ in found] == ["c"]
    assert len(script.sent) == 5


def test_what_a_repeat_cannot_mend_is_not_repeated_and_told_in_its_kind(tmp_path: Path) -> None:
    script = Script(a=[LOST] * 9, b=[WRONG])
    with pytest.raises(ConfigError, match="no such place"):
        list(run(tmp_path, script))
    assert script.sent.count(("b", 1)) == 1
    assert ("b", 2) not in script.sent


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 2), (None, 3)])
def test_no_more_trips_are_under_way_than_allowed(
    workers: int | None, most: int, tmp_path: Path
) -> None:
    script = Script(a=[LOST])
    list(run(tmp_path, script, workers=workers))
    assert script.most == most


def test_finished_units_are_answered_without_a_carrier(tmp_path: Path) -> None:
    for name in "ab":
        files.write_unit(tmp_path / name, unit(name))
        content = report(name).model_dump_json().encode()
        write_whole(tmp_path / name / files.REPORT, content)
    jobs = [(unit(name), tmp_path / name) for name in "ab"]

    def none() -> Carrier:
        raise AssertionError("nothing is to be sent")

    found = carried(jobs, none, workers=1, attempts=1, stack=8, say=print)
    assert [u.id for u, _ in found] == ["a", "b"]


def test_leaving_early_cancels_what_is_under_way(tmp_path: Path) -> None:
    script = Script()
    running = run(tmp_path, script)
    next(running)
    running.close()
    assert sorted(script.cancelled) == ["a", "b"]


def test_who_looks_on_is_told_what_is_under_way_and_for_which_time(tmp_path: Path) -> None:
    said: list[list[tuple[str, int]]] = []

    def say(trips: Sequence[Trip]) -> None:
        said.append([(units_of(trip), trip.attempt) for trip in trips])

    list(run(tmp_path, Script(b=[LOST]), "ab", say=say))
    assert said == [[("a", 1), ("b", 2)], [("a", 1)], []]


@pytest.mark.parametrize(
    ("free", "options", "sent"),
    [
        (2, {}, ["ab", "cd"]),
        (1, {}, ["abcd"]),
        (1, {"stack": 3}, ["ab", "cd"]),
        (1, {"stack": 1}, ["a", "b", "c", "d"]),
        (9, {}, ["a", "b", "c", "d"]),
        (9, {"workers": 2}, ["ab", "cd"]),
        (None, {"workers": 1}, ["abcd"]),
        (None, {}, ["a", "b", "c", "d"]),
    ],
)
def test_units_go_in_as_many_stacks_as_there_are_places(
    free: int | None, options: dict[str, Any], sent: list[str], tmp_path: Path
) -> None:
    script = Script(free)
    assert {u.id for u, _ in run(tmp_path, script, "abcd", STACKED, **options)} == set("abcd")
    assert [names for names, _ in script.sent] == sent


def test_units_of_a_trainer_that_does_not_stack_go_alone(tmp_path: Path) -> None:
    script = Script(1)
    list(run(tmp_path, script, "ab"))
    assert [names for names, _ in script.sent] == ["a", "b"]


def test_what_a_stack_leaves_goes_on_alone_whatever_the_stack_said_of_it(tmp_path: Path) -> None:
    script = Script(1, a=[LOST], c=[WRONG])
    assert [u.id for u, _ in run(tmp_path, script, "abcd", STACKED)] == ["b", "d", "c", "a"]
    assert script.sent == [("abcd", 1), ("a", 2), ("c", 2)]


def test_a_lost_stack_is_not_the_last_attempt(tmp_path: Path) -> None:
    script, found = Script(1, a=[LOST], b=[LOST] * 9), []
    running = run(tmp_path, script, "ab", STACKED, attempts=1)
    with pytest.raises(TrainingError, match=r"1 unit\(s\) came to no report"):
        found.extend(running)
    assert [u.id for u, _ in found] == ["a"]
    assert script.sent == [("ab", 1), ("a", 2), ("b", 2)]


def test_leaving_early_cancels_a_stack_as_a_whole(tmp_path: Path) -> None:
    script = Script(2)
    running = run(tmp_path, script, "abcd", STACKED)
    next(running)
    running.close()
    assert script.cancelled == ["ab"]
