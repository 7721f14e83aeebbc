from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.runs.live_progress import (
    Plan,
    Progress,
    Row,
    UnitProgress,
    best_line,
    spent_line,
    subject,
)
from rewardsmith.sandbox.failure import Failure


@dataclass(frozen=True)
class Estimate:
    env_steps: int = 1000

    def as_text(self) -> str:
        return "4 trainings"


def told(*events: tuple[str, dict[str, Any]]) -> Progress:
    run = Progress()
    for kind, facts in events:
        run.apply(kind, facts)
    return run


def training(unit: str, steps: int, **facts: Any) -> tuple[str, dict[str, Any]]:
    return "training", {"unit": unit, "steps": steps, "total_steps": 100, **facts}


@pytest.mark.parametrize(
    ("unit", "owner"),
    [("g0.3.s1", "g0.3"), ("g12.0.r4", "g12.0"), ("final.best.s0", "best"),
     ("final.human.s11", "human"), ("alone", "alone"), ("", "")],
)  # fmt: skip
def test_a_unit_belongs_to_what_its_name_says(unit: str, owner: str) -> None:
    assert subject(unit) == owner


@given(steps=st.integers(0, 10**9), total=st.integers(0, 10**6), ended=st.booleans())
def test_a_share_is_one_however_far_a_training_overshoots(
    steps: int, total: int, ended: bool
) -> None:
    share = UnitProgress(steps=steps, total=total, ended=ended).share
    assert 0.0 <= share <= 1.0
    assert share == 1.0 if ended else share == min(1.0, steps / total if total else 0.0)


def test_a_row_without_units_has_neither_share_nor_fitness() -> None:
    row = Row("g0.0")
    assert row.share is None
    assert row.fitness is None
    assert row.steps_per_s == 0


def test_a_rows_fitness_is_the_mean_of_the_units_that_have_one() -> None:
    run = told(
        training("g0.0.s0", 10, fitness=1.0),
        training("g0.0.s1", 10),
        training("g0.0.s2", 10, fitness=3.0),
    )
    assert run.rows["g0.0"].fitness == 2.0
    assert run.rows["g0.0"].share == pytest.approx(0.1)


def test_progress_of_a_unit_that_has_ended_changes_nothing() -> None:
    run = told(
        training("g0.0.s0", 60),
        ("trained", {"unit": "g0.0.s0", "fitness": 2.5}),
        training("g0.0.s0", 20, fitness=0.1, stage="training"),
    )
    unit = run.rows["g0.0"].units["g0.0.s0"]
    assert (unit.steps, unit.fitness, unit.ended) == (100, 2.5, True)
    assert run.rows["g0.0"].state == "trained"


def test_a_failed_unit_counts_the_steps_it_came_to() -> None:
    failure = Failure(kind="timeout", text="took too long")
    run = told(training("g0.0.s0", 60), ("trained", {"unit": "g0.0.s0", "failure": failure}))
    row = run.rows["g0.0"]
    assert row.bad
    assert row.state == "failed: took too long"
    assert run.env_steps == 60


def test_a_new_beginning_takes_back_that_something_was_bad() -> None:
    run = told(
        ("checked", {"candidate": "g0.0", "ok": False, "text": "no total"}),
        ("checked", {"candidate": "g0.0", "ok": True}),
    )
    assert (run.rows["g0.0"].state, run.rows["g0.0"].bad) == ("checked", False)


def test_steps_add_up_over_generations_and_the_final_comparison() -> None:
    run = told(
        ("run_started", {"task": "hop", "estimate": Estimate()}),
        ("generation_started", {"number": 0, "of": 2}),
        training("g0.0.s0", 100, steps_per_s=10.0),
        ("generation_started", {"number": 1, "of": 2}),
        training("g1.0.s0", 50, steps_per_s=20.0),
    )
    assert run.env_steps == 150
    assert run.eta_s == (1000 - 150) / 20
    run.apply("final_started", {"best": "g1.0"})
    assert run.env_steps == 150
    assert run.eta_s is None  # nothing runs: no speed, no promise
    assert run.phase == "final comparison on held-out seeds, best candidate g1.0"


def test_more_steps_than_planned_are_no_negative_time() -> None:
    run = told(
        ("run_started", {"estimate": Estimate(env_steps=10)}),
        training("g0.0.s0", 50, steps_per_s=5.0),
    )
    assert run.eta_s is None


@pytest.mark.parametrize(
    ("role", "state"),
    [("designer", "asking"), ("repair", "repairing"), ("critic", "with the critic"),
     ("analyzer", "with the analyzer")],
)  # fmt: skip
def test_each_role_is_told_apart(role: str, state: str) -> None:
    run = told(("asking", {"candidate": "g0.0", "role": role}))
    assert run.rows["g0.0"].state == state


def test_a_wait_is_shown_until_something_else_happens() -> None:
    run = told(("waiting", {"text": "rate limit, 20 s"}))
    assert run.waiting == "rate limit, 20 s"
    run.apply("a later version's event", {})
    assert run.waiting == "rate limit, 20 s"
    run.apply("replied", {"tokens": 7, "cost_usd": 0.5})
    assert run.waiting == ""


def test_costs_may_come_as_plain_facts_too() -> None:
    run = told(
        ("replied", {"tokens": 7, "cost_usd": 0.5}), ("replied", {"tokens": 3, "cost_usd": 0.25})
    )
    assert (run.calls, run.tokens, run.usd) == (2, 10, 0.75)
    assert spent_line(run) == "2 calls, 10 tokens, $0.75, 0 env steps"
    run.apply("replied", {"tokens": 1})
    assert "price unknown" in spent_line(run)


def test_the_best_so_far_has_the_fitness_it_was_told_with_or_its_rows() -> None:
    run = told(training("g0.1.s0", 100, fitness=4.0), ("generation_done", {"best": "g0.1"}))
    assert best_line(run) == "g0.1, fitness 4"
    run.apply("generation_done", {"best": "g0.1", "fitness": 4.25})
    assert best_line(run) == "g0.1, fitness 4.250"
    run.apply("generation_done", {"best": None})
    assert best_line(run) == "g0.1, fitness 4.250"
    assert best_line(Progress()) == "none yet"


def test_a_sweep_and_a_film_have_phases_of_their_own() -> None:
    run = told(("cell_started", {"number": 2, "of": 6, "cell": "Hopper-v5"}))
    assert run.phase == "sweep, run 2 of 6: Hopper-v5"
    run.apply("rendering", {})
    assert "video" in run.phase
    run.apply("finished", {"path": "results/x"})
    assert (run.phase, run.path) == ("finished", "results/x")


def test_an_estimate_is_told_by_what_it_can_do() -> None:
    assert isinstance(Estimate(), Plan)
    run = told(("run_started", {"estimate": "some hours", "text": "hop"}))
    assert (run.plan, run.planned_steps, run.text) == ("some hours", 0, "hop")


KINDS = [
    "run_started", "generation_started", "asking", "waiting", "replied", "checked", "critic",
    "training", "trained", "analysed", "generation_done", "final_started", "rendering",
    "cell_started", "finished", "warning", "unheard of",
]  # fmt: skip
UNITS = st.sampled_from(["g0.0.s0", "g0.0.s1", "g0.1.s0", "final.best.s0"])
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "unit": UNITS,
        "candidate": st.sampled_from(["g0.0", "g0.1"]),
        "steps": st.integers(0, 200),
        "total_steps": st.integers(0, 100),
        "steps_per_s": st.floats(0, 1e5),
        "fitness": st.one_of(st.none(), st.floats(-1e6, 1e6)),
        "failure": st.one_of(st.none(), st.just(Failure(kind="oom", text="x"))),
        "number": st.integers(0, 5),
        "best": st.one_of(st.none(), st.just("g0.0")),
        "ok": st.booleans(),
        "accept": st.booleans(),
        "text": st.text(max_size=5),
        "cost_usd": st.one_of(st.none(), st.floats(0, 10)),
    },
)


@given(st.lists(st.tuples(st.sampled_from(KINDS), FACTS), max_size=25))
def test_no_order_of_events_breaks_the_fold(events: list[tuple[str, dict[str, Any]]]) -> None:
    run = Progress()
    before = 0
    for kind, facts in events:
        run.apply(kind, facts)
        if kind != "training":  # a job that is started over begins again from 0
            assert run.env_steps >= before or kind == "trained"
        before = run.env_steps
        assert run.eta_s is None or run.eta_s >= 0
        assert all(row.share is None or 0 <= row.share <= 1 for row in run.rows.values())
    assert isinstance(spent_line(run), str)
    assert isinstance(best_line(run), str)
