import ast

import pytest

from rewardsmith.envs.registry import find_task
from rewardsmith.prompts.constants import card_constants, spelled_out

DT = {"dt": 0.008}


def test_the_step_length_of_the_card_is_a_constant() -> None:
    assert card_constants(find_task("rewardsmith/Point-v0").env) == {"dt": 0.1}


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("(speed, dt)", "(speed)"),
        ("(dt, speed)", "(speed)"),
        ("(speed, dt, height)", "(speed, height)"),
        ("(dt)", "()"),
        ("(speed: float, dt: float)", "(speed: float)"),
    ],
)
def test_a_constant_taken_as_a_parameter_is_written_as_its_number(
    written: str, wanted: str
) -> None:
    program = f"def compute_reward{written}:\n    return 2 * dt, {{}}\n"
    found, names = spelled_out(program, DT)
    assert found == f"def compute_reward{wanted}:\n    return 2 * 0.008, {{}}\n"
    assert names == ("dt",)


def test_every_line_stays_where_it_was() -> None:
    program = (
        "# é\ndef compute_reward(\n    speed,  # m/s\n    dt,\n    action,\n):\n"
        "    way = speed * dt  # dt\n    return way, {'way': way}\n"
    )
    found, _ = spelled_out(program, DT)
    ast.parse(found)
    assert found.split("\n")[6] == "    way = speed * 0.008  # dt"
    assert len(found.split("\n")) == len(program.split("\n"))
    assert [a.arg for a in ast.parse(found).body[0].args.args] == ["speed", "action"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "program",
    [
        "def compute_reward(speed):\n    return speed, {}\n",
        "def compute_reward(speed, dt=0.1):\n    return speed * dt, {}\n",
        "def compute_reward(speed, dt):\n    dt = 0.1\n    return speed * dt, {}\n",
        "def compute_reward(speed, *, dt):\n    return speed * dt, {}\n",
        "dt = 0.1\ndef compute_reward(speed):\n    return speed * dt, {}\n",
        "def other(dt):\n    return dt\n",
        "def compute_reward(speed, dt:\n",
    ],
)
def test_what_is_not_taken_from_the_card_stays(program: str) -> None:
    assert spelled_out(program, DT) == (program, ())


def test_an_environment_with_a_field_of_that_name_keeps_it() -> None:
    import dataclasses

    env = find_task("rewardsmith/Point-v0").env
    renamed = dataclasses.replace(env.fields[0], name="dt")
    assert card_constants(dataclasses.replace(env, fields=(renamed,))) == {}
