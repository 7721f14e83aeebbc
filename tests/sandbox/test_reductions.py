"""Reductions without an axis, and whom they speak of."""

from dataclasses import replace

import pytest

from rewardsmith.envs.task import ActionSpec
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC
from rewardsmith.sandbox.reductions import Reduction, first_reduction, speaks_of_the_batch


def _program(*lines: str, parameters: str = "height, speed, position, action, terminated") -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"def compute_reward({parameters}):\n{body}"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("r = np.sum(action**2)", "np.sum(action ** 2)"),
        ("r = action.mean()", "action.mean()"),
        ("r = np.linalg.norm(position)", "np.linalg.norm(position)"),
        ("r = np.any(height < 0)", "np.any(height < 0)"),
        ("r = 1.0; s = -np.max(speed)", "np.max(speed)"),
    ],
)
def test_a_call_over_every_axis_is_found_with_its_line(line: str, found: str) -> None:
    assert first_reduction(_program("x = 1", line)) == Reduction(3, found)


@pytest.mark.parametrize(
    "line",
    [
        "r = np.sum(action**2, axis=-1)",
        "r = np.sum(action, -1)",
        "r = action.sum(1)",
        "r = action.sum(axis=-1)",
        "r = np.linalg.norm(position, axis=1)",
        "r = np.sum([1.0, 2.0])",
        "r = np.max(position.shape)",
        "r = sum([speed, height])",
        "r = np.exp(speed)",
    ],
)
def test_a_call_along_an_axis_or_over_no_array_is_none(line: str) -> None:
    assert first_reduction(_program(line)) is None


@pytest.mark.parametrize(
    ("line", "of_batch"),
    [
        ("r = np.mean(speed)", True),
        ("r = speed.std()", True),
        ("r = np.max(np.abs(prev_speed))", True),
        ("d = np.linalg.norm(position, axis=-1); r = np.median(height)", True),
        ("r = np.mean(position)", False),
        ("x = position[:, 0:2] * 2; r = np.max(x)", False),
        ("r = action.mean()", False),
        ("r = np.sum(speed**2)", False),
        ("r = np.any(terminated)", False),
        ("r = np.mean(speed, axis=-1)", False),
    ],
)
def test_statistics_of_scalar_fields_speak_of_all_environments(line: str, of_batch: bool) -> None:
    parameters = "height, speed, prev_speed, position, action, terminated"
    assert speaks_of_the_batch(_program(line, parameters=parameters), EXAMPLE_SPEC) is of_batch


def test_a_choice_is_one_number_per_environment() -> None:
    discrete = replace(EXAMPLE_SPEC, action=ActionSpec((), (), (), 3, "which engine"))
    source = _program("r = np.mean(action)")
    assert speaks_of_the_batch(source, discrete)
    assert not speaks_of_the_batch(source, EXAMPLE_SPEC)


def test_functions_of_the_programs_own_are_not_judged() -> None:
    source = "def length(x):\n    return np.max(x)\n" + _program("r = length(position)")
    assert not speaks_of_the_batch(source, EXAMPLE_SPEC)
