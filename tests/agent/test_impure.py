"""What becomes of a candidate that a training finds impure: shown and told, never chosen."""

from pathlib import Path

import pytest
from loop_rig import ANALYSIS, Arithmetic, Killed, Rig, answer, worth

from rewardsmith.agent.ending import finish
from rewardsmith.agent.llm import Request
from rewardsmith.agent.replaying import decisions
from rewardsmith.agent.scripted import ScriptedModel
from rewardsmith.agent.search import Eureka, Greedy, best_of_generation
from rewardsmith.agent.session import DesignResult
from rewardsmith.runs.records import RunState, Unit
from rewardsmith.sandbox.failure import Failure

IMPURE = Failure(
    kind="impure",
    text="Component 'near' is impure: call 3 of the training got 1 in row 0, and a fresh process "
    "answers 0 to the same steps. A reward depends on its parameters only: no counters.",
)
ANSWERS = {"designer": [answer(9), answer(5), answer(2), answer(1)], "analyzer": [ANALYSIS]}
TWO_SEEDS = {"seeds": 2, "recheck_candidates": 2}


def rig(folder: Path, *units: str, cut_after: int | None = None, **options: object) -> Rig:
    """A run in which the trainings whose ids begin so turn out impure."""

    def found(unit: Unit) -> float | Failure:
        return IMPURE if unit.id.startswith(units) else worth(unit)

    executor = Arithmetic(fitness=found, cut_after=cut_after)
    return Rig(folder / "run", ANSWERS, executor=executor, options=dict(options))


def by_the_question(request: Request) -> str:
    """Answers alike however often a run is started."""
    if request.role == "analyzer":
        return ANALYSIS
    digits = sum(map(ord, "".join(m.content for m in request.messages))) % 97
    return answer(1 + request.sample + digits / 100)


def prompts(used: Rig, role: str) -> list[str]:
    return [r.messages[-1].content for r in used.model.requests if r.role == role]


def test_a_candidate_that_is_impure_on_one_seed_is_neither_parent_nor_best(tmp_path: Path) -> None:
    used = rig(tmp_path, "g0.0.s1", **TWO_SEEDS)
    state = used.agent().run()
    assert state.candidates[0].failure == IMPURE
    assert state.candidates[0].reports[0].fitness is not None, "its first seed had a fitness"
    assert state.generations[0].best == "g0.1"
    assert {c.proposal.parents for c in state.candidates if c.generation == 1} == {("g0.1",)}
    assert not any(name.startswith("g0.0.r") for name in used.executor.trained)


def test_a_candidate_that_is_impure_on_fresh_seeds_is_neither_analysed_nor_best(
    tmp_path: Path,
) -> None:
    used = rig(tmp_path, "g0.0.r", **TWO_SEEDS)
    state = used.agent().run()
    first = state.candidates[0]
    assert first.failure == IMPURE
    assert first.analysis is None
    assert best_of_generation(state, 0) == state.candidates[1]
    assert state.generations[0].best == "g0.1"
    arm = next(arm for arm in state.arms if arm.name == "best")
    assert arm.candidate != "g0.0"


@pytest.mark.parametrize("strategy", ["greedy", "eureka"])
def test_what_was_impure_is_told_to_the_designer_with_what_to_do(
    strategy: str, tmp_path: Path
) -> None:
    used = rig(tmp_path, "g0.0", strategy=strategy)
    used.agent().run()
    later = prompts(used, "designer")[2]
    assert "g0.0" in later
    assert "impure" in later
    assert "A reward depends on its parameters only" in later
    assert "impure" in prompts(used, "analyzer")[-1]


def test_where_all_are_impure_the_next_generation_starts_afresh(tmp_path: Path) -> None:
    state = rig(tmp_path, "g0").agent().run()
    assert state.generations[0].best is None
    assert {c.proposal.kind for c in state.candidates if c.generation == 1} == {"fresh"}


def test_a_run_with_impure_candidates_alone_has_no_best(tmp_path: Path) -> None:
    state = rig(tmp_path, "g").agent().run()
    assert state.best is None
    assert {arm.name for arm in state.arms} == {"human", "random"}


@pytest.mark.parametrize("after", range(11))
def test_a_run_cut_anywhere_treats_an_impure_candidate_alike(tmp_path: Path, after: int) -> None:
    def started(name: str, cut_after: int | None = None) -> Rig:
        used = rig(tmp_path / name, "g0.0.s0", "g0.1.r0", cut_after=cut_after, **TWO_SEEDS)
        used.model = ScriptedModel(by_the_question)
        return used

    expected = decisions(started("whole").agent().run())
    with pytest.raises(Killed):
        started("cut", after).agent().run()
    assert decisions(started("cut").agent().run()) == expected


def test_a_twin_of_an_impure_candidate_is_not_trained(tmp_path: Path) -> None:
    used = rig(tmp_path, "g0.0", generations=1)
    used.model._answers = {"designer": [answer(9)], "analyzer": [ANALYSIS]}
    state = used.agent().run()
    assert state.candidates[1].evidence[0].facts == {"of": "g0.0"}
    assert state.candidates[1].reports == ()


def finally_impure(folder: Path) -> tuple[Rig, RunState]:
    used = rig(folder, "final.best.s1", final_seeds=2)
    return used, used.agent().run()


def test_a_best_that_is_impure_in_the_final_comparison_is_claimed_nowhere(tmp_path: Path) -> None:
    used, state = finally_impure(tmp_path)
    assert state.best == "g0.0"
    assert state.candidates[0].failure == IMPURE
    report = finish(used.store, used.config, used.watch).read_text()
    assert "was found impure when it was trained on held-out seeds" in report
    assert "this run claims no result" in report
    assert "is better than the human one" not in report
    assert not (used.path / "best").exists()
    assert DesignResult(used.path, state).program is None


def test_strategies_start_afresh_from_a_best_that_is_impure(tmp_path: Path) -> None:
    _, state = finally_impure(tmp_path)
    assert {p.kind for p in Greedy().propose(state, 3)} == {"fresh"}
    assert {p.parents for p in Eureka().propose(state, 2)} != {("g0.0",)}
