"""What is trained, what is drawn all the same, and how failures stand among each other."""

from typing import Any

import pytest

from rewardsmith.agent.screening import audit, nearest, progress, trainable
from rewardsmith.runs.records import Candidate, Evidence, Proposal, TrainingReport
from rewardsmith.sandbox.failure import Failure

REFUSED = Evidence(probe="farming", verdict="fail", text="pays for standing still")
DUPLICATE = Evidence(probe="duplicate", verdict="fail", text="the same program as g0.0")
RUNG = Evidence(probe="rung", verdict="fail", text="stopped after 100 steps")
PASSED = Evidence(probe="health", verdict="pass", text="varied")
AUDIT = Evidence(probe="audit", verdict="warn", text="drawn")
REPORT = TrainingReport(unit="g0.1.s0", seed=1, steps=100, fitness=1.0)


def candidate(*evidence: Evidence, name: str = "g0.1", **more: Any) -> Candidate:
    facts: dict[str, Any] = {"program": "p", "proposal": Proposal(kind="fresh")} | more
    return Candidate(
        id=name, generation=int(name[1]), index=int(name[3]), evidence=evidence, **facts
    )


def failed(kind: Any, **more: Any) -> Candidate:
    return candidate(failure=Failure(kind=kind, text="no"), **more)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (candidate(), True),
        (candidate(PASSED), True),
        (candidate(PASSED, REFUSED), False),
        (candidate(PASSED, REFUSED, AUDIT), True),
        (candidate(REFUSED, proposal=Proposal(kind="human", parents=("f0",))), True),
        (candidate(DUPLICATE, proposal=Proposal(kind="human", parents=("f0",))), False),
        (candidate(REFUSED, AUDIT, RUNG), False),
        (candidate(program=None), False),
        (failed("contract"), False),
        (failed("impure"), True),
    ],
)
def test_sound_programs_are_trained_that_no_probe_refused(item: Candidate, expected: bool) -> None:
    assert trainable(item) is expected


def test_an_audit_draws_about_the_share_that_was_asked_for() -> None:
    items = [candidate(REFUSED, name=f"g{g}.{i}") for g in range(10) for i in range(10)]
    drawn = {seed: [i.id for i in items if audit(i, seed=seed, share=0.2)] for seed in range(10)}
    assert 150 < sum(map(len, drawn.values())) < 250
    assert len({tuple(found) for found in drawn.values()}) == 10
    assert [i.id for i in items if audit(i, seed=3, share=0.2)] == drawn[3]


@pytest.mark.parametrize(
    "item",
    [
        candidate(PASSED),
        candidate(DUPLICATE),
        candidate(REFUSED, RUNG),
        failed("contract"),
        candidate(REFUSED, reports=(REPORT,)),
        candidate(REFUSED, rungs=(REPORT,)),
    ],
)
def test_an_audit_draws_nothing_but_what_a_probe_refused(item: Candidate) -> None:
    assert audit(item, seed=0, share=1.0) is None


def test_an_audit_of_none_draws_none() -> None:
    assert audit(candidate(REFUSED), seed=0, share=0.0) is None


def ranking(score: float) -> Evidence:
    return Evidence(probe="ranking", verdict="fail", text="orders badly", score=score)


def test_failures_have_an_order() -> None:
    worst_first = [
        candidate(program=None, failure=Failure(kind="no_code", text="no")),
        failed("rejected"),
        failed("contract"),
        candidate(REFUSED),
        candidate(PASSED, REFUSED),
        candidate(PASSED, ranking(0.2)),
        candidate(PASSED, ranking(0.4)),
        candidate(PASSED, PASSED, REFUSED),
        candidate(PASSED, reports=(REPORT,)),
    ]
    order = [progress(item) for item in worst_first]
    assert order == sorted(order)
    assert len(set(order)) == len(order)


def test_the_nearest_is_the_latest_of_those_that_came_farthest() -> None:
    one, other = candidate(PASSED, REFUSED), candidate(PASSED, REFUSED, name="g1.0")
    assert nearest([one, other, failed("contract", name="g2.0")]) == other
    assert nearest([candidate(program=None)]) is None
