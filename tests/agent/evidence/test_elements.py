from typing import Any

import numpy as np
import pytest
from evidence_rig import Played, bank_of

from rewardsmith.agent.evidence.elements import (
    FEW,
    Element,
    axis_of,
    chosen,
    elements_read,
    typical_rows,
    values_of,
)
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field
from rewardsmith.errors import ConfigError

ARM = ActionSpec((2,), (-1.0, -1.0), (1.0, 0.5), None, "torques")
PUSH = ActionSpec((), (), (), 3, "left, nothing, right")
DISTANCE = Element("after", "distance", (), "m")
TORQUE = Element("action", "action", (1,), "1")


def spec_of(action: ActionSpec = ARM) -> EnvSpec:
    fields = (
        Field("distance", (), "m", "to the target", "obs[0]"),
        Field("angles", (2,), "rad", "of the joints", "obs[1:3]"),
        Field("contact", (), "0 or 1", "touches", "obs[3]"),
    )
    return EnvSpec("Arm-v0", fields, (), action, 50, 0.02)


def names(*parameters: str) -> list[str]:
    return [element.name for element in elements_read(parameters, spec_of())]


def test_every_number_that_a_program_reads_is_an_element_in_its_order() -> None:
    assert names("angles", "prev_distance", "action", "distance") == [
        *("angles[0]", "angles[1]", "prev_distance", "action[0]", "action[1]", "distance"),
    ]


def test_memory_and_the_end_of_an_episode_are_nothing_to_vary() -> None:
    assert names("distance", "memory", "terminated") == ["distance"]


def test_a_discrete_action_is_one_element() -> None:
    (action,) = elements_read(("action",), spec_of(PUSH))
    assert action.name == "action"
    assert axis_of(action, np.zeros(9), spec_of(PUSH)).at == (0.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("distance", ["distance"]),
        ("angles", ["angles[0]", "angles[1]"]),
        ("angles[1], distance", ["angles[1]", "distance"]),
        ("distance,angles,angles[0]", ["distance", "angles[0]", "angles[1]"]),
    ],
)
def test_fields_are_named_whole_or_by_index(text: str, found: list[str]) -> None:
    read = elements_read(("distance", "angles"), spec_of())
    assert [element.name for element in chosen(text, read, spec_of())] == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distence", "did you mean 'distance'"),
        ("angels[0]", "did you mean 'angles'"),
        ("angles[2]", r"no such place; there is angles\[0\], angles\[1\]"),
        ("contact", "does not read 'contact'; it reads distance, angles"),
        ("zzz", r"no field of Arm-v0 \(the program reads distance, angles\)"),
        (",", "names nothing"),
    ],
)
def test_a_field_that_cannot_be_varied_is_an_error_that_says_what_can(
    text: str, message: str
) -> None:
    read = elements_read(("distance", "angles"), spec_of())
    with pytest.raises(ConfigError, match=message):
        chosen(text, read, spec_of())


def test_an_axis_is_the_stored_range_and_a_tenth_more() -> None:
    axis = axis_of(DISTANCE, np.linspace(-1.0, 1.0, 201), spec_of(), points=11)
    assert (axis.low, axis.high) == pytest.approx((-0.98, 0.98))
    assert (axis.at[0], axis.at[-1]) == pytest.approx((-1.176, 1.176))
    assert len(axis.at) == 11
    assert axis.label == "distance [m]"


def test_an_axis_does_not_go_beyond_zero_where_no_stored_value_does() -> None:
    assert axis_of(DISTANCE, np.linspace(0.01, 1.0, 99), spec_of()).at[0] == 0.0
    assert axis_of(DISTANCE, np.linspace(-1.0, -0.01, 99), spec_of()).at[-1] == 0.0


def test_an_axis_does_not_go_beyond_the_bounds_of_its_action() -> None:
    axis = axis_of(TORQUE, np.linspace(-1.0, 0.5, 99), spec_of())
    assert (axis.at[0], axis.at[-1]) == (-1.0, 0.5)


def test_a_few_whole_numbers_are_taken_as_they_are() -> None:
    axis = axis_of(DISTANCE, np.array([1.0, 0.0, 1.0, 0.0]), spec_of())
    assert (axis.at, axis.few) == ((0.0, 1.0), True)
    many = axis_of(DISTANCE, np.arange(FEW + 1.0), spec_of())
    assert not many.few


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_value_that_never_changed_is_varied_a_little(value: float) -> None:
    axis = axis_of(DISTANCE, np.full(9, value), spec_of())
    assert axis.at[0] <= value < axis.at[-1]


def test_the_first_typical_row_is_nearest_to_the_median_and_no_row_comes_twice() -> None:
    states: dict[str, Any] = {"distance": np.array([9.0, 5.0, 1.0, 2.0, 3.0, 8.0])}
    bank = bank_of([Played(states)])
    rows = typical_rows(bank, np.arange(5), [DISTANCE], np.zeros(5), seed=0)
    assert bank.steps.after["distance"][rows[0]] == 3.0
    assert len(set(rows.tolist())) == len(rows) == 5
    assert (typical_rows(bank, np.arange(5), [DISTANCE], np.zeros(5), seed=0) == rows).all()


def test_the_second_typical_row_is_the_best_paid_other_one() -> None:
    bank = bank_of([Played({"distance": np.arange(10.0)})])
    total = np.array([0.0, 1.0, 7.0, 2.0, 9.0, 3.0, 0.0, 0.0, 0.0])  # row 4 is the median one
    assert typical_rows(bank, np.arange(9), [DISTANCE], total, seed=0)[:2].tolist() == [4, 2]


def test_fewer_rows_than_wanted_are_all_taken() -> None:
    bank = bank_of([Played({"distance": np.arange(3.0)})])
    assert sorted(typical_rows(bank, np.arange(2), [], np.zeros(2), seed=0).tolist()) == [0, 1]


def test_an_elements_values_are_those_before_or_after_the_step_or_of_the_action() -> None:
    action = np.array([[0.1, 0.2], [0.3, 0.4]])
    states = {"distance": np.arange(3.0), "angles": np.arange(6.0).reshape(3, 2)}
    steps = bank_of([Played(states, action=action)]).steps
    assert values_of(steps, DISTANCE).tolist() == [1.0, 2.0]
    assert values_of(steps, Element("before", "distance", (), "m")).tolist() == [0.0, 1.0]
    assert values_of(steps, Element("after", "angles", (1,), "rad")).tolist() == [3.0, 5.0]
    assert values_of(steps, TORQUE).tolist() == [0.2, 0.4]
