from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import EnvSpec, Score
from rewardsmith.errors import RewardsmithError, StoreError
from rewardsmith.runs.training.judging import Judging, flat, judge, play, success_rate
from rewardsmith.runs.training.reward_sources import MeteredReward, NativeReward
from rewardsmith.runs.training.trajectories import load_episodes, save_episodes

TASK = toy.tasks()[0]


def judging(**changes: Any) -> Judging:
    return Judging(**({"task": TASK, "eval_seeds": (11, 12, 13)} | changes))


def test_the_judged_episodes_are_those_of_the_given_seeds() -> None:
    episodes = play(judging(), lambda observation: np.zeros(1, np.float32))
    assert [episode.seed for episode in episodes] == [11, 12, 13]
    again = play(judging(eval_seeds=(12,)), lambda observation: np.zeros(1, np.float32))
    assert np.array_equal(again[0].steps.after["target"], episodes[1].steps.after["target"])


def test_the_random_policy_needs_none_and_is_the_same_for_its_seed() -> None:
    def never(observation: object) -> object:
        raise AssertionError("the trained policy was asked")

    first, again, other = (
        play(judging(random_seed=seed), never)[0].steps.action for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_judgement_sums_up_the_fitness_of_every_episode() -> None:
    episodes = play(judging(), random_act(TASK.env, 1))
    found = judge(TASK, episodes)
    scores = [toy.fitness(episode).fitness for episode in episodes]
    assert found.fitness == pytest.approx(np.mean(scores))
    assert found.fitness_std == pytest.approx(np.std(scores))
    assert [e.fitness for e in found.episodes] == pytest.approx(scores)
    assert sum(found.outcomes.values()) == 3


def test_samples_of_a_field_run_from_the_first_step_to_the_last() -> None:
    episodes = play(judging(), random_act(TASK.env, 1))
    sampled = judge(TASK, episodes).episodes[0].fields["position"]
    position = episodes[0].steps.after["position"]
    assert (sampled[0], sampled[-1], len(sampled)) == (position[0], position[-1], 10)


def test_a_fitness_that_is_not_finite_is_our_error_and_no_number(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        "from rewardsmith.envs.task import Score\n"
        "def fitness(episode):\n    return Score(float('nan'), None, 'odd')\n"
    )
    episodes = play(judging(), random_act(TASK.env, 1))
    with pytest.raises(RewardsmithError, match=r"finite|nan|NaN"):
        judge(replace(TASK, fitness=str(path)), episodes)


def test_success_is_the_share_of_those_that_can_tell() -> None:
    scores = [Score(0.0, True, "a"), Score(0.0, False, "b"), Score(0.0, None, "c")]
    assert success_rate(scores) == 0.5
    assert success_rate(scores[2:]) is None


class Pair(gym.ObservationWrapper[Any, Any, Any]):
    """Hands out the observation as a dictionary."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        box = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = gym.spaces.Dict({"a": box, "b": box})

    def observation(self, observation: Any) -> Any:
        return {"a": observation[:1], "b": observation[2:]}


def test_observations_that_are_no_vector_are_flattened_for_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def make(spec: EnvSpec) -> gym.Env[Any, Any]:
        from rewardsmith.envs.toy_env import PointEnv

        return Pair(PointEnv())

    monkeypatch.setattr("rewardsmith.envs.recorder.make_env", make)
    act = flat(seen.append, TASK.env)
    act({"a": np.array([1.0], np.float32), "b": np.array([2.0], np.float32)})
    assert seen[0].tolist() == [1.0, 2.0]


def test_stored_episodes_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "trajectories.npz"
    with pytest.raises(StoreError, match="no readable trajectories"):
        load_episodes(path)
    episodes: tuple[Episode, ...] = play(judging(), random_act(TASK.env, 1))
    save_episodes(path, episodes)
    assert len(load_episodes(path)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["trajectories.npz"]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StoreError, match="no readable trajectories"):
        load_episodes(path)


def test_the_native_reward_is_the_environments_and_is_metered() -> None:
    steps = play(judging(eval_seeds=(1,)), random_act(TASK.env, 1))[0].steps
    with MeteredReward(NativeReward()) as source:
        found = source.rewards(steps)
        assert np.array_equal(found.total, -np.abs(steps.after["distance"]))  # type: ignore[union-attr]
        assert source.calls == 1
        assert source.wall_s >= 0


def test_what_is_told_of_an_episode_holds_no_hidden_field() -> None:
    episodes = rollout(TASK.env, random_act(TASK.env, 0), (1,))
    told = judge(TASK, episodes).episodes[0].fields
    assert {item.name for item in TASK.env.hidden} & set(episodes[0].steps.after)
    assert set(told) <= {item.name for item in TASK.env.fields}


def test_what_is_judged_can_be_gone_on_with_from_every_tenth_step() -> None:
    task = find_task("Reacher-v5")
    (episode,) = play(judging(task=task, eval_seeds=(1,), random_seed=0), random_act(task.env, 0))
    assert sorted(episode.snapshots) == [0, 10, 20, 30, 40]
