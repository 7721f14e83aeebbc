from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bank_rig import CONTINUOUS, DISCRETE, good, played

from rewardsmith.agent.evidence.corrupted import CORRUPTIONS, corrupted_episodes
from rewardsmith.envs.collect import Act, rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Task

NOTHING = {CONTINUOUS.id: np.zeros(1), DISCRETE.id: np.array(1)}
TASKS = pytest.mark.parametrize("task", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])


@TASKS
def test_good_episodes_are_spoilt_in_several_ways_each_judged_as_it_is(task: Task) -> None:
    sources = good(task)
    spoilt, remarks = corrupted_episodes(task, sources, NOTHING[task.id], rows=5_000, seed=0)
    assert remarks == ()
    assert {item.of for item in spoilt} == {"good/0", "good/1"}
    assert len({item.policy for item in spoilt}) >= 5
    by_name = {item.name: item for item in sources}
    for item in spoilt:
        assert (item.score,) == judge(task, [item.episode])
        assert item.fitness < by_name[item.of or ""].fitness


def replayed(episode: Episode) -> Act:
    given = iter(episode.steps.action)
    return lambda observation: next(given)


@TASKS
def test_a_spoilt_episode_is_its_source_up_to_a_quarter_and_then_what_physics_makes(
    task: Task,
) -> None:
    (source,) = good(task, count=1)
    spoilt, _ = corrupted_episodes(task, [source], NOTHING[task.id], rows=5_000, seed=0)
    start = source.episode.length // 4
    for item in spoilt:
        (again,) = rollout(task.env, replayed(item.episode), [source.episode.seed])
        for name, values in item.episode.steps.after.items():
            assert np.array_equal(values, again.steps.after[name])
            assert np.array_equal(values[:start], source.episode.steps.after[name][:start])
        assert not np.array_equal(item.episode.steps.action, source.episode.steps.action)


def test_stopping_leaves_the_first_half_as_it_was() -> None:
    (source,) = good(CONTINUOUS, count=1)
    stop = CORRUPTIONS["stopped at half"]
    rest = source.episode.steps.action[20:]
    changed = stop(rest, CONTINUOUS.env.action, np.array([0.25]), np.random.default_rng(0))
    assert changed.tolist() == [[0.25]] * 20


def test_an_episode_that_does_not_repeat_itself_is_left_alone_and_told_of() -> None:
    one, two = good(CONTINUOUS)
    elsewhere = {name: values + 0.5 for name, values in one.episode.steps.after.items()}
    steps = replace(one.episode.steps, after=elsewhere)
    moved = replace(one, episode=replace(one.episode, steps=steps))
    spoilt, remarks = corrupted_episodes(CONTINUOUS, [moved, two], np.zeros(1), rows=5_000, seed=0)
    assert {item.of for item in spoilt} == {"good/1"}
    assert len(remarks) == 1
    assert "good/0" in remarks[0]


def test_a_spoilt_episode_goes_on_to_its_own_end(tmp_path: Path) -> None:
    quick = tmp_path / "quick.py"
    quick.write_text("def fitness(episode):\n    return -episode.length\n")
    task = replace(CONTINUOUS, fitness=str(quick))
    (source,) = played(task, lambda seen: np.ones(1, dtype=np.float32), 1, "leaves")
    spoilt, _ = corrupted_episodes(task, [source], np.zeros(1), rows=5_000, seed=0)
    assert source.episode.length < 30
    assert max(item.episode.length for item in spoilt) == 40
    assert all(item.fitness == -item.episode.length for item in spoilt)


def test_only_as_many_episodes_are_spoilt_as_fit() -> None:
    spoilt, _ = corrupted_episodes(CONTINUOUS, good(CONTINUOUS, 4), np.zeros(1), rows=600, seed=0)
    assert {item.of for item in spoilt} == {"good/0", "good/1"}


def test_a_seed_gives_the_same_noise_again() -> None:
    one, two, other = (
        corrupted_episodes(CONTINUOUS, good(CONTINUOUS, 1), np.zeros(1), rows=900, seed=seed)[0]
        for seed in (4, 4, 5)
    )
    noisy = [next(i for i in found if i.policy == "very noisy") for found in (one, two, other)]
    actions = [item.episode.steps.action for item in noisy]
    assert np.array_equal(actions[0], actions[1])
    assert not np.array_equal(actions[0], actions[2])
