"""What a trainer is given: a program's components as its shaping makes them one reward."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import FloatArray
from rewardsmith.sandbox.conformance import example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.shaped import ShapedReward, both_sides, combined, reference, referenced
from rewardsmith.sandbox.shaping import Reference, parse_shaping

STEPS = example_steps(12, 3)


class Formula:
    """A source whose components are formulas of the fields after the action."""

    def __init__(self, **parts: Callable[[Mapping[str, FloatArray]], FloatArray]) -> None:
        self.parts = parts
        self.asked: list[Steps] = []
        self.closed = 0

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.asked.append(steps)
        found = {name: part(steps.after) for name, part in self.parts.items()}
        return RewardBatch(np.full(steps.rows, 7.0), found)

    def close(self) -> None:
        self.closed += 1


def batch(**parts: list[float]) -> RewardBatch:
    columns = {name: np.array(part, dtype=np.float64) for name, part in parts.items()}
    return RewardBatch(np.full(len(next(iter(columns.values()))), 7.0), columns)


def total(spelling: str, answer: RewardBatch, shut: frozenset[str] = frozenset()) -> list[float]:
    found = combined(parse_shaping(spelling), answer, shut)
    assert not isinstance(found, Failure), found
    return [float(value) for value in found]


def refused(spelling: str, answer: RewardBatch) -> str:
    found = combined(parse_shaping(spelling), answer)
    assert isinstance(found, Failure)
    assert found.text.startswith("The shaping ")
    return found.text


PARTS = batch(run=[1.0, 4.0], up=[4.0, 9.0])


@pytest.mark.parametrize(
    ("spelling", "wanted"),
    [
        ("combine=sum", [5, 13]),
        ("combine=geomean", [2, 6]),
        ("combine=harmonic", [1.6, 72 / 13]),
        ("combine=softmin(1e-3)", [1, 4]),
        ("combine=sum,squash=clip(0,6)", [5, 6]),
        ("squash=clip(-1,1)", [1, 1]),
    ],
)
def test_each_choice_makes_another_reward_of_the_same_components(
    spelling: str, wanted: list[float]
) -> None:
    assert total(spelling, PARTS) == pytest.approx(wanted)


def test_without_a_combination_the_programs_own_total_is_squashed() -> None:
    assert total("squash=clip(-10,10)", PARTS) == [7, 7]


def test_signs_are_taken_of_the_two_components_that_are_named() -> None:
    answer = batch(goal=[0.0, 5.0], near=[-3.0, 0.2])
    assert total("squash=sign(goal,near)", answer) == [-0.1, 1.1]


@pytest.mark.parametrize("combine", ["geomean", "harmonic"])
def test_a_negative_component_is_refused_by_name_with_a_remedy(combine: str) -> None:
    text = refused(f"combine={combine}", batch(run=[1.0], effort=[-0.5]))
    assert "'effort' is -0.5" in text
    assert "np.exp(-x)" in text


def test_a_signed_geometric_mean_is_given_where_it_is_asked_for() -> None:
    assert total("combine=geomean(signed)", batch(run=[4.0], effort=[-9.0])) == pytest.approx([-6])


def test_a_component_that_is_not_there_is_named_with_those_that_are() -> None:
    text = refused("combine=sum,gate=effort(0.6,0.4)", PARTS)
    assert "'effort'" in text
    assert "run, up" in text


def test_a_gate_that_is_shut_leaves_its_component_out() -> None:
    answer = batch(run=[4.0], effort=[9.0])
    spelling = "combine=geomean,gate=effort(0.6,0.4)"
    assert total(spelling, answer) == pytest.approx([6])
    assert total(spelling, answer, frozenset({"effort"})) == pytest.approx([4])


def test_nothing_left_to_combine_is_a_failure() -> None:
    assert "no component left" in refused("combine=sum,potential=run+up", PARTS)


def test_references_are_mean_and_deviation_over_the_baseline() -> None:
    found = referenced(parse_shaping("combine=logsigmoid"), batch(run=[1.0, 3.0], still=[2.0, 2.0]))
    assert not isinstance(found, Failure)
    assert found.references == {
        "run": Reference(mean=2.0, scale=1.0),
        "still": Reference(mean=2.0, scale=1.0),
    }
    value = combined(found, batch(run=[2.0], still=[2.0]))
    assert float(np.asarray(value)[0]) == pytest.approx(-2 * np.log(2))


def test_what_hardly_varies_is_measured_by_1() -> None:
    assert reference(np.full(9, 1e6) + 1e-6 * np.arange(9)).scale == 1.0
    assert reference(np.array([0.0, 2e-3])).scale == pytest.approx(1e-3)


def test_par_is_centred_at_the_baseline_mean_of_what_was_combined() -> None:
    found = referenced(parse_shaping("combine=sum,squash=par"), PARTS)
    assert not isinstance(found, Failure)
    assert found.total_reference == Reference(mean=9.0, scale=4.0)
    value = combined(found, batch(run=[9.0, 13.0], up=[0.0, 0.0]))
    np.testing.assert_allclose(np.asarray(value), [0.5, 1 / (1 + np.exp(-1.0))])


def test_a_component_without_its_reference_is_a_failure_not_a_guess() -> None:
    found = referenced(parse_shaping("combine=logsigmoid"), batch(run=[1.0, 3.0]))
    assert not isinstance(found, Failure)
    late = combined(found, batch(run=[2.0], late=[2.0]))
    assert isinstance(late, Failure)
    assert "no reference for 'late'" in late.text


def test_the_total_is_shaped_and_components_stay_as_the_program_gave_them() -> None:
    source = Formula(run=lambda a: a["speed"], up=lambda a: np.abs(a["height"]))
    found = ShapedReward(source, parse_shaping("combine=sum"), gamma=0.9).rewards(STEPS)
    assert isinstance(found, RewardBatch)
    np.testing.assert_allclose(found.total, STEPS.after["speed"] + np.abs(STEPS.after["height"]))
    np.testing.assert_array_equal(found.components["run"], STEPS.after["speed"])
    assert [steps.rows for steps in source.asked] == [12]


def test_a_potential_is_asked_for_on_both_sides_of_each_step() -> None:
    source = Formula(run=lambda a: a["speed"], near=lambda a: a["height"])
    shaping = parse_shaping("combine=sum,potential=near")
    found = ShapedReward(source, shaping, gamma=0.9).rewards(STEPS)
    assert isinstance(found, RewardBatch)
    after = np.where(STEPS.terminated, 0.0, STEPS.after["height"])
    paid = 0.9 * after - STEPS.before["height"]
    np.testing.assert_allclose(found.total, STEPS.after["speed"] + paid)
    np.testing.assert_array_equal(found.components["near"], STEPS.after["height"])
    assert [steps.rows for steps in source.asked] == [24]


def test_the_second_half_of_both_sides_stays_where_a_step_began() -> None:
    both = both_sides(STEPS)
    for side in (both.after, both.before):
        np.testing.assert_array_equal(side["speed"][12:], STEPS.before["speed"])
    assert not both.terminated[12:].any()


def test_subgoals_pay_as_a_potential_scaled_by_their_weight() -> None:
    goals = Formula(
        up=lambda a: (a["height"] > 0).astype(float), fast=lambda a: (a["speed"] > 0).astype(float)
    )
    source = Formula(run=lambda a: a["speed"])
    shaping = parse_shaping("subgoals=potential(3)")
    found = ShapedReward(source, shaping, gamma=0.5, subgoals=goals).rewards(STEPS)
    assert isinstance(found, RewardBatch)

    def share(side: Mapping[str, FloatArray]) -> FloatArray:
        return np.where(side["speed"] > 0, 1.0, np.where(side["height"] > 0, 0.5, 0.0))

    wanted = 3 * (0.5 * np.where(STEPS.terminated, 0.0, share(STEPS.after)) - share(STEPS.before))
    np.testing.assert_allclose(found.components["subgoals"], wanted)
    np.testing.assert_allclose(found.total, 7.0 + wanted)


def test_subgoals_that_are_to_be_paid_need_a_source() -> None:
    with pytest.raises(ValueError, match="pays subgoals"):
        ShapedReward(Formula(), parse_shaping("subgoals=potential"), gamma=1.0)


def test_a_failure_of_the_program_or_its_subgoals_is_handed_on() -> None:
    class Broken(Formula):
        def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
            return Failure(kind="oom", text="x")

    shaping = parse_shaping("subgoals=potential")
    for sources in ((Broken(), Formula()), (Formula(run=lambda a: a["speed"]), Broken())):
        found = ShapedReward(sources[0], shaping, gamma=1.0, subgoals=sources[1]).rewards(STEPS)
        assert isinstance(found, Failure)
        assert found.kind == "oom"


def test_no_steps_are_no_shaping_and_closing_closes_both() -> None:
    source, goals = Formula(run=lambda a: a["speed"]), Formula()
    shaped = ShapedReward(source, parse_shaping("subgoals=potential"), gamma=1.0, subgoals=goals)
    assert isinstance(shaped.rewards(example_steps(0)), RewardBatch)
    shaped.close()
    assert (source.closed, goals.closed) == (1, 1)
