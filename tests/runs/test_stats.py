import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.runs.stats import (
    bootstrap,
    interval,
    iqm,
    paired_difference,
    probability_of_improvement,
    t_probability,
    t_quantile,
)

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("degrees", "wanted"),
    [
        (1, 12.7062047),
        (2, 4.3026527),
        (3, 3.1824463),
        (4, 2.7764451),
        (9, 2.2621572),
        (10, 2.2281389),
        (29, 2.0452296),
        (30, 2.0422725),
        (120, 1.9799304),
    ],
)
def test_the_t_quantile_is_the_printed_tables(degrees: int, wanted: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(wanted, abs=1e-6)


def test_the_t_distribution_tends_to_the_normal_one() -> None:
    normal = 0.5 * (1 + math.erf(1.5 / math.sqrt(2)))
    assert t_probability(1.5, 20_001) == pytest.approx(normal, abs=1e-5)
    assert t_probability(0.0, 7) == pytest.approx(0.5)


def test_a_quantile_of_an_impossible_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="probability"):
        t_quantile(1.0, 3)


def test_an_interval_is_mean_and_half_width_of_students_t() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - 2.0 == pytest.approx(4.3026527 / math.sqrt(3), abs=1e-6)
    assert found.low == pytest.approx(4.0 - found.high)
    assert found.n == 3


def test_one_seed_has_no_bounds() -> None:
    found = interval([5.0])
    assert (found.mean, found.low, found.high) == (5.0, -math.inf, math.inf)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_values_that_are_no_result_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values"):
        interval(values)


def test_a_95_percent_interval_covers_the_mean_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    hits = sum(
        found.low <= 3.0 <= found.high
        for found in (interval(rng.normal(3.0, 2.0, 5).tolist()) for _ in range(1500))
    )
    assert 0.93 < hits / 1500 < 0.97


def test_pairing_removes_what_a_seed_does_to_both() -> None:
    seeds = [10.0, 200.0, -50.0, 90.0]
    better = [s + d for s, d in zip(seeds, (1.0, 1.1, 0.9, 1.0), strict=True)]
    found = paired_difference(better, seeds)
    assert found.low > 0.5
    unpaired = interval(better)
    assert unpaired.high - unpaired.low > 100 * (found.high - found.low)


def test_pairs_need_one_value_per_seed_on_both_sides() -> None:
    with pytest.raises(ValueError, match="one pair per seed"):
        paired_difference([1.0], [1.0, 2.0])


def test_the_interquartile_mean_ignores_the_outer_quarters() -> None:
    assert iqm([-1e9, 1.0, 3.0, 1e9]) == 2.0
    assert iqm([0, 0, 1, 2, 3, 4, 99, 99]) == pytest.approx(2.5)


def test_the_interquartile_mean_weighs_the_edges_of_odd_samples() -> None:
    # Of five values the second and fourth lie in the middle half by three quarters.
    assert iqm([0.0, 10.0, 20.0, 40.0, 90.0]) == pytest.approx((7.5 + 20 + 30) / 2.5)


@given(VALUES)
def test_the_interquartile_mean_lies_within_the_values(values: list[float]) -> None:
    assert min(values) - 1e-6 <= iqm(values) <= max(values) + 1e-6


@given(VALUES, VALUES)
def test_improvement_one_way_is_what_is_left_of_the_other(a: list[float], b: list[float]) -> None:
    there, back = probability_of_improvement(a, b), probability_of_improvement(b, a)
    assert there + back == pytest.approx(1.0)


def test_improvement_counts_pairs_and_half_of_the_ties() -> None:
    assert probability_of_improvement([3.0, 1.0], [1.0, 0.0]) == pytest.approx(3.5 / 4)


def test_the_bootstrap_keeps_every_task_and_is_the_same_for_a_seed() -> None:
    groups = [[0.0, 0.1, 0.2], [100.0, 100.1, 100.2]]

    def run(seed: int) -> tuple[float, float]:
        found = bootstrap(
            groups, np.random.default_rng(seed), statistic=lambda x: float(x.mean()), draws=300
        )
        return found.low, found.high

    low, high = run(1)
    # A resampling across tasks would swing by tens.
    assert 49.9 < low < 50.1 < high < 50.2
    assert run(1) == (low, high)


@given(VALUES, st.floats(-100, 100), st.floats(0.1, 10))
def test_intervals_move_and_stretch_with_the_values(
    values: list[float], shift: float, scale: float
) -> None:
    plain, moved = interval(values), interval([scale * v + shift for v in values])
    room = 1e-6 * (1 + max(map(abs, values))) * (scale + 1)
    assert moved.mean == pytest.approx(scale * plain.mean + shift, abs=room, rel=1e-6)
    width, stretched = plain.high - plain.low, moved.high - moved.low
    assert stretched == pytest.approx(scale * width, abs=20 * room, rel=1e-6)


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_an_interval_of_two_seeds_has_a_closed_form(a: float, b: float) -> None:
    found = interval([a, b])
    half = 12.706204736174698 * abs(a - b) / 2
    assert found.low == pytest.approx((a + b) / 2 - half, abs=1e-6)
    assert found.high == pytest.approx((a + b) / 2 + half, abs=1e-6)


@given(VALUES, st.floats(0.5, 0.98))
def test_a_wider_level_holds_a_narrower_one(values: list[float], level: float) -> None:
    inner, outer = interval(values, level=level), interval(values, level=level + 0.01)
    assert outer.low <= inner.low <= inner.mean <= inner.high <= outer.high


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=9))
def test_a_paired_difference_is_the_interval_of_differences(
    pairs: list[tuple[float, float]],
) -> None:
    first, second = ([pair[k] for pair in pairs] for k in (0, 1))
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there == interval([a - b for a, b in pairs])
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high, abs=1e-9)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.7, 30.0])
def test_probabilities_of_few_degrees_have_closed_forms(t: float) -> None:
    assert t_probability(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi)
    assert t_probability(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)))
    three = math.atan(t / math.sqrt(3)) + math.sqrt(3) * t / (3 + t * t)
    assert t_probability(t, 3) == pytest.approx(0.5 + three / math.pi)
    four = t / math.sqrt(4 + t * t)
    assert t_probability(t, 4) == pytest.approx(0.5 + four * (0.75 - 0.25 * four**2))


@given(st.floats(0.51, 0.999), st.integers(1, 60))
def test_quantile_and_probability_undo_one_another(probability: float, degrees: int) -> None:
    assert t_probability(t_quantile(probability, degrees), degrees) == pytest.approx(probability)


@given(st.floats(0, 20), st.integers(1, 60))
def test_the_tails_grow_thinner_with_more_degrees(t: float, degrees: int) -> None:
    assert t_probability(t, degrees) <= t_probability(t, degrees + 1) + 1e-12


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=6))
def test_the_interquartile_mean_is_the_trimmed_mean_of_the_values_four_times(
    values: list[int],
) -> None:
    # Every value taken four times makes the quarters whole: nothing is left to weigh.
    ordered = sorted(values * 4)
    middle = ordered[len(values) : -len(values)]
    assert iqm([float(v) for v in values]) == pytest.approx(sum(middle) / len(middle))


@given(VALUES)
def test_no_order_of_seeds_changes_a_statistic(values: list[float]) -> None:
    turned = values[::-1]
    assert iqm(values) == iqm(turned)
    assert interval(values).mean == pytest.approx(interval(turned).mean, rel=1e-9, abs=1e-6)
    assert probability_of_improvement(values, turned) == pytest.approx(0.5)


def test_a_bootstrap_narrows_with_more_seeds() -> None:
    few, many = [[0.0, 1.0, 2.0, 3.0]], [[0.0, 1.0, 2.0, 3.0] * 20]
    widths = [
        found.high - found.low
        for found in (
            bootstrap(group, np.random.default_rng(1), draws=300) for group in (few, many)
        )
    ]
    assert widths[1] < widths[0] / 2


def test_a_bootstrap_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no group"):
        bootstrap([], np.random.default_rng(0))
