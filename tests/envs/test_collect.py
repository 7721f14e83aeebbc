from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.collect import concat, random_act, rollout, steps_of
from rewardsmith.envs.recorder import KEY, make_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec, Field
from rewardsmith.errors import TrainingError


def _point(discrete: bool = False) -> EnvSpec:
    return find_task(f"rewardsmith/Point-v0{'-discrete' if discrete else ''}").env


def _right(obs: Any) -> Any:
    return np.array([1.0], dtype=np.float32)


def test_an_episode_runs_to_the_time_limit() -> None:
    (episode,) = rollout(_point(), random_act(_point(), 0), [0])
    assert episode.length == 40
    assert not episode.terminated
    assert episode.steps.truncated.tolist() == [False] * 39 + [True]
    assert episode.dt == 0.1


def test_an_episode_ends_where_the_task_ends_it() -> None:
    (episode,) = rollout(_point(), _right, [0])
    assert episode.terminated
    assert episode.length < 40
    assert episode.steps.after["position"][-1] > 3.0
    assert episode.steps.truncated.sum() == 0


def test_max_steps_cuts_and_says_so() -> None:
    (episode,) = rollout(_point(), _right, [0], max_steps=7)
    assert episode.length == 7
    assert episode.steps.truncated[-1]


def test_a_seed_gives_the_same_episode_and_another_seed_another() -> None:
    one, two, other = rollout(_point(), _right, [5, 5, 6])
    assert np.array_equal(one.steps.after["position"], two.steps.after["position"])
    assert one.steps.before["target"][0] != other.steps.before["target"][0]


def test_actions_are_recorded_as_the_environment_received_them() -> None:
    (episode,) = rollout(_point(), _right, [0])
    assert episode.steps.action.shape == (episode.length, 1)
    assert episode.steps.action.dtype == np.float64
    assert set(episode.steps.action.ravel()) == {1.0}


def test_discrete_actions_are_whole_numbers_without_a_shape() -> None:
    spec = _point(discrete=True)
    (episode,) = rollout(spec, random_act(spec, 0), [0])
    assert episode.steps.action.shape == (episode.length,)
    assert episode.steps.action.dtype == np.int64
    assert set(episode.steps.action) <= {0, 1, 2}


def test_a_policy_may_reuse_the_array_it_answers_with() -> None:
    held = np.zeros(1, dtype=np.float32)

    def act(obs: Any) -> Any:
        held[0] += 0.01
        return held

    (episode,) = rollout(_point(), act, [0], max_steps=5)
    assert np.allclose(episode.steps.action.ravel(), [0.01, 0.02, 0.03, 0.04, 0.05])


def test_the_random_policy_stays_within_the_bounds_and_repeats_for_a_seed() -> None:
    one, two = random_act(_point(), 3), random_act(_point(), 3)
    drawn = [one(None) for _ in range(50)]
    assert all(np.array_equal(a, two(None)) for a in drawn)
    assert all(-1.0 <= a[0] <= 1.0 for a in drawn)


def test_concat_keeps_the_starts_of_its_episodes() -> None:
    episodes = rollout(_point(), random_act(_point(), 0), [0, 1])
    steps = concat(episodes)
    assert steps.rows == 80
    assert np.flatnonzero(steps.starts).tolist() == [0, 40]
    assert np.array_equal(steps.before["position"][40:], episodes[1].steps.before["position"])


def test_steps_are_time_major_over_environments() -> None:
    spec = _point()
    envs = [make_env(spec), make_env(spec)]
    for i, env in enumerate(envs):
        env.reset(seed=i)
    rows = [env.step(np.zeros(1))[4][KEY] for _ in range(3) for env in envs]
    steps = steps_of(
        rows, 2, spec, action=np.zeros((6, 1)), terminated=[False] * 6, truncated=[False] * 6
    )
    assert steps.num_envs == 2
    targets = [env.unwrapped.target for env in envs]  # type: ignore[attr-defined]
    assert steps.after["target"].tolist() == targets * 3
    assert steps.starts.tolist() == [True, True, False, False, False, False]


def test_hidden_fields_can_be_left_out() -> None:
    spec = _point()
    env = make_env(spec)
    env.reset(seed=0)
    row = env.step(np.zeros(1))[4][KEY]
    steps = steps_of(
        [row], 1, spec, action=[[0.0]], terminated=[False], truncated=[False], hidden=False
    )
    assert set(steps.after) == set(steps.before) == {"position", "velocity", "target", "distance"}


def test_a_field_that_becomes_nan_stops_the_training_by_name() -> None:
    bad = Field("bad", (), "m", "NaN away from the start", "obs[0] * (np.nan if obs[0] > 1 else 1)")
    spec = replace(_point(), fields=(*_point().fields, bad))
    with pytest.raises(TrainingError, match=r"NaN or infinity in the field\(s\) bad"):
        rollout(spec, _right, [0])


def test_snapshots_are_taken_at_every_nth_step_where_they_can_be() -> None:
    spec = find_task("Reacher-v5").env
    (episode,) = rollout(spec, random_act(spec, 0), [0], snapshot_every=20)
    assert list(episode.snapshots) == [0, 20, 40]
    (point,) = rollout(_point(), _right, [0], snapshot_every=10)
    assert point.snapshots == {}
