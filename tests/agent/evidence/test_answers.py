import json
from typing import Any

import numpy as np
import pytest
from training_rig import summary

from rewardsmith.agent.evidence.answers import MOST_ROWS, answer
from rewardsmith.agent.evidence.judged import Judged
from rewardsmith.prompts.questions import questions_in

EPISODES = [
    Judged(
        summary(float(at), success=at == 2, outcome="fell" if at < 2 else "time limit", length=n),
        {"height": np.linspace(1.0, float(at), n), "reward.alive": np.full(n, 0.5)},
    )
    for at, n in enumerate([10, 20, 100])
]


def said(**question: Any) -> str:
    (asked,) = questions_in(json.dumps([question]))
    return answer(asked, EPISODES)


def test_a_statistic_is_told_over_the_episodes_of_a_group() -> None:
    assert said(ask="stat", of="height", statistic="last", group="failed") == (
        "last of height in failed: 0.5 (mean of 2 episodes, from 0 to 1)"
    )
    assert said(ask="stat", of="height", statistic="max", group="best") == (
        "max of height in best: 2"
    )


def test_steps_from_the_end_are_negative() -> None:
    found = said(ask="stat", of="height", statistic="first", group="episode 0", steps=[-1, -1])
    assert found == "first of height in episode 0: 0"


def test_episodes_without_such_steps_are_left_out() -> None:
    assert "(mean of 2 episodes" in said(ask="stat", of="height", steps=[15, 18])
    assert said(ask="stat", of="height", steps=[500, 600]) == (
        "cannot be answered: no episode has steps (500, 600); the longest has 100"
    )


def test_a_condition_is_counted_in_steps_and_episodes() -> None:
    assert said(ask="count", where="height > 1", group="all") == (
        "height > 1 held in 99 of 130 steps (76.2%), at some step in 1 of 3 episodes of all"
    )


@pytest.mark.parametrize(
    ("op", "steps"), [("<", 0), ("<=", 50), (">", 0), (">=", 50), ("==", 50), ("!=", 0)]
)
def test_every_comparison_means_what_it_says(op: str, steps: int) -> None:
    half = [Judged(summary(0.0, length=50), {"x": np.full(50, 0.5)})]
    (asked,) = questions_in(json.dumps([{"ask": "count", "where": f"x {op} 0.5"}]))
    assert f"held in {steps} of 50 steps" in answer(asked, half)


def test_groups_are_compared() -> None:
    found = said(ask="compare", of="height", statistic="last", group="fell", **{"with": "best"})
    assert found == (
        "last of height in fell: 0.5 (mean of 2 episodes, from 0 to 1) "
        "against last of height in best: 2"
    )


def test_a_window_shows_rows_of_one_episode() -> None:
    found = said(ask="window", of=["height", "reward.alive"], episode=0, steps=[7, 9])
    assert found.split("\n") == [
        "step | height | reward.alive", "7 | 0.222 | 0.5", "8 | 0.111 | 0.5", "9 | 0 | 0.5",
    ]  # fmt: skip


def test_a_long_window_is_thinned() -> None:
    found = said(ask="window", of=["height"], episode=2, steps=[0, 99]).split("\n")
    assert len(found) == 1 + MOST_ROWS
    assert (found[1].split(" | ")[0], found[-1].split(" | ")[0]) == ("0", "99")


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ({"ask": "stat", "of": "secret"}, "no column 'secret'; there are height, reward.alive"),
        ({"ask": "count", "where": "secret > 0"}, "no column 'secret'"),
        ({"ask": "stat", "of": "height", "group": "won"}, "no group 'won'; there are all, failed"),
        ({"ask": "stat", "of": "height", "group": "episode 9"}, "no group 'episode 9'"),
        (
            {"ask": "window", "of": ["height"], "episode": 9, "steps": [0, 1]},
            "no episode 9; 0 to 2",
        ),
        ({"ask": "window", "of": ["height"], "steps": [50, 60]}, "episode 0 has steps 0 to 9"),
        ({"ask": "stat", "of": "height", "steps": [1]}, "wanted: "),
    ],
)
def test_what_is_not_there_is_told_with_what_is(question: dict[str, Any], wanted: str) -> None:
    assert wanted in said(**question)


def test_an_empty_group_is_said_to_be_empty() -> None:
    won = [Judged(summary(1.0, success=True), {"x": np.zeros(10)})]
    (asked,) = questions_in('[{"ask": "stat", "of": "x", "group": "failed"}]')
    assert answer(asked, won) == "cannot be answered: no episode is in failed"
