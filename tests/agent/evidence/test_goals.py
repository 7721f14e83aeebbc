import numpy as np
from evidence_rig import bank_of
from line_task import ARRIVE, HOLD, HORIZON, RUN, walk

from rewardsmith.agent.evidence.goals import goal_of, stretch_length

AWAY = [walk(np.linspace(0.0, 0.1 * n, 31)) for n in range(1, 5)]


def test_successes_are_the_examples_where_there_are_any() -> None:
    bank = bank_of([*AWAY, walk(np.linspace(0.0, 1.0, 21), ends=True)])
    goal = goal_of(ARRIVE, bank)
    assert goal is not None
    assert (goal.succeeded, goal.finishes) == (True, True)
    assert [len(course.rows) for course in goal.whole] == [20]
    assert goal.endings[0].rows.tolist() == goal.whole[0].rows[-5:].tolist()
    assert goal.remaining == HORIZON - 20 + 5


def test_a_success_that_holds_goes_on_to_the_horizon() -> None:
    there = np.concatenate([np.linspace(0.0, 1.0, 11), np.ones(9)])
    goal = goal_of(HOLD, bank_of([walk(np.zeros(21), HOLD), walk(there, HOLD)]))
    assert goal is not None
    assert not goal.finishes
    assert len(goal.whole[0].rows) == HORIZON
    assert goal.remaining == stretch_length(HOLD)


def test_without_success_the_fittest_stretches_are_the_examples() -> None:
    slow, fast = np.linspace(0.0, 0.5, 21), np.linspace(0.0, 4.0, 21)
    goal = goal_of(RUN, bank_of([walk(slow, RUN), walk(fast, RUN)]))
    assert goal is not None
    assert not goal.succeeded
    assert all(course.rows.min() >= 20 for course in goal.whole)
    assert goal.remaining == HORIZON


def test_the_bar_lies_between_good_and_usual() -> None:
    bank = bank_of([*AWAY, walk(np.linspace(0.0, 1.0, 21), ends=True)])
    goal = goal_of(ARRIVE, bank)
    assert goal is not None
    assert np.isclose(goal.fitness_bar, (1.0 + 0.125) / 2)


def test_of_equally_fit_episodes_there_is_no_good_one() -> None:
    assert goal_of(RUN, bank_of([walk(np.zeros(11), RUN)] * 3)) is None
