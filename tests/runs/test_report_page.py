from dataclasses import replace
from typing import Any

import pytest

from rewardsmith.runs.records import (
    Arm,
    Candidate,
    CurvePoint,
    Feedback,
    Proposal,
    RunState,
    Spent,
    TrainingReport,
)
from rewardsmith.runs.report_facts import LedgerRow, RunFacts
from rewardsmith.runs.report_page import banners, page_of
from rewardsmith.sandbox.failure import Failure

EMPTY = RunState(run="r", task="t")
DASH = "\N{EN DASH}"


def candidate(name: str, **changes: Any) -> Candidate:
    plain: dict[str, Any] = {
        "id": name, "generation": int(name[1]), "index": int(name[3]),
        "proposal": Proposal(kind="fresh"),
    }  # fmt: skip
    return Candidate(**(plain | changes))


def heads(state: RunState, facts: RunFacts) -> list[str]:
    return [banner.head for banner in banners(state, facts)]


def test_a_run_that_has_not_begun_is_a_page_of_dashes() -> None:
    page = page_of(EMPTY, RunFacts())
    assert page["candidates"] == ()
    assert page["best"] is None
    assert page["arms"] == ()
    assert page["arms_plot"] == ""
    assert page["arms_note"] == "The comparison has not been run."
    assert page["episode"] is None
    assert page["finding"] == "No candidate has been proposed yet."
    assert dict(page["costs"])["training, wall time of all units"] == DASH
    assert dict(page["costs"])["reward calls"] == DASH
    assert dict(page["again"])["trainer"] == DASH
    assert page["subtitle"] == "task t"


@pytest.mark.parametrize("word", ["none", "None", "NONE", "off"])
def test_a_run_without_walls_says_so_before_any_number(
    word: str, finished_run: RunState, run_facts: RunFacts
) -> None:
    found = heads(finished_run, replace(run_facts, sandbox=word))
    assert found == ["Reward code was not confined (sandbox: none)"]
    assert heads(finished_run, run_facts) == []


def test_a_run_in_which_all_failed_says_so(failing_run: RunState, run_facts: RunFacts) -> None:
    assert heads(failing_run, run_facts) == ["All 2 candidates failed"]


@pytest.mark.parametrize(
    ("changes", "stopped", "words"),
    [
        ({}, "", "What is here is what was known when it was written."),
        ({"awaiting": True}, "", "It waits for a person's feedback. What is here"),
        ({}, "the budget of $1 is used up.", "The budget of $1 is used up. What is here"),
        ({"awaiting": True}, "stopped by the user", "Stopped by the user. What is here"),
    ],
)
def test_an_unfinished_run_says_why_and_how_to_go_on(
    changes: dict[str, Any], stopped: str, words: str
) -> None:
    (banner,) = banners(EMPTY.model_copy(update=changes), RunFacts(stopped=stopped))
    assert banner.kind == "note"
    assert banner.text.startswith(words)
    assert banner.text.endswith("rewardsmith resume r")


def test_tiles_count_what_was_done_and_what_it_cost(
    finished_run: RunState, run_facts: RunFacts
) -> None:
    tiles = {tile["label"]: tile["value"] for tile in page_of(finished_run, run_facts)["tiles"]}
    assert tiles == {
        "candidates, 3 refused or failed": "7",
        "finished generations": "2",
        "environment steps": "4,600,000",
        "tokens": "57,857",
        "spent on models": "unknown",
        "wall time": "1 h 28 min",
    }


def arm(name: str, *steps: int) -> Arm:
    reports = tuple(
        TrainingReport(unit=f"{name}.s{k}", seed=k, steps=n, fitness=1.0 + k)
        for k, n in enumerate(steps)
    )
    return Arm.model_validate({"name": name, "candidate": None, "reports": reports})


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ([arm("best", 100, 100), arm("human", 100, 100)], "The same budget for each trained"),
        ([arm("best", 100, 100), arm("human", 50, 50)], "the arms are not comparable"),
        ([arm("best", 100, 90)], "the arms are not comparable"),
        ([arm("random", 0, 0)], "No policy has been trained"),
        ([arm("best", 100), arm("random", 0)], "There is no human reward"),
    ],
)
def test_the_note_tells_whether_the_arms_can_be_compared(arms: list[Arm], words: str) -> None:
    state = EMPTY.model_copy(update={"arms": tuple(arms), "finished": True})
    assert words in page_of(state, RunFacts())["arms_note"]


def test_each_curve_has_one_entry_in_the_legend_and_none_without(
    finished_run: RunState, run_facts: RunFacts
) -> None:
    page = page_of(finished_run, run_facts)
    assert [key.style for key in page["curve_legend"]] == ["best", "thin", "human"]
    bare = finished_run.model_copy(update={"arms": (), "best": None})
    assert [key.style for key in page_of(bare, run_facts)["curve_legend"]] == ["thin"]


def test_panels_have_a_legend_for_each_line_in_the_same_colours(
    finished_run: RunState, run_facts: RunFacts
) -> None:
    panels = {panel.title: panel for panel in page_of(finished_run, run_facts)["panels"]}
    styles = {key.label: key.style for panel in panels.values() for key in panel.legend}
    for panel in panels.values():
        assert all(styles[key.label] == key.style for key in panel.legend)
        assert all(f"{key.style}" in str(panel.plot) for key in panel.legend)
    assert len(set(styles.values())) == len(styles)


def test_a_ledger_ends_with_the_sum_of_the_journal(
    finished_run: RunState, run_facts: RunFacts
) -> None:
    *rows, last = page_of(finished_run, run_facts)["ledger"]
    assert [row["role"] for row in rows] == ["designer", "critic"]
    assert [row["usd"] for row in rows] == ["$0", "unknown"]
    assert (last["role"], last["calls"], last["prompt"]) == ("all", "19", "48,213")
    assert last["usd"] == "unknown"
    assert last["wall"] == DASH


def test_work_is_summed_over_every_training_that_was_done(finished_run: RunState) -> None:
    costs = dict(page_of(finished_run, RunFacts())["costs"])
    units = sum(len(c.reports) + len(c.rechecks) for c in finished_run.candidates)
    units += sum(len(a.reports) for a in finished_run.arms)
    assert costs["units of training"] == str(units)
    timed = units - 1  # the diverged one has no times
    assert costs["reward calls"].startswith(f"{98 * timed:,}, ")


def test_seeds_in_a_row_are_a_range_and_others_a_list() -> None:
    facts = RunFacts(seeds={"a": (5, 6, 7, 8, 9), "b": (1, 2, 3), "c": (1, 3, 5, 7, 9), "d": ()})
    again = dict(page_of(EMPTY, facts)["again"])
    assert again["seeds, a"] == "5 to 9"
    assert again["seeds, b"] == "1, 2, 3"
    assert again["seeds, c"] == "1, 3, 5, 7, 9"
    assert again["seeds, d"] == DASH


def test_zero_and_false_are_values_and_not_missing() -> None:
    facts = RunFacts(hyperparams={"ent_coef": 0.0, "normalize_obs": False, "note": ""})
    again = dict(page_of(EMPTY, facts)["again"])
    assert again["hyperparameter ent_coef"] == "0.0"
    assert again["hyperparameter normalize_obs"] == "False"
    assert again["hyperparameter note"] == DASH


def test_versions_are_those_of_the_training_with_ours_on_top(
    finished_run: RunState, run_facts: RunFacts
) -> None:
    page = page_of(finished_run, run_facts)
    again = dict(page["again"])
    assert again["version of torch"] == "2.13.0"
    assert page["version"] == "0.1.0"


def test_feedback_shows_only_what_was_given() -> None:
    given = Feedback(
        id="f", author="kim", time="2026-05-11T14:58:03Z", rating=4, preferred_over="g0.1"
    )
    (shown,) = page_of(EMPTY.model_copy(update={"feedback": (given,)}), RunFacts())["feedback"]
    assert shown["parts"] == [("rating", "4 of 5"), ("preferred over", "g0.1")]


def test_a_solved_mark_is_told_where_the_task_has_one(run_facts: RunFacts) -> None:
    assert page_of(EMPTY, run_facts)["subtitle"].endswith("solved at 20 m")
    assert run_facts.task is not None
    open_ended = replace(run_facts, task=replace(run_facts.task, solved_at=None))
    assert "solved" not in page_of(EMPTY, open_ended)["subtitle"]


def test_a_candidate_whose_every_seed_failed_is_not_drawn_but_told() -> None:
    failure = Failure(kind="timeout", text="too slow")
    report = TrainingReport(unit="g0.0.s0", seed=0, steps=5, failure=failure)
    state = EMPTY.model_copy(update={"candidates": (candidate("g0.0", reports=(report,)),)})
    page = page_of(state, RunFacts())
    assert page["curves_plot"] == ""
    assert page["panels"] == []
    assert "failed" in str(page["search_plot"])
    (view,) = page["candidates"]
    assert view.status.bad
    assert view.seeds == ((0, "timeout"),)
    assert page["finding"] == "No reward was found: each of the 1 candidates failed."


def test_numbers_that_are_missing_in_a_curve_leave_gaps_and_break_nothing() -> None:
    points = tuple(
        CurvePoint(steps=k, fitness=None if k == 2 else float(k), success_rate=None,
                   episode_length=None, total=None, components={} if k == 3 else {"a": 1.0 * k})
        for k in (1, 2, 3, 4)
    )  # fmt: skip
    report = TrainingReport(unit="g0.0.s0", seed=0, steps=5, fitness=1.0, curve=points)
    state = EMPTY.model_copy(update={"candidates": (candidate("g0.0", reports=(report,)),)})
    page = page_of(state, RunFacts(ledger=(LedgerRow("designer", "m", 1, 2, 3, None),)))
    assert "nan" not in str(page["curves_plot"])
    assert "nan" not in str(page["panels"][0].plot)
    assert len(page["ledger"]) == 2
    assert page["ledger"][-1]["calls"] == "0"
    assert state.spent == Spent()
