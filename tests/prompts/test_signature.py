import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.envs.task import Task
from rewardsmith.prompts.signature import card_names, completed, distinct

NAMES = frozenset({"height", "prev_height", "speed", "action"})


def program(head: str, body: str = "speed + height") -> str:
    return f"{head}\n    return {body}, {{}}\n"


def test_the_names_of_a_card_are_fields_before_and_after_and_what_steps_have(task: Task) -> None:
    names = card_names(task.env)
    assert {"forward_velocity", "prev_forward_velocity", "action", "terminated"} <= names
    assert "secret_odometer" not in names


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def compute_reward(speed):", "def compute_reward(speed, height):"),
        ("def compute_reward():", "def compute_reward(height, speed):"),
        ("def compute_reward(\n    speed,\n):", "def compute_reward(\n    speed, height,\n):"),
        (
            "# ä\ndef compute_reward(speed):  # (x)",
            "# ä\ndef compute_reward(speed, height):  # (x)",
        ),
    ],
)
def test_a_forgotten_parameter_is_added_on_its_line(before: str, after: str) -> None:
    text, added = completed(program(before), NAMES)
    assert text == program(after)
    assert "height" in added


@pytest.mark.parametrize(
    "text",
    [
        program("def compute_reward(speed, height):"),
        program("height = 1.0\ndef compute_reward(speed):"),
        program("def compute_reward(speed):", "speed + unknown"),
        program("def compute_reward(speed, *rest):"),
        program("def compute_reward(speed=1.0):"),
        "def compute_reward(speed):\n    height = 2.0\n    return speed + height, {}\n",
        "not python (",
        "x = 1",
    ],
)
def test_all_else_stays_as_it_is(text: str) -> None:
    assert completed(text, NAMES) == (text, ())


@pytest.mark.parametrize(
    ("parameters", "kept", "names"),
    [
        ("speed, speed", "speed", ("speed",)),
        ("speed, height, speed", "speed, height", ("speed",)),
        ("speed, height, speed, height, action", "speed, height, action", ("speed", "height")),
        ("speed, speed, speed", "speed", ("speed",)),
        ("speed, height, speed,", "speed, height,", ("speed",)),
        ("speed,\n    height,  # in (m\n    speed,\n", "speed,\n    height,\n", ("speed",)),
        ("größe, größe", "größe", ("größe",)),
        ("speed: float, speed: float", "speed: float", ("speed",)),
        ("speed, *, speed", "speed", ("speed",)),
        ("speed, /, speed", "speed", ("speed",)),
        ("speed, height, speed=f((1), 2)", "speed, height=f((1), 2)", ("speed",)),
    ],
)
def test_a_parameter_named_twice_is_named_once(
    parameters: str, kept: str, names: tuple[str, ...]
) -> None:
    text, dropped = distinct(program(f"def compute_reward({parameters}):"))
    assert text == program(f"def compute_reward({kept}):")
    assert dropped == names


@pytest.mark.parametrize(
    "text",
    [
        program("def compute_reward(speed, height):"),
        program("def compute_reward():"),
        program("def other(speed, speed):"),
        program("def compute_reward_of(speed, speed):"),
        program("def compute_reward(speed, height=1, speed):"),
        "def compute_reward(speed, speed",
        "def compute_reward(speed = (, speed):\n    return 1\n",
        "say: compute_reward(speed, speed)",
        "",
    ],
)
def test_a_text_without_a_repeat_that_can_be_dropped_stays_as_it_is(text: str) -> None:
    assert distinct(text) == (text, ())


def test_prose_around_the_function_and_its_body_stay_to_the_letter() -> None:
    around = "Here (it is:\n{}    return f(a, a), {{}}  # (a, a)\nGood luck (with it\n"
    text, names = distinct(around.format("def compute_reward(a, a):\n"))
    assert text == around.format("def compute_reward(a):\n")
    assert names == ("a",)


def test_every_definition_in_a_text_is_put_to_rights() -> None:
    twice = program("def compute_reward(a, a):", "a") + program("def compute_reward(b, b):", "b")
    text, names = distinct(twice)
    once = program("def compute_reward(a):", "a") + program("def compute_reward(b):", "b")
    assert (text, names) == (once, ("a", "b"))


NAME = st.sampled_from(["speed", "height", "action", "größe", "_x", "prev_height"])


@settings(max_examples=150, deadline=None)
@given(st.lists(NAME, max_size=9), st.sampled_from([", ", ",\n    ", ",  # (note\n    "]))
def test_what_comes_out_compiles_and_has_the_names_in_their_first_order(
    names: list[str], comma: str
) -> None:
    text, dropped = distinct(program(f"def compute_reward({comma.join(names)}):"))
    function = ast.parse(text).body[0]
    compile(text, "<reward>", "exec")
    assert isinstance(function, ast.FunctionDef)
    assert [a.arg for a in function.args.args] == list(dict.fromkeys(names))
    assert set(dropped) == {name for name in names if names.count(name) > 1}
    assert distinct(text) == (text, ())


@settings(max_examples=100, deadline=None)
@given(st.sets(NAME), st.sets(NAME))
def test_a_completed_program_takes_all_that_it_reads_and_keeps_its_lines(
    taken: set[str], read: set[str]
) -> None:
    head = f"def compute_reward({', '.join(sorted(taken))}):"
    before = program(head, " + ".join(sorted(read)) or "1")
    after, added = completed(before, frozenset(read))
    assert set(added) == read - taken
    assert after.count("\n") == before.count("\n")
    assert completed(after, frozenset(read)) == (after, ())
    function = ast.parse(after).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert {a.arg for a in function.args.args} == taken | read
