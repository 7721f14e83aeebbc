"""Subgoals of a program: declared in its text, evaluated in a worker, believed where they fit."""

import numpy as np
import pytest

from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import RewardProgram, parse
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.subgoals import SubgoalSource, as_program, declares, reached

STEPS = example_steps(40, 4)
REWARD = """
LIMIT = 0.5


def compute_reward(speed, action):
    run = np.clip(speed, 0.0, LIMIT)
    return run, {"run": run}
"""
GOALS = """

def subgoals(height, speed):
    return {"up": height > LIMIT, "fast": (height > LIMIT) & (speed > 1.0)}
"""


def asked(goals: str, reward: str = REWARD) -> RewardBatch | Failure:
    source = as_program(reward + goals, EXAMPLE_SPEC)
    if isinstance(source, Failure):
        return source
    with RewardClient(source, EXAMPLE_SPEC, sandbox="process") as client:
        return SubgoalSource(client).rewards(STEPS)


def failure(goals: str) -> Failure:
    found = asked(goals)
    assert isinstance(found, Failure), found
    return found


def test_a_programs_subgoals_are_answered_in_their_order_as_0_and_1() -> None:
    found = asked(GOALS)
    assert isinstance(found, RewardBatch)
    assert list(found.components) == ["up", "fast"]
    up, fast = STEPS.after["height"] > 0.5, STEPS.after["speed"] > 1.0
    np.testing.assert_array_equal(found.components["up"], up)
    np.testing.assert_array_equal(found.components["fast"], up & fast)


def test_the_program_of_subgoals_keeps_its_lines_and_asks_for_their_fields_alone() -> None:
    source = as_program(REWARD + GOALS, EXAMPLE_SPEC)
    assert isinstance(source, str)
    parsed = parse(source)
    assert not isinstance(parsed, Failure)
    assert parsed.parameters == ("height", "speed")
    assert not parsed.uses_memory
    before = (REWARD + GOALS).split("\n")
    kept = [line for line in source.split("\n") if "LIMIT" in line]
    assert [before.index(line) for line in kept] == [source.split("\n").index(x) for x in kept]
    assert RewardProgram(source).mode == "batched"


def test_a_program_says_whether_it_has_subgoals() -> None:
    assert declares(REWARD + GOALS)
    assert not declares(REWARD)
    assert not declares("def subgoals(:")


@pytest.mark.parametrize(
    ("goals", "word"),
    [
        ("", "no function subgoals"),
        (GOALS + GOALS, "2 functions subgoals"),
        ("\ndef subgoals(prev_height):\n    return {'a': prev_height > 0}\n", "`prev_height`"),
        ("\ndef subgoals(action):\n    return {'a': action[:, 0] > 0}\n", "`action`"),
        ("\ndef subgoals(height, memory):\n    return {'a': height > 0}\n", "`memory`"),
        ("\ndef subgoals(heigth):\n    return {'a': heigth > 0}\n", "`heigth`"),
        ("\ndef subgoals(**fields):\n    return {}\n", "named plainly"),
    ],
)
def test_a_declaration_that_speaks_of_more_than_one_state_is_refused(goals: str, word: str) -> None:
    found = failure(goals)
    assert found.kind == "rejected"
    assert word in found.text


HOSTILE = {
    "a wrong shape": ("{'a': position > 0}", "shape (N, 3)"),
    "one answer for all": ("{'a': height[:3] > 0}", "shape (3,)"),
    "a number": ("{'a': height}", "a condition is wanted"),
    "nearly true": ("{'a': (height > 0) * 0.5}", "is 0.5; a condition"),
    "no number": ("{'a': height / 0.0}", "subgoals"),
    "a text": ("{'a': 'yes'}", "it must be an array"),
    "a list": ("[('a', height > 0)]", "must be a dict"),
    "nothing": ("None", "must be a dict"),
    "none of them": ("{}", "returns 0 of them"),
    "nine": ("{'a%d' % i: height > i for i in range(9)}", "returns 9 of them"),
    "a huge dict": ("{'a%d' % i: height > i for i in range(100000)}", "at most 16"),
    "a long name": ("{'a' * 5000: height > 0}", "not allowed"),
    "an odd name": ("{'Up!': height > 0}", "not allowed"),
    "an error": ("{'a': height > unknown}", "unknown"),
    "a huge array": ("{'a': np.zeros(10**12) > 0}", "subgoals"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_subgoals_are_a_failure_in_words(name: str) -> None:
    body, word = HOSTILE[name]
    found = failure(f"\ndef subgoals(height, position):\n    return {body}\n")
    assert word in found.text
    assert found.text.startswith("In `subgoals`") or "subgoal" in found.text


def test_hidden_fields_and_other_modules_are_refused_to_subgoals_too() -> None:
    found = failure("\ndef subgoals(height):\n    import os\n    return {'a': height > 0}\n")
    assert "cannot be imported" in found.text
    found = failure("\ndef subgoals(height):\n    return {'a': open('x')}\n")
    assert found.kind == "rejected"
    assert "`open` is not available" in found.text


def test_what_is_reached_is_the_furthest_subgoal_that_holds() -> None:
    held = {"one": [0, 1, 0, 1], "two": [0, 0, 1, 1], "three": [0, 0, 0, 1], "four": [0, 0, 0, 0]}
    columns = {name: np.array(column, dtype=float) for name, column in held.items()}
    found = reached(RewardBatch(np.zeros(4), columns))
    assert found.tolist() == [0.0, 0.25, 0.5, 0.75]
