from collections import Counter
from pathlib import Path

import pytest
from loop_rig import ANALYSIS, Arithmetic, Killed, Rig, answer, worth

from rewardsmith.agent.budget import Limits
from rewardsmith.agent.feedback import give
from rewardsmith.agent.llm import Request
from rewardsmith.agent.proving import whole_steps
from rewardsmith.agent.replaying import decisions
from rewardsmith.errors import AwaitingFeedback, BudgetExhausted
from rewardsmith.runs.records import Unit
from rewardsmith.sandbox.failure import Failure


def numbered(request: Request) -> str:
    """A program that depends on the question alone, so that a resumed run is told the same."""
    if request.role == "analyzer":
        return ANALYSIS
    digits = sum(map(ord, "".join(m.content for m in request.messages))) % 97
    return answer(1 + request.sample + digits / 100)


def prompts(rig: Rig) -> list[str]:
    return [r.messages[-1].content for r in rig.model.requests if r.role == "designer"]


def test_a_run_ends_with_the_best_program_compared_on_held_out_seeds(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", numbered)
    state = rig.agent().run()
    assert state.finished
    assert state.best is not None
    assert {arm.name for arm in state.arms} == {"best", "human", "random"}
    assert len({r.seed for arm in state.arms for r in arm.reports}) == rig.config.final_seeds


def test_no_seed_of_the_search_is_used_in_the_final_comparison(tmp_path: Path) -> None:
    state = Rig(tmp_path / "run", numbered).agent().run()
    searched = {r.seed for c in state.candidates for r in (*c.reports, *c.rechecks)}
    final = {r.seed for arm in state.arms for r in arm.reports}
    assert not searched & final


@pytest.mark.parametrize("after", range(12))
def test_a_run_cut_after_any_training_ends_like_an_unbroken_one(tmp_path: Path, after: int) -> None:
    whole = Rig(tmp_path / "whole", numbered)
    expected = decisions(whole.agent().run())
    broken = Rig(tmp_path / "broken", numbered, executor=Arithmetic(cut_after=after))
    with pytest.raises(Killed):
        broken.agent().run()
    again = Rig(tmp_path / "broken", numbered)
    assert decisions(again.agent().run()) == expected
    asked = Counter((r.role, r.messages, r.sample) for r in broken.model.requests)
    asked.update((r.role, r.messages, r.sample) for r in again.model.requests)
    assert max(asked.values()) == 1
    trained = Counter(broken.executor.trained + again.executor.trained)
    assert max(trained.values()) == 1


def test_a_finished_run_does_nothing_when_it_is_started_again(tmp_path: Path) -> None:
    first = Rig(tmp_path / "run", numbered)
    first.agent().run()
    second = Rig(tmp_path / "run", numbered)
    second.agent().run()
    assert (second.model.calls, second.executor.trained) == (0, [])


def test_a_broken_answer_gets_one_repair_turn_with_its_error(tmp_path: Path) -> None:
    answers = {"designer": [answer(1).replace("near = ", "broken = near = "), answer(2)]}
    rig = Rig(
        tmp_path / "run",
        answers | {"analyzer": [ANALYSIS]},
        options={"candidates": 1, "generations": 1},
    )
    state = rig.agent().run()
    assert state.candidates[0].failure is None
    assert "broken is no array" in prompts(rig)[1]


def test_an_answer_that_stays_broken_is_a_failure_and_is_not_trained(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", ["no code at all"], options={"candidates": 2, "generations": 1})
    state = rig.agent().run()
    assert [c.failure.kind for c in state.candidates if c.failure] == ["no_code", "no_code"]
    assert state.best is None
    assert not any(unit.startswith("g0") for unit in rig.executor.trained)
    assert {arm.name for arm in state.arms} == {"human", "random"}


def test_failures_are_told_to_the_next_generation(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", ["no code at all"], options={"candidates": 1, "repair_turns": 0})
    rig.agent().run()
    assert "g0.0" in prompts(rig)[1]


def test_the_same_program_is_not_trained_twice(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path / "run",
        {"designer": [answer(3), answer(3).replace("near = ", "near =  ")], "analyzer": [ANALYSIS]},
        options={"candidates": 2, "generations": 1},
    )
    state = rig.agent().run()
    assert [len(c.reports) for c in state.candidates] == [1, 0]
    assert state.candidates[1].evidence[0].facts == {"of": "g0.0"}


def test_a_later_worse_generation_does_not_replace_the_best(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path / "run",
        {"designer": [answer(9), answer(8), answer(2), answer(1)], "analyzer": [ANALYSIS]},
    )
    state = rig.agent().run()
    assert [g.best for g in state.generations] == ["g0.0", "g0.0"]


def test_a_lucky_seed_does_not_make_a_candidate_the_best(tmp_path: Path) -> None:
    def lucky_first_seed(unit: Unit) -> float:
        return 100.0 if unit.id == "g1.0.s0" else worth(unit)

    rig = Rig(
        tmp_path / "run",
        {"designer": [answer(9), answer(8), answer(2), answer(1)], "analyzer": [ANALYSIS]},
        executor=Arithmetic(fitness=lucky_first_seed),
    )
    state = rig.agent().run()
    assert state.best == "g0.0"
    assert len(state.candidates[2].rechecks) == 1


def test_a_reward_that_fails_in_training_is_a_failure_with_its_text(tmp_path: Path) -> None:
    stalled = Failure(kind="stalled", text="no answer within 10 s")

    def fail_first(unit: Unit) -> float | Failure:
        return stalled if unit.id.startswith("g0.0") else worth(unit)

    rig = Rig(
        tmp_path / "run",
        {"designer": [answer(9), answer(1)], "analyzer": [ANALYSIS]},
        executor=Arithmetic(fitness=fail_first),
        options={"generations": 1},
    )
    state = rig.agent().run()
    assert state.candidates[0].reports[0].failure == stalled
    assert state.best == "g0.1"


def test_the_analysis_of_the_parent_is_in_the_next_prompt(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", numbered)
    rig.agent().run()
    assert "pay for speed" in prompts(rig)[-1]


def test_a_paused_run_waits_and_then_shows_the_feedback(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", numbered, options={"pause_after": True})
    with pytest.raises(AwaitingFeedback, match="rewardsmith feedback"):
        rig.agent().run()
    assert rig.store.state().awaiting
    give(rig.path, {"wanted": "keep the torso high", "observed": "it lies down"}, author="ada")
    again = Rig(tmp_path / "run", numbered, options={"pause_after": True})
    state = again.agent().run()
    assert "keep the torso high" in prompts(again)[-1]
    assert "it lies down" in prompts(again)[-1]
    assert state.feedback[0].author == "ada"
    assert state.candidates[-1].told == ("f0",)


def test_an_edited_reward_becomes_a_candidate_of_the_next_generation(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", numbered, options={"pause_after": True})
    with pytest.raises(AwaitingFeedback):
        rig.agent().run()
    edit = tmp_path / "mine.py"
    edit.write_text(answer(50).split("```python\n")[1].split("```")[0])
    give(rig.path, {}, edit=edit, author="ada")
    state = Rig(tmp_path / "run", numbered).agent().run()
    mine = [c for c in state.candidates if c.proposal.kind == "human"]
    assert [c.id for c in mine] == ["g1.2"]
    assert state.best == "g1.2"


def test_feedback_during_a_generation_waits_for_the_next(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", numbered, executor=Arithmetic(cut_after=0))
    with pytest.raises(Killed):
        rig.agent().run()
    give(rig.path, {"wanted": "hurry"}, author="ada")
    again = Rig(tmp_path / "run", numbered)
    state = again.agent().run()
    assert [c.told for c in state.candidates] == [(), (), ("f0",), ("f0",)]


def test_a_budget_of_steps_stops_before_it_is_exceeded(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", numbered, limits=Limits(steps=250))
    with pytest.raises(BudgetExhausted, match="--max-steps"):
        rig.agent().run()
    assert 100 * len(rig.executor.trained) <= 250


def test_programs_are_kept_as_files_that_nobody_imports(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "run", numbered)
    state = rig.agent().run()
    for candidate in state.candidates:
        assert rig.store.program_path(candidate.id).read_text() == candidate.program


def test_the_critic_is_asked_before_training_and_its_remarks_are_kept(tmp_path: Path) -> None:
    revise = (
        '```json\n{"analysis": "`near` has the wrong sign", "verdict": "revise", '
        '"remarks": ["turn the sign of near"]}\n```'
    )
    rig = Rig(
        tmp_path / "run",
        {"designer": [answer(1), answer(5)], "critic": [revise], "analyzer": [ANALYSIS]},
        options={"candidates": 1, "generations": 1, "critic_rounds": 1},
    )
    state = rig.agent().run()
    [candidate] = state.candidates
    assert not candidate.critiques[0].accept
    assert "turn the sign of near" in candidate.critiques[0].remarks
    assert "-5" in (candidate.program or "")


def test_steps_are_reserved_in_whole_rollouts(tmp_path: Path) -> None:
    unit = Rig(tmp_path / "run", numbered).agent().recipe.units("x", None, "final", 1)[0]
    sized = unit.model_copy(update={"hyperparams": {"n_envs": 8, "n_steps": 256}, "steps": 5000})
    assert whole_steps(sized) == 6144
    assert whole_steps(sized.model_copy(update={"steps": 6144})) == 6144
    assert whole_steps(sized.model_copy(update={"steps": 0})) == 0


def test_steps_that_a_failed_training_did_not_take_can_be_used_again(tmp_path: Path) -> None:
    def fail(unit: Unit) -> float | Failure:
        return Failure(kind="timeout", text="slow") if unit.program else worth(unit)

    rig = Rig(tmp_path / "run", numbered, executor=Arithmetic(fitness=fail, failed_steps=0))
    agent = rig.agent()
    agent.run()
    trained = [r for arm in rig.store.state().arms for r in arm.reports]
    assert agent.prover.ledger.steps == sum(report.steps for report in trained)
