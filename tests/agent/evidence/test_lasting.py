import numpy as np
import pytest
from evidence_rig import Played, bank_of
from line_task import ARRIVE, HOLD, HORIZON, RUN, walk

from rewardsmith.agent.evidence.lasting import (
    Course,
    behaviours,
    believable_steps,
    kept_up,
    last_cycle,
    lasting,
    returning,
    windows,
)
from rewardsmith.agent.evidence.stored import Stored

TO_AND_FRO = [0.0, 0.1, 0.2, 0.1, 0.0, 0.1, 0.2, 0.1, 0.0]


def places(bank: Stored) -> set[tuple[int, int]]:
    return {
        (length, first)
        for length, firsts in returning(ARRIVE, bank, bank.simulated, 0.1)
        for first in firsts.tolist()
    }


def test_the_last_steps_go_on_to_the_horizon() -> None:
    assert kept_up(np.array([4, 5, 6]), 2, 7).tolist() == [4, 5, 6, 5, 6, 5, 6]
    assert kept_up(np.arange(5), 1, 3).tolist() == [0, 1, 2]


def test_a_behaviour_is_judged_as_if_it_had_lasted() -> None:
    bank = bank_of([walk([0.0, 0.1, 0.2], RUN)])
    found = lasting(RUN, bank, "run", np.arange(2))
    assert np.isclose(found.score.fitness, HORIZON * 0.1)
    assert not found.succeeds


def test_steps_that_lead_back_are_a_cycle_and_steps_that_lead_on_are_none() -> None:
    assert (4, 1) in places(bank_of([walk(TO_AND_FRO)]))
    assert places(bank_of([walk(np.linspace(0.0, 2.0, 40))])) == set()


def test_slow_steps_on_a_way_are_no_rest() -> None:
    creeping = np.concatenate([np.linspace(0.0, 0.3, 31), np.linspace(0.3, 5.0, 5)[1:]])
    assert places(bank_of([walk(creeping)])) == set()


def test_rest_is_a_cycle_of_one_step() -> None:
    assert (1, 3) in places(bank_of([walk([0.0, 0.1, 0.2, 0.2, 0.2, 0.2])]))


def test_no_cycle_reaches_from_one_episode_into_the_next() -> None:
    bank = bank_of([walk([0.0, 0.1]), walk([0.1, 0.0])])
    assert (2, 0) not in places(bank)


def test_steps_that_end_an_episode_are_not_repeated() -> None:
    bank = bank_of([walk([0.0, 0.1, 0.0], ends=True)])
    assert (2, 0) not in places(bank)
    assert windows(ARRIVE, bank, bank.episodes, 2, most=9) == ()


def test_stretches_stand_side_by_side() -> None:
    bank = bank_of([walk(np.linspace(0.0, 0.5, 6), RUN)])
    found = windows(RUN, bank, bank.episodes, 2, most=9)
    assert [item.rows.tolist() for item in found] == [[0, 1], [2, 3]]


def test_what_is_repeated_pays_its_mean_wherever_it_begins() -> None:
    column = np.array([1.0, -1.0])
    assert Course(np.array([0, 1]), again=10).pay(column, 0.9) == 0.0
    assert Course(np.array([0, 1])).pay(column, 0.9) == pytest.approx(0.1)
    assert Course(np.array([0]), again=2).pay(column, 0.9) == pytest.approx(1.9)


def test_a_cycle_is_found_from_the_rows_themselves() -> None:
    bank = bank_of([walk([0.5, 0.5, 0.5, 0.5]), walk([0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.0])])
    still, swing = bank.episodes
    assert last_cycle(bank.steps, still) == 1
    assert last_cycle(bank.steps, swing) == 2


def test_a_composed_state_that_stands_still_at_speed_shows_nothing() -> None:
    rest = walk([0.4] * 5, HOLD, kind="behaviour", policy="standing still")
    frozen = Played(
        {"position": np.full(5, 0.4), "velocity": np.full(5, 0.1)}, "behaviour", "hovering"
    )
    bank = bank_of([walk(TO_AND_FRO, HOLD), rest, frozen])
    assert [item.name for item in behaviours(HOLD, bank)] == ["standing still"]
    assert believable_steps(bank, 1.0).sum() == 8 + 4


def test_of_many_stretches_some_are_taken_from_everywhere() -> None:
    bank = bank_of([walk(np.linspace(0.0, 1.0, 41), RUN)])
    found = windows(RUN, bank, bank.episodes, 2, most=5)
    assert [int(item.rows[0]) for item in found] == [0, 8, 16, 24, 32]
