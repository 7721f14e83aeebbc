import json
from pathlib import Path

from rewardsmith.runs.records import RunState
from rewardsmith.runs.report import render_report
from rewardsmith.runs.report_curves import search_results
from rewardsmith.runs.report_facts import RunFacts
from rewardsmith.runs.report_programs import candidate_views
from rewardsmith.runs.report_text import summary_json, summary_text
from rewardsmith.sandbox.failure import Failure


def test_the_summary_fits_a_terminal_and_names_every_candidate(
    finished_run: RunState, run_facts: RunFacts
) -> None:
    text = summary_text(finished_run, run_facts)
    assert max(len(line) for line in text.splitlines()) <= 110
    assert all(c.id in text for c in finished_run.candidates)
    assert "designed reward  22.4 [20.3, 24.5]" in text
    assert "contract: ValueError: the truth value o" in text
    assert "19 model calls, 57,857 tokens, price unknown" in text


def test_the_summary_carries_no_escape_sequence(hostile_run: RunState) -> None:
    text = summary_text(hostile_run)
    assert "\x1b" not in text
    assert "\u202e" not in text
    text.encode("utf-8")


def test_the_summary_of_a_run_that_has_barely_begun_says_so() -> None:
    text = summary_text(RunState(run="r", task="t", awaiting=True))
    assert "waiting for feedback" in text
    assert "No candidate has been proposed yet." in text


def test_the_document_is_strict_json_and_holds_the_numbers(
    finished_run: RunState, run_facts: RunFacts
) -> None:
    document = json.loads(json.dumps(summary_json(finished_run, run_facts), allow_nan=False))
    arms = {arm["name"]: arm for arm in document["arms"]}
    assert arms["best"]["candidate"] == "g1.0"
    assert arms["best"]["fitness"]["n"] == 5
    assert arms["best"]["fitness"]["low"] < 22.42 < arms["best"]["fitness"]["high"]
    assert document["best_minus_human"]["low"] > 0
    assert document["spent"]["usd"] is None
    assert document["fitness_unit"] == "m"


def test_what_is_not_known_is_null_in_the_document(finished_run: RunState) -> None:
    document = summary_json(finished_run)
    found = {c["id"]: c for c in document["candidates"]}
    assert found["g0.2"]["fitness"] is None
    assert found["g0.2"]["failure"]["kind"] == "contract"
    assert found["g1.2"]["fitness"] is None
    assert found["g1.2"]["seeds"][1]["failure"]["kind"] == "diverged"
    assert found["g1.0"]["recheck"]["fitness"]["n"] == 2
    assert found["g0.0"]["recheck"] is None


def test_a_single_seed_has_no_bounds_in_the_document(finished_run: RunState) -> None:
    first = finished_run.candidates[0]
    alone = first.model_copy(update={"reports": first.reports[:1]})
    state = finished_run.model_copy(update={"candidates": (alone,), "arms": ()})
    (candidate,) = summary_json(state)["candidates"]
    assert candidate["fitness"] == {"mean": 8.1, "low": None, "high": None, "n": 1}
    json.dumps(summary_json(state), allow_nan=False)


IMPURE = Failure(kind="impure", text="Component 'run' is impure: call 3 got 1, answers 0 now.")


def with_impure(state: RunState, name: str) -> RunState:
    """The same run, where a candidate with a fitness on every seed turned out impure."""
    found = tuple(
        c.model_copy(update={"failure": IMPURE}) if c.id == name else c for c in state.candidates
    )
    return state.model_copy(update={"candidates": found})


def test_an_impure_candidate_is_shown_as_such_and_without_a_fitness(
    finished_run: RunState, run_facts: RunFacts, tmp_path: Path
) -> None:
    state = with_impure(finished_run, "g0.0")
    line = next(x for x in summary_text(state, run_facts).splitlines() if x.startswith("g0.0"))
    assert "impure: Component 'run' is impure" in line
    assert "[" not in line, "no interval stands beside it"
    facts = next(c for c in summary_json(state)["candidates"] if c["id"] == "g0.0")
    assert facts["state"] == "impure"
    assert facts["failure"]["kind"] == "impure"
    assert facts["fitness"] is None
    assert next(r for r in search_results(state) if r.label == "g0.0").fitness is None
    view = next(v for v in candidate_views(state) if v.id == "g0.0")
    assert view.status.word == "impure"
    assert view.summary == ""
    assert "call 3 got 1" in str(render_report(tmp_path, state, facts=run_facts))


def test_an_impure_best_claims_nothing(finished_run: RunState, run_facts: RunFacts) -> None:
    text = " ".join(summary_text(with_impure(finished_run, "g1.0"), run_facts).split())
    assert "The best candidate, g1.0, was found impure" in text
    assert "claims no result" in text
    assert "better than" not in text
    assert "better than" in " ".join(summary_text(finished_run, run_facts).split())
