import numpy as np
import pytest

from rewardsmith.agent.evidence.orders import pairwise_accuracy, ranks, spearman

UP = np.arange(5.0)


def test_any_rising_function_has_the_same_order() -> None:
    assert spearman(UP, np.exp(UP)) == pytest.approx(1.0)
    assert pairwise_accuracy(np.exp(UP), UP) == 1.0


def test_the_opposite_order_is_told_as_such() -> None:
    assert spearman(UP, -UP) == pytest.approx(-1.0)
    assert pairwise_accuracy(-UP, UP) == 0.0


def test_equal_values_share_their_mean_rank() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 9.0])).tolist() == [1.5, 0.0, 1.5, 3.0]
    # Ranks 0, 1, 2, 3 against 0, 1.5, 1.5, 3: 4.5 / sqrt(5 * 4.5).
    assert spearman(np.arange(4.0), np.array([0.0, 1.0, 1.0, 2.0])) == pytest.approx(0.948683298)


def test_a_pair_that_a_reward_cannot_tell_apart_counts_one_half() -> None:
    assert pairwise_accuracy(np.zeros(5), UP) == 0.5
    # Of the three pairs one is right, one equal, one wrong.
    assert pairwise_accuracy(np.array([1.0, 0.0, 1.0]), np.arange(3.0)) == 0.5
    assert pairwise_accuracy(np.array([0.0, 1.0, 1.0]), np.arange(3.0)) == pytest.approx(5 / 6)


def test_pairs_without_a_true_order_are_left_out() -> None:
    assert pairwise_accuracy(np.array([0.0, 5.0, 9.0]), np.array([0.0, 0.0, 1.0])) == 1.0


def test_what_has_no_order_has_no_number() -> None:
    assert spearman(UP, np.ones(5)) is None
    assert spearman(np.ones(5), UP) is None
    assert spearman(UP[:1], UP[:1]) is None
    assert pairwise_accuracy(UP, np.ones(5)) is None
    assert pairwise_accuracy(UP[:1], UP[:1]) is None
