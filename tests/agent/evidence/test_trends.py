import numpy as np
import pytest

from rewardsmith.agent.evidence.trends import trend

STEPS = np.arange(10.0)


def test_a_rising_course_rises_with_its_slope() -> None:
    found = trend([(STEPS, 2.0 * STEPS)])
    assert found is not None
    assert (found.tau, found.change, found.points) == (1.0, 18.0, 10)
    assert found.rises < 0.001
    assert found.falls == 1.0


def test_one_wild_point_changes_no_slope() -> None:
    values = 2.0 * STEPS
    values[4] = 1e9
    found = trend([(STEPS, values)])
    assert found is not None
    assert found.change == 18.0


def test_the_chance_is_that_of_the_published_approximation() -> None:
    # Kendall's score of 1 2 3 5 4 is 8, its variance 50 / 3.
    found = trend([(np.arange(5.0), np.array([1.0, 2.0, 3.0, 5.0, 4.0]))])
    assert found is not None
    assert found.tau == 0.8
    assert found.rises == pytest.approx(0.0432, abs=1e-4)


def test_seeds_on_different_levels_share_a_trend() -> None:
    short = STEPS[:4]
    alone = trend([(short, short)])
    shared = trend([(short, short), (short, short - 100.0), (short, short + 100.0)])
    assert alone is not None
    assert shared is not None
    assert shared.tau == 1.0
    assert shared.rises < alone.rises


def test_noise_neither_rises_nor_falls() -> None:
    values = np.random.default_rng(0).standard_normal(200)
    found = trend([(np.arange(200.0), values)])
    assert found is not None
    assert min(found.rises, found.falls) > 0.05


def test_equal_values_have_no_trend() -> None:
    found = trend([(STEPS, np.ones(10))])
    assert found is not None
    assert (found.tau, found.change, found.rises, found.falls) == (0.0, 0.0, 0.5, 0.5)


def test_two_points_are_no_trend() -> None:
    assert trend([(STEPS[:2], STEPS[:2])]) is None
    assert trend([]) is None
