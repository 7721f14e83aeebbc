from collections.abc import Callable

import numpy as np
import pytest

from rewardsmith.agent.evidence.slice_findings import line_findings, surface_findings
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.pictures import Axis, Finding

Curve = Callable[[FloatArray], FloatArray]
AT = np.linspace(0.0, 1.0, 61)


def axis(name: str = "distance", at: FloatArray = AT, *, few: bool = False) -> Axis:
    return Axis(
        name=name, unit="m", at=tuple(at.tolist()), low=float(at[0]), high=float(at[-1]), few=few
    )


def found(*curves: Curve, std: float = 1.0) -> dict[str, Finding]:
    """Returns the findings of a total that is these lines, by kind."""
    total = np.stack([curve(AT) for curve in curves])
    return {item.kind: item for item in line_findings(axis(), total, {}, std)}


def test_a_total_that_an_axis_does_not_move_is_flat_over_all_of_it() -> None:
    flat = found(lambda x: 0.005 * x, lambda x: 3.0 + 0.0 * x)
    assert list(flat) == ["flat"]
    assert flat["flat"].text == "flat, range < 1 % of std, over all of distance"
    assert flat["flat"].low is None


def test_flat_is_counted_in_standard_deviations_of_the_total() -> None:
    assert "flat" in found(lambda x: 0.5 * x, std=100.0)
    assert "flat" not in found(lambda x: 0.5 * x, std=1.0)


@pytest.mark.parametrize(
    ("curve", "where", "ends"),
    [
        (lambda x: -np.minimum(x, 0.3), "distance > 0.3", (0.3, 1.0)),
        (lambda x: np.maximum(x, 0.7), "distance < 0.7", (0.0, 0.7)),
        (lambda x: np.abs(x - np.clip(x, 0.3, 0.6)), "distance from 0.3", (0.3, 0.6)),
    ],
)
def test_a_flat_stretch_is_told_with_where_it_is(
    curve: Curve, where: str, ends: tuple[float, float]
) -> None:
    flat = found(curve, curve)["flat"]
    assert flat.text.startswith(f"flat, range < 1 % of std, for {where}")
    assert flat.text.endswith(" m")
    assert (flat.low, flat.high) == pytest.approx(ends, abs=0.02)


def test_a_stretch_is_flat_only_if_it_is_so_at_every_step() -> None:
    assert "flat" not in found(lambda x: -np.minimum(x, 0.3), lambda x: -x)


def test_a_straight_line_is_neither_flat_nor_slow_nor_a_jump_anywhere() -> None:
    assert list(found(lambda x: 2.0 * x)) == ["rises"]
    assert found(lambda x: 2.0 * x)["rises"].text == "rises with distance, range 2 std"


def test_a_saturating_total_levels_off() -> None:
    slow = found(lambda x: np.exp(-5.0 * x))
    assert slow["falls"].size == pytest.approx(1.0, abs=0.01)
    assert slow["slow"].text.startswith("slope below a tenth of the steepest, for distance > 0.4")
    assert slow["slow"].low == pytest.approx(np.log(10.0) / 5.0, abs=0.03)


def test_what_is_called_flat_is_not_called_slow_as_well() -> None:
    assert "slow" not in found(lambda x: -np.minimum(x, 0.3))


def test_a_threshold_is_a_jump_with_its_place() -> None:
    jump = found(lambda x: -0.5 * x + 2.0 * (x > 0.7), lambda x: -x)["jump"]
    assert jump.text.startswith("jumps by 2 std in 1 of 2 steps between distance = 0.70 and 0.72 m")
    assert (jump.low, jump.high) == pytest.approx((0.7, 0.717), abs=0.001)


def test_a_steep_but_smooth_rise_is_no_jump() -> None:
    assert "jump" not in found(lambda x: np.tanh(15.0 * (x - 0.5)))


@pytest.mark.parametrize(
    ("curve", "kind", "words"),
    [
        (lambda x: -((x - 0.4) ** 2), "peak", "highest near distance = 0.40 m"),
        (lambda x: (x - 0.6) ** 2, "dip", "lowest near distance = 0.60 m"),
        (lambda x: np.sin(12.0 * x), "mixed", "rises and falls over distance"),
    ],
)
def test_a_total_that_turns_is_told_by_where(curve: Curve, kind: str, words: str) -> None:
    assert found(curve)[kind].text.startswith(words)


def test_a_direction_that_not_all_steps_have_says_in_how_many() -> None:
    rises = found(lambda x: x, lambda x: 2.0 * x, lambda x: -x)["rises"]
    assert rises.text == "rises with distance, in 2 of 3 typical steps, range 1.5 std"


def test_a_small_effect_is_faint_and_no_more_is_said_of_its_shape() -> None:
    assert list(found(lambda x: 0.05 * x)) == ["faint"]


def test_the_components_that_an_axis_moves_are_named_the_most_moved_first() -> None:
    total = AT[None, :]
    parts = {"a": 0.2 * total, "b": 0.8 * total, "still": 0.0 * total}
    *_, moves = line_findings(axis(), total, parts, 1.0)
    assert moves.text == "moves b 0.8 std, a 0.2 std"


def test_components_that_cancel_are_told_though_the_total_is_flat() -> None:
    parts = {"up": AT[None, :], "down": -AT[None, :]}
    flat, hidden = line_findings(axis(), 0.0 * AT[None, :], parts, 1.0)
    assert flat.kind == "flat"
    assert hidden.text == "moves up 1 std, down 1 std, yet not the total"


def test_a_choice_is_told_by_its_best_and_worst_value() -> None:
    few = axis("contact", np.array([0.0, 1.0]), few=True)
    (levels,) = line_findings(few, np.array([[0.0, 2.0], [1.0, 2.0]]), {}, 1.0)
    assert levels.text == "highest at contact = 1, lowest at 0, range 1.5 std"


def test_a_surface_tells_its_ends_and_that_its_axes_act_apart() -> None:
    x, y = axis("x"), axis("y")
    total = AT[None, :] - 2.0 * AT[:, None]
    ends, joint = surface_findings(x, y, total, 1.0)
    assert ends.text == (
        "highest at x = 1.00 m, y = 0.00 m; lowest at x = 0.00 m, y = 1.00 m; range 3 std"
    )
    assert joint.text == "a part of x plus a part of y: neither changes what the other does"


def test_a_surface_of_a_product_says_that_its_axes_act_together() -> None:
    _, joint = surface_findings(axis("x"), axis("y"), AT[None, :] * AT[:, None], 1.0)
    assert joint.size == pytest.approx(0.5, abs=0.01)
    assert joint.text.startswith("x and y act together: 50 % of the range")


def test_a_flat_surface_is_flat() -> None:
    (flat,) = surface_findings(axis("x"), axis("y"), np.zeros((61, 61)), 1.0)
    assert flat.kind == "flat"


def test_steps_in_which_nothing_happens_do_not_count_as_a_direction() -> None:
    falls = found(lambda x: 0.0 * x, lambda x: 0.0 * x, lambda x: -x)["falls"]
    assert falls.text == "falls with distance, in 1 of 3 typical steps (flat in 2), range 1 std"
