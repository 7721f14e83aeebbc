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


def test_a_bootstrap_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no group"):
        bootstrap([], np.random.default_rng(0))
