from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.collect import Act, rollout
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.side_by_side import play_all
from rewardsmith.envs.task import FloatArray

CONTINUOUS, DISCRETE = (task.env for task in toy.tasks())


def each_its_own(
    rows: npt.NDArray[np.intp], observations: FloatArray, step: int
) -> npt.NDArray[Any]:
    force: FloatArray = np.sin(0.1 * step * (1.0 + rows))
    return force[:, None]


def replayed(actions: npt.NDArray[Any]) -> Act:
    given = iter(actions.astype(np.float32))
    return lambda observation: next(given)


@pytest.mark.parametrize("name", ["rewardsmith/Point-v0", "Reacher-v5", "BipedalWalker-v3"])
def test_each_episode_is_what_its_policy_alone_would_have_played(name: str) -> None:
    spec = find_task(name).env
    size = spec.action.shape[0]
    played = play_all(spec, lambda *asked: each_its_own(*asked).repeat(size, 1), [5, 6, 7])
    for number, episode in enumerate(played):
        (alone,) = rollout(spec, replayed(episode.steps.action), [5 + number])
        assert alone.length == episode.length
        for name, values in alone.steps.after.items():
            assert np.array_equal(values, episode.steps.after[name])
            assert np.array_equal(alone.steps.before[name], episode.steps.before[name])
    assert not np.array_equal(played[0].steps.action, played[1].steps.action)


def test_an_episode_ends_where_the_task_ends_it_and_the_others_go_on() -> None:
    away = np.array([[1.0], [0.0]])
    one, two = play_all(CONTINUOUS, lambda rows, seen, step: away[rows], [1, 2])
    assert one.terminated
    assert one.length < two.length == CONTINUOUS.max_steps
    assert two.steps.truncated.tolist() == [False] * (two.length - 1) + [True]


def test_an_episode_that_its_last_step_ends_is_ended_by_both_as_in_gymnasium() -> None:
    away = np.array([[1.0]])
    (whole,) = play_all(CONTINUOUS, lambda rows, seen, step: away, [1])
    assert (whole.terminated, whole.steps.truncated[-1]) == (True, False)
    (cut,) = play_all(CONTINUOUS, lambda rows, seen, step: away, [1], longest=whole.length)
    (alone,) = rollout(CONTINUOUS, lambda seen: away[0], [1], max_steps=whole.length)
    for episode in (cut, alone):
        assert episode.terminated
        assert episode.steps.truncated[-1]


def test_episodes_that_outlive_most_others_go_on_as_if_alone() -> None:
    hopper = find_task("Hopper-v5").env
    force = np.random.default_rng(0).uniform(-1.0, 1.0, (9, 40, 3))
    force[7] = 0.0  # falls last
    played = play_all(hopper, lambda rows, seen, step: force[rows, step], range(9), longest=40)
    lengths = [episode.length for episode in played]
    assert sorted(lengths)[4] < lengths[7] == 40
    for seed, episode in enumerate(played):
        (alone,) = rollout(hopper, replayed(episode.steps.action), [seed], max_steps=40)
        assert alone.length == episode.length
        for name, values in alone.steps.after.items():
            assert np.array_equal(values, episode.steps.after[name])
            assert np.array_equal(alone.steps.before[name], episode.steps.before[name])
        assert np.array_equal(alone.steps.starts, episode.steps.starts)


def test_episodes_are_cut_at_the_longest_wanted() -> None:
    (episode,) = play_all(DISCRETE, lambda rows, seen, step: np.ones(len(rows)), [0], longest=7)
    assert episode.length == 7
    assert episode.steps.action.dtype == np.int64
    assert episode.steps.truncated[-1]


def test_forces_beyond_the_bounds_are_clipped() -> None:
    (episode,) = play_all(CONTINUOUS, lambda rows, seen, step: np.full((1, 1), 9.0), [0], longest=3)
    assert episode.steps.action.ravel().tolist() == [1.0] * 3


def test_no_seeds_no_episodes() -> None:
    assert play_all(CONTINUOUS, each_its_own, []) == ()
