import numpy as np
from training_rig import episode

from rewardsmith.agent.evidence.stretch import best_paid, longest_run
from rewardsmith.sandbox.reward import RewardBatch


def batch(pay: list[float]) -> RewardBatch:
    column = np.array(pay)
    return RewardBatch(total=column, components={"near": column})


def test_the_longest_run_at_the_top_rate_is_found() -> None:
    pay = [0.0, 1.0, 1.0, 0.0, 0.95, 1.0, 1.0, 0.5, 0.0, 0.0]
    found = best_paid("near", [episode(4, seed=7), episode(6, seed=8)], batch(pay))
    assert found is not None
    assert (found.seed, found.first, found.last) == (8, 0, 2)
    assert "steps 0 to 2 of the episode of seed 8" in found.as_text()


def test_a_top_rate_that_never_lasts_gives_the_richest_tenth() -> None:
    pay = np.zeros(20)
    pay[[3, 10, 11]] = [0.8, 1.0, 0.85]
    found = best_paid("near", [episode(20)], batch(pay.tolist()))
    assert found is not None
    assert (found.first, found.last) == (10, 11)
    assert found.share == 1.85 / 2.65


def test_what_never_pays_has_no_stretch() -> None:
    assert best_paid("near", [episode(3)], batch([-1.0, -2.0, -1.0])) is None
    assert best_paid("gone", [episode(3)], batch([1.0, 1.0, 1.0])) is None
    assert best_paid(None, [episode(3)], batch([1.0, 1.0, 1.0])) is None
    assert best_paid("near", [], None) is None


def test_the_longest_run_is_the_first_of_equals() -> None:
    assert longest_run(np.array([True, False, True, True, False, True, True])) == (2, 4)
    assert longest_run(np.array([False, False])) == (0, 0)
