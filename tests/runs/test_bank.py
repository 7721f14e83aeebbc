import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.envs import toy
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Task
from rewardsmith.errors import StoreError
from rewardsmith.runs.bank import INDEX, RANDOM, Bank, collect_random

CONTINUOUS, DISCRETE = toy.tasks()


def played(seed: int, count: int = 2) -> tuple[Episode, ...]:
    act = random_act(CONTINUOUS.env, seed)
    return rollout(CONTINUOUS.env, act, range(seed, seed + count))


def test_what_was_stored_comes_back_to_the_bit(tmp_path: Path) -> None:
    bank, episodes = Bank(tmp_path), played(1)
    snapshots = {0: np.arange(3.0), 10: np.arange(3.0) + 1}
    episodes = (replace(episodes[0], snapshots=snapshots), *episodes[1:])
    bank.append(episodes, policy="g0.1.s1", outcomes=("there", "late"), fitness=(1.0, 0.5))
    again = Bank(tmp_path).episodes(policy="g0.1.s1")
    for old, new in zip(episodes, again, strict=True):
        assert (old.seed, old.dt, old.length) == (new.seed, new.dt, new.length)
        for name, values in old.steps.after.items():
            assert np.array_equal(values, new.steps.after[name])
            assert np.array_equal(old.steps.before[name], new.steps.before[name])
        assert np.array_equal(old.steps.action, new.steps.action)
        assert np.array_equal(old.steps.starts, new.steps.starts)
        assert np.array_equal(old.steps.native_reward, new.steps.native_reward)
    assert set(again[0].snapshots) == {0, 10}
    assert np.array_equal(again[0].snapshots[10], snapshots[10])


def test_the_index_says_whose_episodes_they_are_and_what_came_of_them(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="g0.1.s1", outcomes=("there", "late"), fitness=(1.0, 0.5))
    (shard,) = Bank(tmp_path).shards
    assert (shard.policy, shard.rows) == ("g0.1.s1", bank.rows)
    assert [e.outcome for e in shard.episodes] == ["there", "late"]
    assert [e.fitness for e in shard.episodes] == [1.0, 0.5]


def test_success_is_stored_and_an_index_without_it_stays_readable(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a", fitness=(1.0, 0.5), success=(True, False))
    assert [e.success for e in bank.shards[0].episodes] == [True, False]
    index = index_of(tmp_path)
    del index["settled"]
    for episode in index["shards"][0]["episodes"]:
        del episode["success"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert [e.success for e in bank.shards[0].episodes] == [None, None]
    assert len(bank.episodes()) == 2


def settled_bank(folder: Path, order: str) -> Bank:
    bank = Bank(folder, max_rows=240)
    for generation in (order, "xyz"):
        for policy in generation:
            bank.append(played(ord(policy), count=1 + ord(policy) % 2), policy=policy)
        bank.settle()
    return bank


@pytest.mark.parametrize("order", ["abcd", "dcba", "cadb"])
def test_the_order_in_which_trainings_end_leaves_no_trace(order: str, tmp_path: Path) -> None:
    one, other = settled_bank(tmp_path / "1", "abcd"), settled_bank(tmp_path / "2", order)
    assert [shard.policy for shard in one.shards] == [shard.policy for shard in other.shards]
    assert [shard.policy for shard in one.shards] == ["d", *"xyz"]
    for a, b in zip(one.episodes(), other.episodes(), strict=True):
        assert np.array_equal(a.steps.action, b.steps.action)


def test_what_was_appended_stays_until_the_bank_is_settled(tmp_path: Path) -> None:
    bank = Bank(tmp_path, max_rows=80)
    for policy in "ba":
        bank.append(played(1), policy=policy)
    assert [shard.policy for shard in bank.shards] == ["b", "a"]
    bank.settle()
    assert [shard.policy for shard in Bank(tmp_path).shards] == ["b"]


def test_threads_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    bank, episodes = Bank(tmp_path), played(1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: bank.append(episodes, policy=str(name)), range(24)))
    assert {shard.policy for shard in bank.shards} == {str(name) for name in range(24)}
    assert len(bank.episodes()) == 48


def test_a_policy_is_stored_once(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a")
    bank.append(played(2), policy="a")
    assert len(bank.shards) == 1


def test_samples_are_stored_rows_and_the_same_for_a_seed(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    for seed in (1, 5, 9):
        bank.append(played(seed), policy=str(seed))
    steps = bank.sample(50, np.random.default_rng(0))
    assert (steps.rows, steps.num_envs) == (50, 50)
    assert steps.starts.all()
    stored = np.concatenate([e.steps.after["position"] for e in bank.episodes()])
    assert np.isin(steps.after["position"], stored).all()
    assert len(np.unique(steps.after["position"])) == 50
    again = bank.sample(50, np.random.default_rng(0))
    assert np.array_equal(steps.after["position"], again.after["position"])


def test_a_sample_keeps_the_columns_of_a_row_together(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a")
    bank.append(played(7), policy="b")
    steps = bank.sample(40, np.random.default_rng(2))
    gap = np.abs(steps.after["position"] - steps.after["target"])
    assert np.array_equal(gap, steps.after["distance"])
    moved = steps.before["position"] + CONTINUOUS.env.dt * steps.after["velocity"]
    np.testing.assert_allclose(moved, steps.after["position"], atol=1e-12)


def test_more_rows_than_stored_are_drawn_again(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1, count=1), policy="a")
    assert bank.sample(500, np.random.default_rng(0)).rows == 500


def test_the_oldest_trained_policies_go_first_and_random_ones_never(tmp_path: Path) -> None:
    bank = Bank(tmp_path, max_rows=200)
    bank.ensure_random(CONTINUOUS, rows=100, seed=0)
    for seed in range(4):
        bank.append(played(seed), policy=str(seed))
        bank.settle()
    assert [shard.policy for shard in bank.shards] == [RANDOM, "3"]
    files = {path.name for path in tmp_path.glob("*.npz")}
    assert files == {shard.file for shard in bank.shards}


def test_a_write_killed_before_the_index_counts_as_not_done(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a")
    (tmp_path / "000002.npz").write_bytes(b"half a shard")
    (tmp_path / "000003.npz.tmp").write_bytes(b"less")
    assert [shard.policy for shard in Bank(tmp_path).shards] == ["a"]
    bank.append(played(2), policy="b")
    assert len(Bank(tmp_path).episodes()) == 4


def test_an_empty_or_damaged_bank_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="ensure_random"):
        Bank(tmp_path).sample(3, np.random.default_rng(0))
    (tmp_path / INDEX).write_text("{")
    with pytest.raises(StoreError, match="remove the folder"):
        Bank(tmp_path).sample(3, np.random.default_rng(0))


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a")
    (tmp_path / "000001.npz").write_bytes(b"PK nonsense")
    with pytest.raises(StoreError, match=r"000001\.npz"):
        Bank(tmp_path).sample(3, np.random.default_rng(0))


def index_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / INDEX).read_text())
    return found


@pytest.mark.parametrize(
    "name",
    ["../victim.npz", "/etc/passwd", "000001.npz/../x", "1.npz", "000001.exe", "", "a\n.npz"],
)
def test_an_index_can_name_no_file_outside_its_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    bank = Bank(folder, max_rows=50)
    bank.append(played(1), policy="a")
    bank.settle()
    victim = tmp_path / "victim.npz"
    victim.write_bytes((folder / "000001.npz").read_bytes())
    index = index_of(folder)
    index["shards"][0]["file"] = name
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(StoreError, match="damaged"):
        bank.append(played(2), policy="b")  # would have removed the oldest shard
    with pytest.raises(StoreError, match="damaged"):
        bank.episodes()
    assert victim.exists()


@pytest.mark.parametrize("rows", [1, 79, 81, 10**9])
def test_an_index_that_counts_other_rows_than_there_are_is_told(rows: int, tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a")
    index = index_of(tmp_path)
    index["shards"][0]["rows"] = rows
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(StoreError, match=f"80 rows, the index says {rows}"):
        bank.sample(5, np.random.default_rng(0))
    with pytest.raises(StoreError, match="80 rows"):
        bank.episodes()


@pytest.mark.parametrize("rows", [0, -5, None, "many"])
def test_an_index_with_impossible_counts_is_damaged(rows: object, tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a")
    index = index_of(tmp_path)
    index["shards"][0]["rows"] = rows
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(StoreError, match="damaged"):
        assert bank.shards


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.append(played(1), policy="a")
    (tmp_path / "000001.npz").unlink()
    with pytest.raises(StoreError, match=r"000001\.npz"):
        bank.episodes()


def test_nothing_is_stored_of_no_episodes(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.append((), policy="a")
    assert bank.shards == ()
    assert bank.rows == 0
    assert not (tmp_path / "bank").exists()


def test_an_outcome_for_every_episode_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="argument"):
        Bank(tmp_path).append(played(1), policy="a", outcomes=("one",))
    assert Bank(tmp_path).shards == ()


@settings(max_examples=15, deadline=None)
@given(counts=st.lists(st.integers(1, 3), min_size=1, max_size=6), limit=st.integers(1, 400))
def test_a_full_bank_keeps_its_newest_shards_and_no_file_beside_them(
    counts: list[int], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bank")
    bank = Bank(folder, max_rows=limit)
    for number, count in enumerate(counts):
        bank.append(played(number, count), policy=str(number))
        bank.settle()
    kept = [int(shard.policy) for shard in bank.shards]
    assert kept == list(range(kept[0], len(counts)))
    assert bank.rows <= limit or len(kept) == 1
    assert {p.name for p in folder.glob("*.npz")} == {shard.file for shard in bank.shards}
    assert len(bank.episodes()) == sum(counts[kept[0] :])
    if kept[0] > 0:  # no more was dropped than had to be
        assert bank.rows + 40 * counts[kept[0] - 1] > limit


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 200), seed=st.integers(0, 99))
def test_samples_hold_each_row_once_as_long_as_there_are_enough(rows: int, seed: int) -> None:
    steps = shared_bank().sample(rows, np.random.default_rng(seed))
    assert steps.rows == rows
    pairs = np.stack([steps.after["position"], steps.after["velocity"]], axis=1)
    assert len(np.unique(pairs, axis=0)) == min(rows, 160) or rows > 160
    assert "out" in steps.after


@lru_cache
def shared_bank() -> Bank:
    bank = Bank(Path(tempfile.mkdtemp()))
    bank.append(played(1), policy="a")
    bank.append(played(11), policy="b")
    return bank


@pytest.mark.parametrize("task", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_random_policies_fill_the_bank_once(task: Task, tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.ensure_random(task, seed=3)
    rows = bank.rows
    assert rows >= 2_000
    bank.ensure_random(task, seed=3)
    assert bank.rows == rows


def test_random_episodes_are_the_same_for_a_seed_and_of_several_kinds() -> None:
    first, again = (collect_random(CONTINUOUS, 400, seed=1) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.steps.action, b.steps.action)
    other = collect_random(CONTINUOUS, 400, seed=2)
    assert not np.array_equal(first[0].steps.action[:5], other[0].steps.action[:5])
    bounds = np.concatenate([e.steps.action for e in first])
    assert -1 <= bounds.min() < -0.9
    assert 0.9 < bounds.max() <= 1
    changes = [np.abs(np.diff(e.steps.action[:, 0])).mean() for e in first[:4]]
    uniform, sticky, waves, trembling = changes
    assert max(trembling, sticky, waves) < uniform


def test_no_random_episode_is_longer_than_an_eighth_of_what_is_wanted() -> None:
    episodes = collect_random(CONTINUOUS, 80, seed=0)
    assert max(e.length for e in episodes) <= 10
    assert sum(e.length for e in episodes) >= 80
