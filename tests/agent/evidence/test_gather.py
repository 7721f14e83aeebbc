from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rewardsmith.agent.evidence.gather import fresh_bank, gathered
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs import toy
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.runs.bank import Bank

TASK = toy.tasks()[0]


def with_policies(folder: Path, names: str) -> Bank:
    bank = Bank(folder)
    for name in names:
        seed = ord(name)
        episodes = rollout(TASK.env, random_act(TASK.env, seed), range(seed, seed + 3))
        scores = judge(TASK, episodes)
        bank.append(
            episodes,
            policy=name,
            outcomes=[score.outcome for score in scores],
            fitness=[score.fitness for score in scores],
            success=[score.success for score in scores],
        )
    return bank


@pytest.fixture(scope="module")
def fresh() -> Stored:
    return fresh_bank(TASK)


def equal(one: Stored, two: Stored) -> bool:
    same = all(
        np.array_equal(one.steps.after[name], two.steps.after[name]) for name in one.steps.after
    )
    return same and one.episodes == two.episodes and one.edits == two.edits


def test_before_any_training_there_are_random_and_better_episodes(fresh: Stored) -> None:
    random, scripted = fresh.of("random"), fresh.of("scripted")
    assert sum(episode.length for episode in random) >= 2_000
    assert max(e.fitness or 0.0 for e in scripted) > max(e.fitness or 0.0 for e in random)
    assert min(e.fitness or 0.0 for e in scripted) < 0.1


def test_every_simulated_episode_is_judged_and_begins_where_it_says(fresh: Stored) -> None:
    for episode in fresh.simulated:
        assert episode.fitness is not None
        assert episode.outcome
        starts = fresh.steps.starts[episode.first : episode.stop]
        assert starts.tolist() == [True] + [False] * (episode.length - 1)
    assert len({episode.name for episode in fresh.episodes}) == len(fresh.episodes)


def test_the_bank_ends_with_spoilt_episodes_behaviours_and_edits(fresh: Stored) -> None:
    names = {episode.name: episode for episode in fresh.episodes}
    for episode in fresh.of("corrupted"):
        assert (episode.fitness or 0.0) < (names[episode.of or ""].fitness or 0.0)
    assert len(fresh.of("behaviour")) > 3
    assert {episode.fitness for episode in fresh.of("behaviour")} == {None}
    assert fresh.episodes[-1].stop == fresh.edits[0].row
    assert [edit.row for edit in fresh.edits] == list(range(fresh.edits[0].row, fresh.steps.rows))
    assert len(fresh.edits) == 200 * 2 * len(TASK.env.fields)
    assert fresh.remarks == ()


def test_a_seed_gives_the_same_bank_again(fresh: Stored) -> None:
    assert equal(fresh, fresh_bank(TASK))
    assert not equal(fresh, fresh_bank(TASK, seed=1))


def test_the_bank_does_not_tell_in_which_order_trainings_ended(tmp_path: Path) -> None:
    one = gathered(with_policies(tmp_path / "1", "abc"), TASK)
    two = gathered(with_policies(tmp_path / "2", "cab"), TASK)
    assert equal(one, two)
    assert {episode.policy for episode in one.of("policy")} == {"a", "b", "c"}


def test_of_every_policy_the_best_episode_is_read_before_any_second(tmp_path: Path) -> None:
    bank = with_policies(tmp_path, "abc")
    stored = gathered(bank, TASK, rows=4_000)
    for policy in "abc":
        best = max(e.fitness or 0.0 for s in bank.shards if s.policy == policy for e in s.episodes)
        assert best in [e.fitness for e in stored.episodes if e.policy == policy]
    assert 4 < len(stored.of("policy", "scripted")) < 12


def test_episodes_that_nobody_judged_are_judged(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    episodes = rollout(TASK.env, random_act(TASK.env, 3), [3])
    bank.append(episodes, policy="old")
    (score,) = judge(TASK, episodes)
    (found,) = (e for e in gathered(bank, TASK).episodes if e.policy == "old")
    assert (found.fitness, found.success, found.outcome) == (
        score.fitness,
        score.success,
        score.outcome,
    )


def test_an_episode_that_was_cut_short_has_no_fitness(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    cut, whole = (
        rollout(TASK.env, random_act(TASK.env, 0), [0], max_steps=steps)[0] for steps in (10, None)
    )
    bank.append([cut, whole], policy="random")
    known = [e.fitness is None for e in gathered(bank, TASK).of("random")]
    assert known == [True, False]


def test_a_task_without_success_has_none_in_its_bank() -> None:
    task = replace(TASK, fitness="rewardsmith.envs.fitness_return:native_return")
    assert {episode.success for episode in fresh_bank(task).simulated} == {None}
