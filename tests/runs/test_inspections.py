"""What was found once is on record, and is not found out again."""

from pathlib import Path

import pytest

from rewardsmith.envs.registry import find_task
from rewardsmith.runs.inspections import Inspections
from rewardsmith.runs.records import Evidence, Inspection
from rewardsmith.runs.store import RunStore
from rewardsmith.sandbox.failure import Failure

FOUND = Inspection(
    evidence=(Evidence(probe="health", verdict="pass", text="varied", facts={"rows": (1, 2)}),)
)
SLOW = Inspection(failure=Failure(kind="timeout", text="no answer within 10 s"))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", {}, find_task("rewardsmith/Point-v0"))


def never() -> Inspection:
    raise AssertionError("found out again")


@pytest.mark.parametrize("found", [FOUND, SLOW, Inspection()])
def test_what_is_on_record_is_not_found_out_again(store: RunStore, found: Inspection) -> None:
    first = Inspections(store)
    told = first.of("g0.0", "program", lambda: found)
    assert first.of("g0.0", "program", never) == told
    assert Inspections(store).of("g0.0", "program", never) == told
    assert len(store.journal.read()) == 1


def test_what_is_found_looks_as_it_will_when_it_is_read_again(store: RunStore) -> None:
    told = Inspections(store).of("g0.0", "program", lambda: FOUND)
    assert told.evidence[0].facts == {"rows": [1, 2]}


def test_each_program_of_each_candidate_is_inspected_for_itself(store: RunStore) -> None:
    records = Inspections(store)
    records.of("g0.0", "program", lambda: FOUND)
    assert records.of("g0.0", "other", lambda: SLOW) == SLOW
    assert records.of("g0.1", "program", lambda: SLOW) == SLOW


def test_a_replay_copies_the_record_and_finds_out_nothing(store: RunStore, tmp_path: Path) -> None:
    Inspections(store).of("g0.0", "program", lambda: FOUND)
    again = RunStore.create(tmp_path / "again", {}, store.task())
    records = Inspections(again, recorded=store)
    assert records.of("g0.0", "program", never).evidence[0].probe == "health"
    assert records.of("g9.9", "program", never) == Inspection()
    kept = [(e.data["candidate"], e.data["subject"]) for e in again.journal.read()]
    assert kept == [("g0.0", "program"), ("g9.9", "program")]
