import pytest

from rewardsmith.envs.task import Task
from rewardsmith.prompts.signature import card_names, completed

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
