import pytest

from rewardsmith.agent.evidence.selection import spread_order, within


def test_the_best_comes_first_then_the_worst_then_ever_finer_between() -> None:
    assert spread_order([0.0, 4.0, 1.0, 3.0, 2.0]) == [1, 0, 4, 3, 2]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 50])
def test_every_item_is_in_the_order_once(count: int) -> None:
    assert sorted(spread_order([float(i % 3) for i in range(count)])) == list(range(count))


def test_items_are_taken_in_order_and_those_that_do_not_fit_passed_over() -> None:
    assert within([2, 0, 1], [50, 30, 60], 100) == [2, 1]


def test_the_first_item_is_taken_however_long() -> None:
    assert within([1, 0], [50, 300], 100) == [1]
