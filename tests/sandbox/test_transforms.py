import numpy as np
import pytest

from rewardsmith.envs.task import FloatArray
from rewardsmith.sandbox import transforms


def columns(*rows: list[float]) -> FloatArray:
    """One component a row, as the operators take them."""
    return np.array(rows, dtype=np.float64)


def test_the_sum_adds_components() -> None:
    np.testing.assert_allclose(transforms.summed(columns([1, 2], [3, -5])), [4, -3])


def test_the_geometric_mean_is_the_root_of_the_product() -> None:
    found = transforms.geomean(columns([1, 4, 0.5], [4, 9, 2.0]))
    np.testing.assert_allclose(found, [2, 6, 1])


def test_a_missing_component_takes_nearly_all_of_a_geometric_mean() -> None:
    assert transforms.geomean(columns([0.0], [4.0]))[0] == pytest.approx(0.002)


@pytest.mark.parametrize("operator", [transforms.geomean, transforms.harmonic])
def test_means_that_mean_nothing_for_negative_values_refuse_them(operator: object) -> None:
    assert callable(operator)
    with pytest.raises(ValueError, match=r"of -0\.5; components of 0 or more"):
        operator(columns([1.0, 2.0], [3.0, -0.5]))


def test_the_signed_geometric_mean_is_negative_where_any_component_is() -> None:
    found = transforms.geomean(columns([4, -4, -4, 0], [9, 9, -9, 9]), signed=True)
    np.testing.assert_allclose(found, [6, -6, -6, 0])


def test_log_sigmoid_is_minus_log_2_for_each_component_at_its_reference() -> None:
    found = transforms.logsigmoid(columns([3.0], [7.0]), np.array([3.0, 7.0]), np.ones(2))
    assert found[0] == pytest.approx(-2 * np.log(2))


def test_log_sigmoid_is_the_formula_and_stays_finite_far_away() -> None:
    parts, means, scales = columns([2.0], [1.0]), np.array([1.0, 3.0]), np.array([0.5, 2.0])
    wanted = np.log(1 / (1 + np.exp(-2.0))) + np.log(1 / (1 + np.exp(1.0)))
    assert transforms.logsigmoid(parts, means, scales)[0] == pytest.approx(wanted)
    far = transforms.logsigmoid(columns([1e6, -1e6]), np.zeros(1), np.ones(1))
    np.testing.assert_allclose(far, [0, -1e6])


def test_log_sigmoid_pays_little_for_more_of_what_is_satisfied() -> None:
    zero, one = np.zeros(2), np.ones(2)
    low, satisfied, mended = transforms.logsigmoid(columns([5, 9, 5], [-2, -2, -1]), zero, one)
    assert satisfied - low < 0.01 < 0.5 < mended - low


def test_soft_min_is_the_weighted_mean_by_hand() -> None:
    found = transforms.softmin(columns([0.0], [0.1]), temperature=0.1)
    assert found[0] == pytest.approx(0.1 * np.exp(-1) / (1 + np.exp(-1)))


def test_soft_min_lies_between_least_and_mean_and_its_temperature_says_where() -> None:
    parts = np.random.default_rng(0).normal(size=(4, 200))
    found = transforms.softmin(parts, temperature=0.3)
    assert (found >= parts.min(axis=0)).all()
    assert (found <= parts.mean(axis=0) + 1e-12).all()
    np.testing.assert_allclose(transforms.softmin(parts, 1e-6), parts.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(transforms.softmin(parts, 1e9), parts.mean(axis=0), atol=1e-6)


def test_the_harmonic_mean_is_n_over_the_sum_of_inverses_and_0_at_0() -> None:
    found = transforms.harmonic(columns([1, 2, 0], [1, 6, 5]))
    np.testing.assert_allclose(found, [1, 3, 0])


def test_means_of_positive_components_keep_their_order_and_their_bounds() -> None:
    parts = np.random.default_rng(1).uniform(0.01, 5.0, size=(3, 300))
    rows = [parts.min(axis=0), transforms.harmonic(parts), transforms.geomean(parts)]
    ordered = np.stack([*rows, parts.mean(axis=0)])
    assert (np.diff(ordered, axis=0) >= -1e-12).all()


def test_signs_give_the_nine_values_of_the_format_and_no_other() -> None:
    sparse, dense = np.meshgrid([-7.0, 0.0, 1e-9], [-0.2, 0.0, 30.0])
    found = transforms.signs(sparse.ravel(), dense.ravel())
    assert found.tolist() == [-1.1, -0.1, 0.9, -1.0, 0.0, 1.0, -0.9, 0.1, 1.1]


def test_the_centred_sigmoid_is_one_half_at_the_reference_and_bounded() -> None:
    found = transforms.centred_sigmoid(np.array([5.0, 7.0, 1e9, -1e9]), 5.0, 2.0)
    np.testing.assert_allclose(found, [0.5, 1 / (1 + np.exp(-1.0)), 1.0, 0.0])


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_potentials_telescope_whatever_happens_in_between(gamma: float) -> None:
    states = np.random.default_rng(2).normal(size=31)
    paid = transforms.potential_form(states[1:], states[:-1], np.zeros(30, dtype=bool), gamma)
    whole = gamma**30 * states[-1] - states[0]
    assert (paid @ gamma ** np.arange(30)) == pytest.approx(whole)


def test_a_terminal_state_has_no_potential() -> None:
    ended = np.array([False, False, True])
    paid = transforms.potential_form(np.array([1.0, 2, 9]), np.array([0.5, 1, 2]), ended, 1.0)
    np.testing.assert_allclose(paid, [0.5, 1, -2])
    assert paid.sum() == pytest.approx(-0.5)


def test_going_back_and_forth_earns_nothing_from_a_potential() -> None:
    states = np.array([0.0, 1.0] * 20 + [0.0])
    paid = transforms.potential_form(states[1:], states[:-1], np.zeros(40, dtype=bool), 1.0)
    assert paid.sum() == 0.0
    less = transforms.potential_form(states[1:], states[:-1], np.zeros(40, dtype=bool), 0.99)
    assert less @ 0.99 ** np.arange(40) == pytest.approx(0.0)


def test_a_gate_opens_late_shuts_late_and_trembles_not() -> None:
    rates, now, seen = [0.1, 0.5, 0.61, 0.55, 0.45, 0.61, 0.39, 0.5], False, []
    for rate in rates:
        now = transforms.gate_opens(now, rate, on=0.6, off=0.4)
        seen.append(now)
    assert seen == [False, False, True, True, True, True, False, False]
