"""Subgoals against episodes whose course is known."""

from collections.abc import Sequence

import numpy as np
from evidence_rig import Played, bank_of

from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.evidence.subgoals import funnel, subgoals
from rewardsmith.envs import toy
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

TASK = toy.tasks()[0]


def climbs(*heights: list[float], success: Sequence[bool | None] = ()) -> Stored:
    """Episodes that climb through these heights, from 0."""
    told = [*success, *[None] * (len(heights) - len(success))]
    return bank_of(
        [
            Played({"height": np.array([0.0, *course])}, success=good)
            for course, good in zip(heights, told, strict=True)
        ]
    )


def goals(bank: Stored, **levels: float) -> RewardBatch:
    """One subgoal per level: the height is above it."""
    height = bank.steps.after["height"]
    columns = {name: (height > level).astype(float) for name, level in levels.items()}
    return RewardBatch(np.zeros(len(height)), columns)


def probed(bank: Stored, **levels: float) -> Evidence:
    return subgoals(goals(bank, **levels), bank, TASK)


def test_subgoals_on_the_way_of_every_success_pass_with_their_shares() -> None:
    bank = climbs([0, 1, 2, 3], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 3],
                  success=[True, False, False, True])  # fmt: skip
    found = probed(bank, low=0.5, high=2.5)
    assert (found.verdict, found.score) == ("pass", 1.0)
    low, high = found.facts["subgoals"]
    assert (low["reached"], high["reached"]) == (0.75, 0.5)
    assert (high["success_if_reached"], high["reached_if_success"]) == (1.0, 1.0)
    assert low["success_if_reached"] == 2 / 3
    assert low["steps"] == 7 / 16


def test_one_that_always_holds_tells_nothing() -> None:
    bank = climbs([1, 1], [1, 2], success=[False, True])
    found = probed(bank, there=0.5, high=1.5)
    assert found.verdict == "warn"
    assert "'there' holds in every step" in found.text
    assert found.score == 0.5


def test_one_that_holds_from_the_start_of_most_is_remarked() -> None:
    bank = climbs([1, 0], [1, 0], [0, 1])
    assert "'there' holds from the first step on in 67%" in probed(bank, there=0.5).text


def test_one_that_no_episode_reaches_is_named_and_refuses_nothing() -> None:
    bank = climbs([0, 1], [0, 0])
    found = probed(bank, low=0.5, high=9.0)
    assert found.verdict == "warn"
    assert "Reached in no stored episode: high." in found.text
    assert "Reached in no stored episode: high." in probed(bank, high=9.0).text


def test_an_order_that_successes_do_not_keep_is_remarked() -> None:
    bank = climbs([0, 1, 2], [0, 1, 3], [0, 1, 0], success=[True, True, False])
    found = probed(bank, high=1.5, low=0.5)
    assert "'low' is reached in more episodes (100%) than 'high'" in found.text
    assert "100% of 2 successes 'low' is not preceded by 'high'" in found.text


def test_a_last_subgoal_that_successes_miss_is_remarked() -> None:
    bank = climbs([0, 1, 0], [0, 1, 3], success=[True, True])
    assert "'high' is reached in 50% of the successes alone" in probed(bank, low=0.5, high=2).text


def stopped(bank: Stored, success: Sequence[bool | None], **levels: float) -> Evidence:
    lengths = [episode.length for episode in bank.episodes]
    return funnel(goals(bank, **levels), lengths, success)


def test_the_headline_is_the_subgoal_at_which_most_episodes_stop() -> None:
    bank = climbs([0, 1, 0], [0, 1, 1], [0, 0, 0], [1, 2, 3])
    found = stopped(bank, [False, False, False, True], low=0.5, middle=1.5, high=2.5)
    assert found.text.startswith("2 of 4 episodes stop after 'low', before 'middle'.")
    assert found.verdict == "warn"
    assert found.facts["stops_before"] == "middle"
    assert [row["reached"] for row in found.facts["subgoals"]] == [3, 1, 1]
    assert [row["first_step"] for row in found.facts["subgoals"]] == [1.0, 1.0, 2.0]
    assert found.score == (1 + 1 + 0 + 3) / 4 / 3


def test_episodes_that_reach_nothing_stop_at_the_start() -> None:
    found = stopped(climbs([0, 0], [0, 0]), [False, False], low=0.5, high=1.5)
    assert found.text.startswith("2 of 2 episodes stop at the start, before 'low'.")
    assert found.facts["subgoals"][0]["first_step"] is None


def test_a_later_subgoal_stands_for_the_ones_before_it() -> None:
    bank = climbs([3, 0], [3, 0])
    height = bank.steps.after["height"]
    passing, high = (height > 1) & (height < 2), height > 2
    columns = {"passing": passing.astype(np.float64), "high": high.astype(np.float64)}
    found = funnel(RewardBatch(np.zeros(4), columns), [2, 2], [True, True])
    assert found.verdict == "pass"
    assert found.text.startswith("All episodes reach 'high'.")


def test_failures_that_went_through_all_subgoals_are_said() -> None:
    found = stopped(climbs([0, 1], [0, 1]), [False, True], low=0.5)
    assert found.verdict == "warn"
    assert found.text.startswith("1 of 2 episodes reach 'low' and fail all the same.")
