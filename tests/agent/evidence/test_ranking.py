from collections.abc import Sequence

import numpy as np
import pytest
from evidence_rig import Played, bank_of, rewards_of

from rewardsmith.agent.evidence.ranking import (
    good_above_bad,
    mean_reciprocal_rank,
    ranking,
    trial_of,
    truth_of,
)
from rewardsmith.agent.evidence.stored import Kind, Stored
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.records import Evidence

TASK = find_task("rewardsmith/Point-v0")
PROBE = ranking(0.99)


def run(
    fitness: float, length: int = 10, *, success: bool | None = None, kind: Kind = "random"
) -> Played:
    """An episode whose every step has the field x at its fitness."""
    return Played({"x": np.full(length + 1, fitness)}, kind=kind, fitness=fitness, success=success)


def mixed(*, lengths: Sequence[int] = (10,) * 20) -> Stored:
    """Twenty episodes of rising fitness, the last four of them successes."""
    return bank_of([run(float(i), n, success=i >= 16) for i, n in enumerate(lengths)])


def judged(bank: Stored, **components: FloatArray) -> Evidence:
    return PROBE(rewards_of(bank, **components), bank, TASK)


def test_the_true_score_ranks_everything_right() -> None:
    bank = mixed()
    evidence = judged(bank, good=bank.steps.after["x"])
    assert (evidence.verdict, evidence.score) == ("pass", 1.0)
    assert evidence.facts["reciprocal_rank"] == {"discounted": 1.0, "per_step": 1.0}
    assert evidence.facts["spearman"]["per_step"] == pytest.approx(1.0)


def test_an_inverted_reward_ranks_nothing_right_and_is_refused() -> None:
    bank = mixed()
    evidence = judged(bank, inverted=-bank.steps.after["x"])
    assert (evidence.verdict, evidence.score) == ("fail", 0.0)
    assert "`inverted` is in order in 0%" in evidence.text


def test_a_reward_that_pays_for_length_alone_is_told_so() -> None:
    bank = mixed(lengths=range(5, 25))
    evidence = judged(bank, alive=np.ones(bank.steps.rows))
    assert evidence.facts["accuracy"] == {"discounted": 1.0, "per_step": 0.5}
    assert evidence.verdict == "warn"
    assert "length of an episode alone" in evidence.text


def test_costs_per_step_do_not_make_long_good_episodes_bad() -> None:
    bank = mixed(lengths=range(5, 25))
    evidence = judged(bank, cost=bank.steps.after["x"] - 30.0)
    assert evidence.facts["accuracy"]["per_step"] == 1.0
    assert evidence.verdict != "fail"


def test_every_component_is_tried_by_itself() -> None:
    bank = mixed()
    x = bank.steps.after["x"]
    evidence = judged(bank, right=3.0 * x, wrong=-x, blind=np.ones(len(x)))
    assert evidence.facts["components"] == {"right": 1.0, "wrong": 0.0, "blind": 0.5}


def test_successes_stand_above_a_higher_fitness() -> None:
    episodes = bank_of([run(5.0, success=False), run(1.0, success=True)]).episodes
    assert np.argsort(truth_of(episodes)).tolist() == [0, 1]


def test_without_success_the_best_quarter_stands_against_the_worse_half() -> None:
    trial = trial_of(bank_of([run(float(i)) for i in range(20)]))
    assert [episode.fitness for episode in trial.good] == [15.0, 16.0, 17.0, 18.0, 19.0]
    assert len(trial.bad) == 10


def test_an_episode_as_bad_as_the_bad_ones_is_not_good() -> None:
    trial = trial_of(bank_of([run(0.0)] * 18 + [run(1.0)] * 2))
    assert [episode.fitness for episode in trial.good] == [1.0, 1.0]


def test_corrupted_episodes_are_among_the_bad_and_behaviours_are_not() -> None:
    played = [run(float(i), success=i > 15) for i in range(20)]
    played += [run(0.0, success=False, kind=kind) for kind in ("corrupted", "behaviour")]
    trial = trial_of(bank_of(played))
    assert [e.kind for e in trial.bad].count("corrupted") == 1
    assert "behaviour" not in {e.kind for e in trial.bad}


@pytest.mark.parametrize(
    ("played", "reason"),
    [
        ([run(float(i)) for i in range(5)], "5 stored episodes have a fitness, 10 are needed"),
        ([run(1.0)] * 20, "equally fit"),
        ([run(float(i), success=i > 2) for i in range(12)], "3 stored episodes are bad"),
        ([Played({"x": np.zeros(3)})] * 20, "0 stored episodes have a fitness"),
    ],
)
def test_a_bank_that_cannot_tell_says_why(played: list[Played], reason: str) -> None:
    bank = bank_of(played)
    evidence = judged(bank, x=bank.steps.after["x"])
    assert (evidence.verdict, evidence.score) == ("pass", None)
    assert reason in evidence.text


def test_one_bad_above_a_good_halves_its_reciprocal_rank() -> None:
    assert mean_reciprocal_rank(np.array([3.0, 1.0]), np.array([2.0, 0.0])) == 0.75
    assert mean_reciprocal_rank(np.array([1.0]), np.array([1.0, 1.0])) == 0.5


def test_equal_returns_count_half() -> None:
    assert good_above_bad(np.array([1.0, 2.0]), np.array([1.0])) == 0.75
