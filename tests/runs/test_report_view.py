import pytest

from rewardsmith.runs.records import (
    Arm,
    Candidate,
    Critique,
    Evidence,
    Proposal,
    RunState,
    TrainingReport,
)
from rewardsmith.runs.report_facts import RunFacts
from rewardsmith.runs.report_view import (
    Status,
    arm_rows,
    asked,
    difference,
    finding,
    recheck,
    seed_values,
    status,
    verdict,
)
from rewardsmith.sandbox.failure import Failure


def arm(name: str, values: list[float], *, steps: int = 100, first: int = 0) -> Arm:
    reports = tuple(
        TrainingReport(unit=f"{name}.s{k}", seed=first + k, steps=steps, fitness=v)
        for k, v in enumerate(values)
    )
    return Arm.model_validate({"name": name, "candidate": None, "reports": reports})


def run(*arms: Arm) -> RunState:
    return RunState(run="r", task="t", arms=arms, finished=True)


def test_the_difference_is_paired_by_seed() -> None:
    paired = run(arm("best", [1.0, 5.0, 9.0]), arm("human", [0.5, 4.5, 8.4]))
    gain = difference(paired)
    assert gain is not None
    assert gain.n == 3
    assert 0.5 < gain.mean < 0.6
    assert verdict(paired) == "higher"


def test_unpaired_seeds_give_no_difference() -> None:
    apart = run(arm("best", [1.0, 5.0]), arm("human", [0.5, 4.5], first=7))
    assert difference(apart) is None
    assert verdict(apart) is None
    assert "not settled" in finding(apart, RunFacts())


def test_a_failed_seed_gives_no_difference() -> None:
    bad = TrainingReport(unit="u", seed=2, steps=1, failure=Failure(kind="oom", text="x"))
    human = arm("human", [1.0, 2.0])
    human = human.model_copy(update={"reports": (*human.reports, bad)})
    assert difference(run(arm("best", [1.0, 2.0, 3.0]), human)) is None
    assert arm_rows(run(human))[0].seeds == "2 of 3"
    assert "1 failed: oom: x" in arm_rows(run(human))[0].missing


def test_a_worse_reward_is_called_worse_and_an_open_order_open() -> None:
    worse = run(arm("best", [1.0, 1.1, 0.9]), arm("human", [5.0, 5.2, 4.9]))
    assert "is worse than the human one at equal budget" in finding(worse, RunFacts())
    equal = run(arm("best", [1.0, 5.0, 3.0]), arm("human", [4.0, 1.0, 3.5]))
    assert "the order of the two is not settled" in finding(equal, RunFacts())


def test_unequal_budgets_are_not_compared() -> None:
    unequal = run(arm("best", [5.0, 5.1, 5.2]), arm("human", [1.0, 1.1, 1.0], steps=50))
    assert "not comparable" in finding(unequal, RunFacts())


def test_a_single_seed_has_no_interval() -> None:
    rows = arm_rows(run(arm("best", [5.0])))
    assert rows[0].fitness == "5"
    assert rows[0].missing == "no interval: one seed"
    assert "no human reward" in finding(run(arm("best", [5.0])), RunFacts())


def test_the_arms_stand_in_the_order_best_human_random() -> None:
    rows = arm_rows(run(arm("random", [0.0]), arm("best", [2.0]), arm("human", [1.0])))
    assert [row.name for row in rows] == ["best", "human", "random"]


def test_a_candidates_state_tells_how_far_it_came() -> None:
    bare = Candidate(id="g0.0", generation=0, index=0, proposal=Proposal(kind="fresh"))
    programmed = bare.model_copy(update={"program": "x"})
    refused = programmed.model_copy(update={"critiques": (Critique(accept=False, remarks="no"),)})
    failed = bare.model_copy(update={"failure": Failure(kind="rejected", text="bad", line=3)})
    states = [status(c).word for c in (bare, programmed, refused, failed)]
    assert states == ["asked", "not trained", "refused", "rejected"]
    assert status(failed).bad
    assert status(failed).text == "bad (line 3)"


@pytest.mark.parametrize(
    ("probe", "word", "bad"),
    [
        ("farming", "refused: farming", True),
        ("duplicate", "duplicate", False),
        ("starc", "same preference", False),
        ("rung", "stopped early", False),
    ],
)
def test_what_was_not_trained_says_which_evidence_is_why(probe: str, word: str, bad: bool) -> None:
    passed = Evidence(probe="health", verdict="pass", text="varied")
    found = Evidence(probe=probe, verdict="fail", text="why")
    item = Candidate(
        id="g0.0",
        generation=0,
        index=0,
        proposal=Proposal(kind="fresh"),
        program="x",
        evidence=(passed, found),
    )
    assert status(item) == Status(word, "why", bad)


def test_a_refused_candidate_that_an_audit_trained_is_trained(finished_run: RunState) -> None:
    found = Evidence(probe="farming", verdict="fail", text="why")
    audited = finished_run.candidates[0].model_copy(update={"evidence": (found,)})
    assert status(audited).word == "trained"


def test_what_was_asked_for_names_the_parents() -> None:
    def of(kind: str, *parents: str) -> str:
        proposal = Proposal.model_validate({"kind": kind, "parents": parents})
        return asked(Candidate(id="g1.0", generation=1, index=0, proposal=proposal))

    assert of("fresh") == "a new reward"
    assert of("improve", "g0.1") == "improve g0.1"
    assert of("combine", "g0.1", "g0.2") == "combine g0.1 and g0.2"
    assert of("human", "g0.1") == "a person's edit of g0.1"


def test_values_per_seed_keep_failures_in_their_place(finished_run: RunState) -> None:
    half, best = finished_run.candidates[-1], finished_run.candidates[4]
    assert seed_values(half) == ((0, "3.90"), (1, "diverged"))
    assert seed_values(best) == ((0, "21.3"), (1, "24.9"), (2, "22.2"))
    assert recheck(best) == "22 [5, 39] (n = 2)"
    assert recheck(half) == "\N{EN DASH}"
