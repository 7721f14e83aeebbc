from collections.abc import Sequence

import numpy as np
import pytest
from evidence_rig import Played, bank_of, rewards_of

from rewardsmith.agent.evidence.histograms import by_outcome, histograms_of, played
from rewardsmith.agent.evidence.stored import Stored

STATES = {"x": np.zeros(5)}


def bank(fitness: Sequence[float | None], success: Sequence[bool | None] = ()) -> Stored:
    told = [*success, *[None] * (len(fitness) - len(success))]
    return bank_of(
        [Played(STATES, fitness=f, success=s) for f, s in zip(fitness, told, strict=True)]
    )


def groups(stored: Stored) -> dict[str, list[float | None]]:
    return {k: [e.fitness for e in v] for k, v in by_outcome(played(stored)).items()}


def test_failures_and_successes_are_told_apart_where_there_are_both() -> None:
    found = groups(bank([1.0, 2.0, 3.0], [False, True, True]))
    assert found == {"failure": [1.0], "success": [2.0, 3.0]}


def test_without_successes_the_episodes_are_thirds_by_fitness() -> None:
    found = groups(bank([5.0, 1.0, 6.0, 2.0, 4.0, 3.0], [False] * 6))
    assert found == {
        "lowest third of fitness": [1.0, 2.0],
        "middle third of fitness": [3.0, 4.0],
        "highest third of fitness": [5.0, 6.0],
    }


@pytest.mark.parametrize("fitness", [[1.0, 2.0, 3.0], [1.0] * 9, [None] * 9])
def test_too_few_or_equal_or_unjudged_episodes_are_one_group(fitness: list[float | None]) -> None:
    assert list(groups(bank(fitness))) == ["all episodes"]


def test_corrupted_and_composed_episodes_are_left_out() -> None:
    kinds = [Played(STATES), Played(STATES, kind="corrupted"), Played(STATES, kind="behaviour")]
    assert [e.kind for e in played(bank_of(kinds))] == ["random"]


def two_outcomes() -> Stored:
    return bank([0.0, 1.0], [False, True])


def test_a_histogram_has_the_share_of_each_outcomes_steps_in_each_bin() -> None:
    stored = two_outcomes()
    run = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    total, part = histograms_of(rewards_of(stored, run=run), stored)
    assert (total.column, total.is_total, part.column) == ("total", True, "run")
    failure, success = part.groups
    assert (failure.rows, failure.episodes, failure.mean) == (4, 1, 0.25)
    assert (failure.shares[0], failure.shares[-1]) == (0.75, 0.25)
    assert success.shares[-1] == 1.0


def test_what_lies_beyond_the_tails_is_in_the_outermost_bin() -> None:
    stored = bank([0.0] * 100)
    column = np.zeros(400) + np.arange(400) / 400
    column[0] = -1e6
    (total, _) = histograms_of(rewards_of(stored, a=column), stored)
    assert total.edges[0] > -1.0
    assert sum(total.groups[0].shares) == pytest.approx(1.0)


def test_a_constant_is_told_and_has_no_bins() -> None:
    stored = two_outcomes()
    *_, wage = histograms_of(rewards_of(stored, run=np.arange(8.0), wage=np.ones(8)), stored)
    assert wage.edges == ()
    assert [found.text for found in wage.findings] == ["constant: 1 in every stored step"]


def test_a_component_that_successes_have_less_of_is_told_with_both_means() -> None:
    stored = two_outcomes()
    (total, _) = histograms_of(rewards_of(stored, a=[2.0] * 4 + [1.0] * 4), stored)
    assert [found.text for found in total.findings] == [
        "2 of its std lower in success: mean 1 per step in success, 2 in failure"
    ]


def test_a_component_that_tells_outcomes_not_apart_says_so() -> None:
    stored = two_outcomes()
    (total, _) = histograms_of(rewards_of(stored, a=[1.0, 2.0] * 4), stored)
    assert [found.kind for found in total.findings] == ["alike"]
