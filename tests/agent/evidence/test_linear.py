import numpy as np
import pytest

from rewardsmith.agent.evidence.linear import linear_episodes
from rewardsmith.envs import toy
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.task import Task

CONTINUOUS, DISCRETE = toy.tasks()
TASKS = pytest.mark.parametrize("task", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])


@TASKS
def test_the_search_finds_policies_from_good_to_bad(task: Task) -> None:
    judged = linear_episodes(task, rows=800)
    fitness = [score.fitness for _, score in judged]
    assert max(fitness) > 0.7  # the median of random actions is below 0.2
    assert np.median(fitness) > min(fitness) == 0.0
    assert len(set(fitness)) > 10


@TASKS
def test_what_is_told_of_an_episode_is_the_task_s_own_judgement(task: Task) -> None:
    judged = linear_episodes(task, steps=1_000, rows=400)
    again = judge(task, [episode for episode, _ in judged])
    assert [score for _, score in judged] == list(again)


def test_the_same_seed_gives_the_same_episodes() -> None:
    one, two, other = (
        linear_episodes(CONTINUOUS, steps=1_000, rows=200, seed=s) for s in (1, 1, 2)
    )
    for (a, _), (b, _) in zip(one, two, strict=True):
        assert a.seed == b.seed
        assert np.array_equal(a.steps.action, b.steps.action)
    assert not np.array_equal(one[0][0].steps.action, other[0][0].steps.action)


def test_no_more_steps_are_returned_than_wanted() -> None:
    judged = linear_episodes(CONTINUOUS, steps=1_000, rows=300)
    assert 200 < sum(episode.length for episode, _ in judged) <= 300
