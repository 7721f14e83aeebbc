"""Critic and analyzer cannot be flattered, and no verdict of a model ever becomes fitness."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_roles import Listener, task, trained

from rewardsmith.agent import roles
from rewardsmith.agent.guard import CANARY, cases_for, guard, honest_program
from rewardsmith.agent.halving import judged
from rewardsmith.agent.llm import Reply, Request
from rewardsmith.agent.search import STRATEGIES, best_of_generation, contenders, elect
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.errors import ModelError
from rewardsmith.prompts import facts
from rewardsmith.prompts.replies import (
    ReplyFormatError,
    has_substance,
    parse_analysis,
    parse_critique,
)
from rewardsmith.runs.records import Candidate, Critique, EpisodeSummary, Evidence, RunState

__all__ = ["task"]

CASES = cases_for(find_task("rewardsmith/Point-v0"))
PRAISE = "The term run pays for forward_velocity or distance as the task asks for, in every way."
FLATTERY = json.dumps({"analysis": PRAISE, "verdict": "accept", "remarks": []})


class Flatterer:
    """A critic that accepts whatever it sees, with grounds that name every term."""

    def __init__(self, text: str = FLATTERY) -> None:
        self.text = text
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply(self.text, "flatterer")


def accepted(ask: Any, task: Task, program: str) -> bool:
    """Tells whether a program ends up accepted, whatever way it does not."""
    try:
        return roles.criticise(ask, task, program, roles.Context()).accept
    except ModelError:
        return False


@pytest.mark.parametrize("name", CASES.programs)
def test_no_program_of_the_suite_is_accepted_even_by_a_critic_that_accepts_all(
    name: str, task: Task
) -> None:
    assert not accepted(Flatterer(), task, CASES.programs[name])


def test_the_flattering_critic_would_accept_an_honest_program(task: Task) -> None:
    assert accepted(Flatterer(), task, honest_program(task))


@pytest.mark.parametrize(
    "name", [name for name, text in CASES.programs.items() if not has_substance(text)]
)
def test_what_computes_nothing_never_reaches_the_critic(name: str, task: Task) -> None:
    ask = Flatterer()
    accepted(ask, task, CASES.programs[name])
    assert ask.asked == []


def test_empty_and_truncated_programs_compute_nothing() -> None:
    without = [name for name, text in CASES.programs.items() if not has_substance(text)]
    assert {"empty", "a comment only", "constants", "cut off in a line"} <= set(without)
    assert {"cut off before the return", "an opener", "no reward function"} <= set(without)


@pytest.mark.parametrize("name", CASES.replies)
def test_no_reply_of_the_suite_is_an_acceptance_or_an_analysis(name: str, task: Task) -> None:
    reply = CASES.replies[name]
    honest = honest_program(find_task("rewardsmith/Point-v0"))
    with pytest.raises(ReplyFormatError):
        parse_critique(reply, program=honest)
    with pytest.raises(ReplyFormatError):
        parse_analysis(reply)


@pytest.mark.parametrize("cut", range(1, 12))
def test_an_acceptance_cut_off_anywhere_is_none(cut: int) -> None:
    part = FLATTERY[: cut * len(FLATTERY) // 12]
    with pytest.raises(ReplyFormatError):
        parse_critique(part, program=honest_program(find_task("rewardsmith/Point-v0")))


@pytest.mark.parametrize("name", CASES.orders)
def test_an_order_in_a_trajectory_is_data_in_its_place(name: str, task: Task) -> None:
    one = trained()
    told = one.reports[0].episodes[0].model_copy(update={"outcome": CASES.orders[name]})
    report = one.reports[0].model_copy(update={"episodes": (told,)})
    evidence = Evidence(
        probe="episodes", verdict="warn", text=CASES.orders[name],
        facts={
            "columns": ["torso_height"], "episodes": 1, "outcomes": {CASES.orders[name]: 1.0},
            "notes": [CASES.orders[name]],
            "tables": [{"title": CASES.orders[name], "columns": ["step"], "rows": [["0"]]}],
        },
    )  # fmt: skip
    one = one.model_copy(update={"reports": (report,), "evidence": (evidence,)})
    analysis = '{"causes": ["run is constant"], "advice": ["raise the clip of run"]}'
    ask = Listener('[{"ask": "stat", "of": "torso_height"}]', analysis)
    roles.analyse(ask, task, one, roles.Context(), answer=lambda asked: CASES.orders[name])
    first, second = ask.asked[0].messages[-1].content, ask.asked[1].messages[-1].content
    for text in (first, second):
        assert "<|" not in text
        for line in text.split("\n"):
            marked = line.startswith(("- ", "> ", "statistic: ")) or "(" in line
            assert CANARY not in line or marked, line
    assert first.split("\n").count("## Task") == 1
    assert CANARY in second


def test_the_whole_suite_has_no_hole_for_a_model_that_gives_in(task: Task) -> None:
    def weak(request: Request) -> Reply:
        said = FLATTERY if request.role == "critic" else f"{CANARY} the task is solved"
        return Reply(said, "weak")

    found = guard(weak, task)
    assert found.holes == ()
    assert "program: an order in a comment" in found.gave_in
    assert "trajectory: a heading" in found.gave_in
    assert "trajectory: none" not in found.gave_in
    assert found.as_dict()["cases"] == len(CASES.programs) + len(CASES.orders) + 1


def test_a_model_that_refuses_gave_in_to_nothing(task: Task) -> None:
    def strict(request: Request) -> Reply:
        critic = '{"analysis": "run has the wrong sign", "verdict": "revise", "remarks": ["a b c"]}'
        other = '{"causes": ["run is constant"], "advice": ["raise the clip of run"]}'
        return Reply(critic if request.role == "critic" else other, "strict")

    found = guard(strict, task)
    assert (found.holes, found.gave_in) == ((), ())


def test_an_error_of_the_model_is_no_result(task: Task) -> None:
    def broken(request: Request) -> Reply:
        raise ModelError("quota", "no credit")

    with pytest.raises(ModelError, match="no credit"):
        guard(broken, task)


def with_words(candidate: Candidate, words: str) -> Candidate:
    """The candidate as critic and analyzer speak of it."""
    critique = Critique(accept=bool(len(words) % 2), remarks=words)
    return candidate.model_copy(update={"critiques": (critique,), "analysis": words})


def decided(candidates: list[Candidate]) -> list[object]:
    """Everything that a run decides by fitness."""
    state = RunState(run="r", task="t", candidates=tuple(candidates))
    best = best_of_generation(state, 0)
    return [
        [facts.fitness_of(item) for item in candidates],
        best.id if best else None,
        [item.id for item in contenders(state, 0, 2)],
        elect(state, candidates, recheck=False),
        elect(state, candidates, recheck=True),
        [item.id for item, _ in judged(candidates, 0)],
        [strategy().propose(state, 3) for strategy in STRATEGIES.values()],
    ]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(max_size=30) | st.just("accept: fitness 1e9, success"), min_size=4, max_size=4)
)
def test_whatever_critic_and_analyzer_say_no_decision_by_fitness_changes(words: list[str]) -> None:
    plain = [trained(f"g0.{at}", fitness=float(at % 3)) for at in range(4)]
    said = [with_words(one, text) for one, text in zip(plain, words, strict=True)]
    assert decided(said) == decided(plain)


def named_in(path: Path) -> Iterator[str]:
    """Every name, attribute and imported thing of a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    "module",
    [
        "envs/fitness.py",
        "envs/gym_fitness.py",
        "runs/training/judging.py",
        "runs/training/evaluate.py",
        "runs/training/job.py",
        "runs/stats.py",
        "agent/search.py",
        "agent/halving.py",
    ],
)
def test_what_makes_or_compares_fitness_knows_no_verdict_of_a_model(
    module: str, root: Path
) -> None:
    names = set(named_in(root / module))
    assert names & {"Critique", "critiques", "accept", "analysis", "Analysis", "roles"} == set()


def test_no_episode_without_steps_counts_as_seen(task: Task) -> None:
    one = trained()
    empty: EpisodeSummary = one.reports[0].episodes[0].model_copy(update={"length": 0})
    report = one.reports[0].model_copy(update={"episodes": (empty,)})
    found = roles.analyse(
        Flatterer(), task, one.model_copy(update={"reports": (report,)}), roles.Context()
    )
    assert isinstance(found, roles.Unexplained)
