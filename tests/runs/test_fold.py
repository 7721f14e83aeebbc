import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from rewardsmith.errors import StoreError
from rewardsmith.runs.fold import fold
from rewardsmith.runs.journal import Event
from rewardsmith.runs.records import RunState, TrainingReport
from rewardsmith.sandbox.failure import Failure

PROPOSED = {
    "generation": 0,
    "proposals": [
        {"candidate": "g0.0", "proposal": {"kind": "fresh"}},
        {"candidate": "g0.1", "proposal": {"kind": "fresh"}},
    ],
}


def event(kind: str, data: Mapping[str, Any]) -> Event:
    return Event(kind, "2026-01-01T00:00:00+00:00", data)


def trained(group: str, unit: str, seed: int, fitness: float) -> Event:
    report = TrainingReport(unit=unit, seed=seed, steps=100, fitness=fitness)
    return event("trained", {"group": group, "report": report.model_dump(mode="json")})


def state(*events: Event) -> RunState:
    return fold("run", "demo/Line", events)


def test_no_events_are_an_empty_state() -> None:
    assert state() == RunState(run="run", task="demo/Line")


def test_a_program_and_its_failure_belong_to_their_candidate() -> None:
    failure = {"kind": "contract", "text": "line 3: wrong shape", "line": 3}
    found = state(
        event("proposed", PROPOSED),
        event("designed", {"candidate": "g0.1", "program": "x", "failure": failure}),
    )
    assert [item.program for item in found.candidates] == [None, "x"]
    assert found.candidates[1].failure is not None
    assert found.candidates[1].failure.line == 3


def inspected(subject: str, *probes: str) -> Event:
    found = [{"probe": probe, "verdict": "warn", "text": "odd"} for probe in probes]
    data = {"candidate": "g0.1", "subject": subject, "inspection": {"evidence": found}}
    return event("inspected", data)


def test_a_ledger_holds_what_was_found_of_the_program_as_designed() -> None:
    designed = {"candidate": "g0.1", "program": "x", "program_id": "abc"}
    noted = {"candidate": "g0.1", "evidence": {"probe": "audit", "verdict": "warn", "text": "."}}
    events = [
        inspected("training", "alarm"),
        inspected("first draft", "farming"),
        inspected("abc", "health", "ranking"),
        event("designed", designed),
        inspected("beside", "starc"),
        event("evidence", noted),
    ]
    for order in (events, [*events[3:], *events[:3]]):
        found = state(event("proposed", PROPOSED), *order)
        assert [item.probe for item in found.candidates[1].evidence] == [
            "health", "ranking", "starc", "audit", "alarm"
        ]  # fmt: skip
        assert found.candidates[0].evidence == ()


def test_the_order_in_which_trainings_end_does_not_matter() -> None:
    reports = [
        trained("select.g0.0", "g0.0.s0", 1, 1.0),
        trained("select.g0.0", "g0.0.s1", 2, 2.0),
        trained("recheck.g0.0", "g0.0.r0", 3, 3.0),
        trained("final.human", "final.human.s0", 4, 4.0),
    ]
    states = {
        state(event("proposed", PROPOSED), *order).model_dump_json()
        for order in itertools.permutations(reports)
    }
    assert len(states) == 1


def test_reports_go_where_their_group_says() -> None:
    found = state(
        event("proposed", PROPOSED),
        trained("select.g0.0", "g0.0.s0", 1, 1.0),
        trained("recheck.g0.0", "g0.0.r0", 3, 3.0),
        trained("final.random", "final.random.s0", 4, 4.0),
    )
    assert [report.fitness for report in found.candidates[0].reports] == [1.0]
    assert [report.fitness for report in found.candidates[0].rechecks] == [3.0]
    assert [(arm.name, arm.reports[0].fitness) for arm in found.arms] == [("random", 4.0)]


def test_the_best_is_that_of_the_last_generation() -> None:
    done = [
        event("generation_done", {"generation": {"number": n, "candidates": [], "best": best}})
        for n, best in ((0, "g0.1"), (1, "g0.1"))
    ]
    assert state(event("proposed", PROPOSED), *done).best == "g0.1"


def test_a_pause_ends_with_the_resumption() -> None:
    assert state(event("paused", {})).awaiting
    assert not state(event("paused", {}), event("resumed", {})).awaiting


def test_unknown_kinds_are_skipped_so_that_older_versions_read_newer_runs() -> None:
    assert state(event("from the future", {"x": 1})) == state()


def test_an_event_without_its_facts_is_an_error_with_its_line() -> None:
    with pytest.raises(StoreError, match="line 2"):
        state(event("proposed", PROPOSED), event("designed", {"program": "x"}))


def test_steps_and_time_add_up() -> None:
    found = state(
        event("worked", {"wall_s": 1.5}),
        event("worked", {"wall_s": 2.0}),
        trained("final.human", "final.human.s0", 4, 4.0),
        trained("final.random", "final.random.s0", 4, 4.0),
    )
    assert found.spent.wall_s == 3.5
    assert found.spent.env_steps == 200


def impure(group: str, unit: str, **more: Any) -> Event:
    failure = Failure(kind="impure", text="it counts its calls")
    report = TrainingReport(unit=unit, seed=1, steps=100, failure=failure)
    return event("trained", {"group": group, "report": report.model_dump(mode="json"), **more})


@pytest.mark.parametrize(
    "found",
    [
        impure("select.g0.1", "g0.1.s1"),
        impure("recheck.g0.1", "g0.1.r0"),
        impure("final.best", "final.best.s1", arm_candidate="g0.1"),
    ],
    ids=["selection", "fresh seeds", "final comparison"],
)
def test_what_any_training_finds_impure_is_impure(found: Event) -> None:
    then = state(event("proposed", PROPOSED), trained("select.g0.1", "g0.1.s0", 0, 3.0), found)
    assert then.candidates[0].failure is None
    assert then.candidates[1].failure == Failure(kind="impure", text="it counts its calls")


def test_another_failure_of_a_training_is_that_training_s_own() -> None:
    failure = Failure(kind="diverged", text="weights became NaN")
    report = TrainingReport(unit="g0.1.s1", seed=1, steps=100, failure=failure)
    told = {"group": "select.g0.1", "report": report.model_dump(mode="json")}
    then = state(event("proposed", PROPOSED), event("trained", told))
    assert then.candidates[1].failure is None
