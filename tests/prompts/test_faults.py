"""What is said of a program that failed its check, or that a probe refused."""

from rewardsmith.prompts.faults import Fault, fault
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.failure import Failure

PROGRAM = "def compute_reward(height):\n    x = height\n    return x, {}"


def test_a_failure_is_shown_with_the_line_that_it_names() -> None:
    found = fault(PROGRAM, Failure(kind="contract", text="no array", line=2))
    assert (found.text, found.line, found.source_line) == ("no array", 2, "x = height")


def test_a_line_that_the_program_does_not_have_is_left_out() -> None:
    assert fault(PROGRAM, Failure(kind="contract", text="no", line=99)).source_line is None
    assert fault(None, Failure(kind="no_code", text="no", line=1)).source_line is None


def test_a_failure_without_known_mistakes_gets_a_word_on_the_remedy() -> None:
    found = fault(PROGRAM, Failure(kind="contract", text="reward is NaN"))
    assert found.advice is not None
    assert "np.clip" in found.advice


def test_likely_mistakes_take_the_place_of_advice() -> None:
    branching = PROGRAM.replace("x = height", "x = height if height > 0 else 0")
    found = fault(branching, Failure(kind="reward_error", text="truth value is ambiguous"))
    assert found.mistakes
    assert found.advice is None


def test_what_a_probe_refuses_has_no_line_and_no_advice_about_arrays() -> None:
    passed = Evidence(probe="health", verdict="pass", text="varied")
    found = Evidence(probe="farming", verdict="fail", text="pays in every row of a shape")
    assert fault(PROGRAM, (passed, found)) == Fault("farming: pays in every row of a shape")
