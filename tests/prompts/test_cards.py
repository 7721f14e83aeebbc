from dataclasses import replace

from rewardsmith.envs.task import ActionSpec, Task
from rewardsmith.prompts.cards import card_of


def test_a_card_holds_names_shapes_units_and_meanings(task: Task) -> None:
    card = card_of(task.env)
    assert [(f.name, f.shape, f.unit) for f in card.fields] == [
        ("forward_velocity", "(N,)", "m/s"),
        ("joint_velocities", "(N, 3)", "rad/s"),
    ]


def test_a_card_holds_neither_sources_nor_hidden_fields(task: Task) -> None:
    text = repr(card_of(task.env))
    assert "secret_odometer" not in text
    assert "obs[5]" not in text


def test_equal_bounds_of_an_action_are_said_once(task: Task) -> None:
    assert card_of(task.env).action.range == "each in [-1, 1]"


def test_different_bounds_of_an_action_are_listed(task: Task) -> None:
    action = ActionSpec((2,), (-1.0, 0.0), (1.0, 2.0), None, "")
    assert card_of(replace(task.env, action=action)).action.range == "in [-1, 1], [0, 2]"


def test_a_long_list_of_bounds_is_cut(task: Task) -> None:
    low = tuple(-float(i) for i in range(9))
    action = ActionSpec((9,), low, (1.0,) * 9, None, "")
    assert card_of(replace(task.env, action=action)).action.range.endswith("[-5, 1], ...")


def test_a_discrete_action_is_a_whole_number(task: Task) -> None:
    action = ActionSpec((), (), (), 4, "engines")
    card = card_of(replace(task.env, action=action))
    assert (card.action.shape, card.action.range) == ("(N,)", "whole numbers 0 to 3")
