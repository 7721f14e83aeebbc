from collections.abc import Sequence

import numpy as np
import pytest
from evidence_rig import bank_of, rewards_of
from line_task import ARRIVE, HOLD, RUN, walk

from rewardsmith.agent.evidence.farming import farming
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.runs.records import Evidence

SWING = np.concatenate([[0.0], 0.25 * (1 - np.cos(np.arange(80) / 5))])
STILL = np.zeros(6)
HOVER = np.full(6, 0.95)
BACK_AND_FORTH = np.array([0.5, 0.6, 0.5, 0.6, 0.5, 0.6, 0.5])


def bank_for(task: Task, *, good: Sequence[FloatArray], ends: bool) -> Stored:
    played = [walk(SWING * share, task) for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
    played += [walk(way, task, ends=ends) for way in good]
    composed = (("standing still", STILL), ("hovering", HOVER), ("oscillating", BACK_AND_FORTH))
    played += [walk(way, task, kind="behaviour", policy=name) for name, way in composed]
    return bank_of(played)


def arriving() -> Stored:
    return bank_for(ARRIVE, good=[np.linspace(0.0, 1.0, n) for n in (15, 20, 25)], ends=True)


def holding() -> Stored:
    ways = [np.concatenate([np.linspace(0.0, 1.0, n), np.ones(100 - n)]) for n in (15, 20, 25)]
    return bank_for(HOLD, good=ways, ends=False)


def running(*, falls: bool = False) -> Stored:
    return bank_for(RUN, good=[np.linspace(0.0, 4.0, 41)], ends=falls)


def place(bank: Stored) -> tuple[FloatArray, FloatArray]:
    return bank.steps.before["position"], bank.steps.after["position"]


def found(task: Task, bank: Stored, **components: FloatArray) -> Evidence:
    return farming(0.99)(rewards_of(bank, **components), bank, task)


def test_closeness_paid_at_every_step_is_farmed_by_staying_near() -> None:
    bank = arriving()
    evidence = found(ARRIVE, bank, closeness=place(bank)[1])
    assert evidence.verdict == "fail"
    assert evidence.score is not None
    assert evidence.score < 0
    assert "`closeness`" in evidence.text
    assert "value - prev_value" in evidence.text


def test_the_difference_of_closeness_is_not_farmed() -> None:
    bank = arriving()
    before, after = place(bank)
    evidence = found(ARRIVE, bank, gain=after - before)
    assert evidence.verdict == "pass"
    assert evidence.score is not None
    assert evidence.score > 0


def test_a_bonus_worth_more_than_the_rest_of_the_episode_is_a_repair_too() -> None:
    bank = arriving()
    bonus = np.where(place(bank)[1] >= 1.0, 100.0, 0.0)
    assert found(ARRIVE, bank, closeness=place(bank)[1], bonus=bonus).verdict == "pass"


def test_clipped_progress_is_farmed_by_going_back_and_forth() -> None:
    bank = holding()
    before, after = place(bank)
    evidence = found(HOLD, bank, miss=-0.1 * np.abs(1 - after), way=np.maximum(after - before, 0))
    assert evidence.verdict == "fail"
    assert "`way`" in evidence.text


def test_progress_in_both_directions_is_not_farmed() -> None:
    bank = holding()
    before, after = place(bank)
    assert found(HOLD, bank, miss=-0.1 * np.abs(1 - after), way=after - before).verdict == "pass"


def test_distance_alone_is_not_farmed_where_the_goal_is_held() -> None:
    bank = holding()
    assert found(HOLD, bank, distance=-np.abs(1 - place(bank)[1])).verdict == "pass"


@pytest.mark.parametrize(("alive", "verdict"), [(0.02, "pass"), (5.0, "fail")])
def test_an_alive_bonus_is_farmed_where_progress_is_small_beside_it(
    alive: float, verdict: str
) -> None:
    bank = running(falls=True)
    before, after = place(bank)
    evidence = found(RUN, bank, speed=after - before, alive=np.full(len(after), alive))
    assert evidence.verdict == verdict
    assert ("`alive`" in evidence.text) == (verdict == "fail")


def test_a_constant_is_no_alive_bonus_where_nothing_ends_an_episode() -> None:
    bank = running()
    before, after = place(bank)
    evidence = found(RUN, bank, speed=after - before, alive=np.full(len(after), 5.0))
    assert evidence.verdict == "pass"


def test_living_at_a_loss_makes_failing_early_pay() -> None:
    bank = running(falls=True)
    before, after = place(bank)
    evidence = found(RUN, bank, speed=after - before, cost=np.full(len(after), -2.0))
    assert evidence.verdict == "fail"
    assert "Ending the episode early" in evidence.text
    assert "lift the reward of a step above zero" in evidence.text


def test_a_loss_that_only_finishing_ends_is_no_pull_to_fail() -> None:
    bank = arriving()
    assert found(ARRIVE, bank, late=np.full(bank.steps.rows, -1.0)).verdict == "pass"


def test_a_real_cycle_is_found_without_any_composed_behaviour() -> None:
    ways = [np.linspace(0.0, 1.0, n) for n in (15, 20, 25)]
    bank = bank_of([*(walk(SWING * s) for s in (0.5, 1.0)), *(walk(w, ends=True) for w in ways)])
    evidence = found(ARRIVE, bank, speed=np.abs(bank.steps.after["velocity"]))
    assert any(kind.startswith("cycle of") for kind in evidence.facts["rivals"])


def test_of_equally_fit_episodes_nothing_is_claimed() -> None:
    bank = bank_of([walk(np.zeros(11), RUN)] * 3)
    evidence = found(RUN, bank, x=np.arange(30.0))
    assert (evidence.verdict, evidence.score) == ("pass", None)
