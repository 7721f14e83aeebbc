"""What goes beside a reward is tried before anything trains, and its references are fixed."""

from functools import cache

import numpy as np
import pytest

from rewardsmith.sandbox.check import CheckReport, check
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.shaped_check import Beside, shaped_check
from rewardsmith.sandbox.shaping import Reference, parse_shaping

STEPS = example_steps(200, 2)
PROGRAM = """
def compute_reward(speed, height, action):
    run = np.exp(-(speed - 1.0) ** 2)
    up = np.exp(-np.abs(height))
    effort = -np.sum(action**2, axis=-1)
    return run + effort, {"run": run, "up": up, "effort": effort}
"""
MILD = PROGRAM.replace(', "effort": effort}', "}")
GOALS = "\n\ndef subgoals(height):\n    return {'up': height > 0.5, 'high': height > 1.5}\n"
MEMORY = """
MEMORY = {"best": 0.0}


def compute_reward(height, memory):
    memory["best"] = np.maximum(memory["best"], height)
    return memory["best"], {"near": memory["best"]}
"""


@cache
def plain(program: str) -> CheckReport:
    """The contract check, once for each program."""
    return check(program, EXAMPLE_SPEC, STEPS, sandbox="process")


def checked(program: str, spelling: str | None = None, **beside: str | bool) -> CheckReport:
    report = plain(program)
    assert report.failure is None, report.failure
    wanted = Beside(shaping=parse_shaping(spelling) if spelling else None, **beside)  # type: ignore[arg-type]
    return shaped_check(report, wanted, EXAMPLE_SPEC, STEPS, sandbox="process")


def failure(program: str, spelling: str | None = None, **beside: str | bool) -> Failure:
    found = checked(program, spelling, **beside).failure
    assert found is not None
    return found


def test_nothing_is_chosen_by_default() -> None:
    report = checked(PROGRAM)
    assert (report.shaping, report.subgoals) == (None, ())


def test_references_come_from_the_baseline_and_are_recorded() -> None:
    shaping = checked(PROGRAM, "combine=logsigmoid,squash=par").shaping
    assert shaping is not None
    run = np.exp(-((STEPS.after["speed"] - 1.0) ** 2))
    found = shaping.references["run"]
    assert found.mean == pytest.approx(run.mean())
    assert found.scale == pytest.approx(run.std())
    assert set(shaping.references) == {"run", "up", "effort"}
    assert isinstance(shaping.total_reference, Reference)


def test_the_mark_of_a_program_chooses_and_the_users_shaping_stands_above_it() -> None:
    marked = "# rewardsmith: combine=geomean squash=clip(0,1)\n" + MILD
    own = checked(marked).shaping
    assert own is not None
    assert own.text == "combine=geomean,squash=clip(0,1)"
    above = checked(marked, "combine=sum").shaping
    assert above is not None
    assert above.text == "combine=sum"


@pytest.mark.parametrize(
    ("mark", "word"),
    [
        ("# rewardsmith: combine=geomen", "did you mean geomean?"),
        ("# rewardsmith: be nice", "'be' is unknown"),
        ("# rewardsmith:", "parts such as"),
        ("# rewardsmith: combine=sum\n# rewardsmith: squash=par", "2 lines"),
    ],
)
def test_a_mark_that_cannot_be_read_is_refused_with_its_line(mark: str, word: str) -> None:
    found = check(f"{PROGRAM}\n{mark}\n", EXAMPLE_SPEC, STEPS, sandbox="process").failure
    assert found is not None
    assert found.kind == "rejected"
    assert word in found.text
    assert found.line is not None
    assert f"{PROGRAM}\n{mark}\n".split("\n")[found.line - 1].startswith("# rewardsmith:")


REFUSED = {
    "a signed component": (PROGRAM, "combine=geomean", "'effort' is -"),
    "a component that is not there": (PROGRAM, "squash=sign(goal,run)", "'goal'"),
    "a potential of the action": (PROGRAM, "combine=sum,potential=effort", "after the action"),
    "a potential with memory": (MEMORY, "combine=sum,potential=near", "has memory"),
    "no subgoals to pay": (PROGRAM, "subgoals=potential", "no function subgoals"),
    "a name that is taken": (
        PROGRAM.replace('"up"', '"subgoals"') + GOALS,
        "subgoals=potential",
        "rename it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_shaping_that_does_not_fit_the_program_is_its_failure(name: str) -> None:
    program, spelling, word = REFUSED[name]
    assert word in failure(program, spelling).text


def test_a_component_that_is_negative_on_extreme_states_alone_is_found() -> None:
    assert np.abs(STEPS.after["height"]).max() < 4.0
    program = MILD.replace("np.exp(-np.abs(height))", "1.0 - np.abs(height) / 4.0")
    text = failure(program, "combine=geomean").text
    assert text.startswith("On extreme but possible values")
    assert "'up' is -" in text


def test_a_potential_of_the_state_is_accepted() -> None:
    shaping = checked(PROGRAM, "combine=sum,potential=up").shaping
    assert shaping is not None
    assert shaping.potentials == ("up",)


def test_a_gate_that_could_never_open_is_refused_with_the_reason() -> None:
    text = failure(PROGRAM, "combine=sum,gate=effort(0.6,0.4)", no_gate="nobody succeeds").text
    assert "nobody succeeds" in text
    assert checked(PROGRAM, "combine=sum,gate=effort(0.6,0.4)").failure is None


def test_subgoals_are_named_in_their_order_wherever_a_program_has_them() -> None:
    assert checked(PROGRAM + GOALS).subgoals == ("up", "high")
    paid = checked(PROGRAM + GOALS, "subgoals=potential(2)")
    assert (paid.failure, paid.subgoals) == (None, ("up", "high"))


def test_subgoals_that_are_asked_for_and_missing_or_broken_are_a_failure() -> None:
    assert "no function subgoals" in failure(PROGRAM, subgoals=True).text
    broken = GOALS.replace("height > 0.5", "height > np.mean(height)")
    found = failure(PROGRAM + broken)
    assert found.text.startswith("In `subgoals`: ")
    assert "'up'" in found.text


def test_a_failed_contract_check_comes_back_as_it_is() -> None:
    report = check("def compute_reward(x):\n    return x, {}\n", EXAMPLE_SPEC, STEPS)
    assert shaped_check(report, Beside(subgoals=True), EXAMPLE_SPEC, STEPS) is report
