"""A run's bank of transitions: what policies did, stored so that any reward can be asked about it.

A folder of ``.npz`` shards, one per set of episodes, and ``index.json`` that says what is in them.
A shard counts from the moment the index names it; a shard that no index names is a leftover of a
killed write, and is written over.
"""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from rewardsmith.envs.collect import Act, concat, random_act, rollout
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import EnvSpec, FloatArray, Task
from rewardsmith.errors import StoreError
from rewardsmith.runs.records import Record
from rewardsmith.runs.training.trajectories import load_episodes, save_episodes
from rewardsmith.runs.whole import write_whole

INDEX = "index.json"
RANDOM = "random"
LINEAR = "linear"
ALWAYS_KEPT = (RANDOM, LINEAR)
_STICKY = 0.9


class BankEpisode(Record):
    """What is known of one stored episode beside its columns."""

    seed: int
    length: int
    outcome: str | None = None
    fitness: float | None = None
    success: bool | None = None


class Shard(Record):
    """One file of the bank: the episodes of one policy."""

    file: str = Field(pattern=r"^\d{6,}\.npz$")  # read and removed by this name: no path
    policy: str
    rows: int = Field(ge=1)
    snapshots: int
    episodes: tuple[BankEpisode, ...]


class _Index(Record):
    written: int = 0  # shards ever written: names are not used twice
    settled: int = 0  # leading shards whose order is final
    shards: tuple[Shard, ...] = ()


class Bank:
    """Stored transitions of one run and one task; one process writes at a time, from any thread.

    At most ``max_rows`` rows are kept: the oldest shards go first, those of random and of linear
    policies never. What is appended stays in any case until the next `settle`.
    """

    def __init__(self, folder: Path, *, max_rows: int = 200_000) -> None:
        self._folder = folder
        self._max_rows = max_rows
        self._load = lru_cache(maxsize=4)(load_episodes)
        self._lock = threading.Lock()

    @property
    def shards(self) -> tuple[Shard, ...]:
        """What is stored, oldest first.

        Raises:
            StoreError: the index is damaged.
        """
        return self._index().shards

    @property
    def rows(self) -> int:
        """Number of transitions stored."""
        return sum(shard.rows for shard in self.shards)

    def append(
        self,
        episodes: Sequence[Episode],
        *,
        policy: str,
        outcomes: Sequence[str] | None = None,
        fitness: Sequence[float] | None = None,
        success: Sequence[bool | None] | None = None,
    ) -> None:
        """Stores the episodes of one policy, with their snapshots; no episodes, no shard.

        Args:
            episodes: whole episodes of the bank's task.
            policy: whose they are, e.g. a unit's id. A policy that is stored already is left alone.
            outcomes: how each episode ended, if judged.
            fitness: each episode's fitness, if judged.
            success: whether each episode was a success, if judged and if the task has such a thing.
        """
        with self._lock:
            index = self._index()
            if not episodes or any(shard.policy == policy for shard in index.shards):
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            number = index.written + 1
            shard = Shard(
                file=f"{number:06d}.npz",
                policy=policy,
                rows=sum(episode.length for episode in episodes),
                snapshots=sum(len(episode.snapshots) for episode in episodes),
                episodes=_entries(episodes, outcomes, fitness, success),
            )
            save_episodes(self._folder / shard.file, episodes)
            self._write(number, (*index.shards, shard), index.settled)

    def settle(self) -> None:
        """Orders what was appended since the last call by policy, and drops the oldest surplus.

        Trainings end in any order, and in another one where a run was killed and resumed. Called
        between generations, this leaves a bank that does not tell.
        """
        with self._lock:
            index = self._index()
            if index.settled == len(index.shards):
                return
            fresh = sorted(index.shards[index.settled :], key=lambda shard: shard.policy)
            shards = (*index.shards[: index.settled], *fresh)
            self._write(index.written, shards, len(shards))

    def _write(self, written: int, shards: tuple[Shard, ...], settled: int) -> None:
        """Writes the index, without the oldest of its settled shards if there are too many rows."""
        kept, dropped = self._within_size(shards, settled)
        changed = _Index(written=written, settled=settled - len(dropped), shards=kept)
        write_whole(self._folder / INDEX, changed.model_dump_json(indent=1).encode())
        for old in dropped:
            (self._folder / old.file).unlink(missing_ok=True)

    def episodes(self, *, policy: str | None = None) -> tuple[Episode, ...]:
        """Returns the stored episodes of a policy, or of all."""
        wanted = [s for s in self.shards if policy is None or s.policy == policy]
        return tuple(episode for shard in wanted for episode in self._episodes_of(shard))

    def sample(self, rows: int, rng: np.random.Generator) -> Steps:
        """Returns ``rows`` stored steps drawn evenly over the bank, as unrelated steps.

        Rows are distinct as long as the bank has that many. Hidden fields are among the columns.

        Raises:
            StoreError: the bank is empty or damaged.
        """
        shards = self.shards
        if not shards:
            raise StoreError(f"{self._folder}: the bank is empty; fill it with ensure_random first")
        ends = np.cumsum([shard.rows for shard in shards])
        total = int(ends[-1])
        drawn = np.sort(rng.choice(total, size=rows, replace=rows > total))
        parts: list[Steps] = []
        for shard, end in zip(shards, ends.tolist(), strict=True):
            here = drawn[(drawn >= end - shard.rows) & (drawn < end)] - (end - shard.rows)
            if len(here):
                parts.append(concat(self._episodes_of(shard)).take(here))
        return _side_by_side(parts)

    def ensure_random(self, task: Task, *, rows: int = 2_000, seed: int = 0) -> None:
        """Has at least ``rows`` transitions of untrained policies in the bank, collected once.

        Raises:
            ConfigError: the task's environment cannot be made.
        """
        if not any(shard.policy == RANDOM for shard in self.shards):
            self.append(collect_random(task, rows, seed), policy=RANDOM)

    def _episodes_of(self, shard: Shard) -> tuple[Episode, ...]:
        path = self._folder / shard.file
        episodes = self._load(path)
        rows = sum(episode.length for episode in episodes)
        if rows != shard.rows:
            raise StoreError(f"{path}: {rows} rows, the index says {shard.rows}")
        return episodes

    def _index(self) -> _Index:
        path = self._folder / INDEX
        try:
            return _Index.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return _Index()
        except (OSError, ValidationError) as error:
            raise StoreError(
                f"{path}: the index is damaged: {error}; remove the folder to start a new bank"
            ) from error

    def _within_size(
        self, shards: tuple[Shard, ...], settled: int
    ) -> tuple[tuple[Shard, ...], tuple[Shard, ...]]:
        """Returns the shards to keep and to drop; the newest always stays."""
        surplus = sum(shard.rows for shard in shards) - self._max_rows
        kept, dropped = [], []
        for number, shard in enumerate(shards[:-1]):
            if surplus > 0 and number < settled and shard.policy not in ALWAYS_KEPT:
                surplus -= shard.rows
                dropped.append(shard)
            else:
                kept.append(shard)
        return (*kept, shards[-1]), tuple(dropped)


def _entries(
    episodes: Sequence[Episode],
    outcomes: Sequence[str] | None,
    fitness: Sequence[float] | None,
    success: Sequence[bool | None] | None,
) -> tuple[BankEpisode, ...]:
    nothing = [None] * len(episodes)
    judged = (outcomes or nothing, fitness or nothing, success or nothing)
    return tuple(
        BankEpisode(seed=e.seed, length=e.length, outcome=outcome, fitness=value, success=done)
        for e, outcome, value, done in zip(episodes, *judged, strict=True)
    )


def _side_by_side(parts: Sequence[Steps]) -> Steps:
    """Returns unrelated steps as one set of as many environments."""
    joined = concat([Episode(0, 0.0, part, {}) for part in parts])
    return joined.take(np.arange(joined.rows))


def collect_random(task: Task, rows: int, seed: int) -> tuple[Episode, ...]:
    """Returns episodes of untrained policies with at least ``rows`` steps in all.

    Uniform, sticky and sinusoidal actions and small noise take turns: between them they reach far
    more of the states than uniform actions, which on most robots average out to trembling in place.

    Args:
        task: whose environment is played.
        rows: steps wanted, at least.
        seed: of actions and resets; the same seed gives the same episodes.
    """
    kinds: tuple[Callable[[EnvSpec, int], Act], ...] = (random_act, _sticky, _waves, _trembling)
    # Short cuts of many episodes tell more than one long one.
    longest = max(1, min(task.env.max_steps, rows // 8))
    found: list[Episode] = []
    total = 0
    while total < rows:
        number = len(found)
        act = kinds[number % len(kinds)](task.env, seed * 1_000 + number)
        start = 2**31 + (seed * 1_000 + number) % 2**30
        found += rollout(task.env, act, [start], snapshot_every=10, max_steps=longest)
        total += found[-1].length
    return tuple(found)


def _sticky(spec: EnvSpec, seed: int) -> Act:
    """Keeps a uniform action for some steps, about ten on average."""
    fresh, rng = random_act(spec, seed), np.random.default_rng([seed, 1])
    held: list[Any] = []

    def act(observation: object) -> object:
        if not held or rng.random() > _STICKY:
            held[:] = [fresh(observation)]
        return held[0]

    return act


def _waves(spec: EnvSpec, seed: int) -> Act:
    """Moves each action value in a sine of its own frequency (0.2 to 3 Hz), size and phase."""
    if spec.action.count is not None:
        return _sticky(spec, seed)
    rng = np.random.default_rng([seed, 2])
    low, high = _bounds(spec)
    rate = 2 * np.pi * rng.uniform(0.2, 3.0, low.shape) * (spec.dt or 0.05)
    size, phase = rng.uniform(0.3, 1.0, low.shape), rng.uniform(0, 2 * np.pi, low.shape)
    time = 0

    def act(observation: object) -> object:
        nonlocal time
        time += 1
        wave = size * np.sin(rate * time + phase)
        return ((low + high) / 2 + wave * (high - low) / 2).astype(np.float32)

    return act


def _trembling(spec: EnvSpec, seed: int) -> Act:
    """Adds small noise to the middle of the action range; one choice throughout if discrete."""
    rng = np.random.default_rng([seed, 3])
    if spec.action.count is not None:
        choice = int(rng.integers(spec.action.count))
        return lambda observation: choice
    low, high = _bounds(spec)

    def act(observation: object) -> object:
        noise = 0.1 * rng.standard_normal(low.shape)
        return np.clip((low + high) / 2 + noise * (high - low) / 2, low, high).astype(np.float32)

    return act


def _bounds(spec: EnvSpec) -> tuple[FloatArray, FloatArray]:
    """Returns the action's bounds, (*action shape) each, with 1 in place of infinity."""
    low, high = (
        np.clip(np.reshape(bound, spec.action.shape), -1e3, 1e3)
        for bound in (spec.action.low, spec.action.high)
    )
    unbounded = (low <= -1e3) | (high >= 1e3)
    return np.where(unbounded, -1.0, low), np.where(unbounded, 1.0, high)
