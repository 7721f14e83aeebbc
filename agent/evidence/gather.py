"""The bank as probes read it: everything that is stored, judged, and what is made of it."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rewardsmith.agent.evidence.behaviours import behaviours, neutral_action
from rewardsmith.agent.evidence.corrupted import corrupted_episodes
from rewardsmith.agent.evidence.edits import edits_of
from rewardsmith.agent.evidence.linear import linear_episodes
from rewardsmith.agent.evidence.played import Played, best_first, stored_of
from rewardsmith.agent.evidence.selection import spread_order, within
from rewardsmith.agent.evidence.stored import Kind, Stored
from rewardsmith.envs.collect import concat
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score, Task
from rewardsmith.runs.bank import LINEAR, RANDOM, Bank, BankEpisode, Shard

ROWS = 30_000
_STORED, _CORRUPTED, _EDITED = 0.55, 0.2, 0.2  # shares of the rows; behaviours take the rest
RANDOM_ROWS = 2_000
_KINDS: dict[str, Kind] = {RANDOM: "random", LINEAR: "scripted"}


def fill(bank: Bank, task: Task, *, rows: int = RANDOM_ROWS, seed: int = 0) -> None:
    """Has episodes of exploratory and of linear policies in the bank, collected once.

    Args:
        bank: of this task.
        task: whose environment is played, and whose fitness judges.
        rows: transitions of exploratory policies, at least.
        seed: of everything random.

    Raises:
        ConfigError: the environment cannot be made, or the fitness cannot be loaded.
        TrainingError: the simulation blew up, or the fitness is not finite.
    """
    bank.ensure_random(task, rows=rows, seed=seed)
    if not any(shard.policy == LINEAR for shard in bank.shards):
        judged = linear_episodes(task, seed=seed)
        bank.append(
            [episode for episode, _ in judged],
            policy=LINEAR,
            outcomes=[score.outcome for _, score in judged],
            fitness=[score.fitness for _, score in judged],
            success=[score.success for _, score in judged],
        )


def gathered(bank: Bank, task: Task, *, rows: int = ROWS, seed: int = 0) -> Stored:
    """Returns all that a bank knows as arrays; fills it first, and settles it.

    To be called between generations: what it returns then depends on the bank's policies alone, not
    on the order in which their trainings ended.

    Args:
        bank: of this task.
        task: whose fitness judges what has not been judged.
        rows: about how many there may be; of each policy the best, the worst and some between are
            taken.
        seed: of everything random; the same bank and seed give the same rows.

    Raises:
        ConfigError: the environment cannot be made, or the fitness cannot be loaded.
        StoreError: the bank is damaged.
        TrainingError: the simulation blew up, or the fitness is not finite.
    """
    fill(bank, task, seed=seed)
    bank.settle()
    played = list(_chosen(bank, task, int(_STORED * rows)))
    return _extended(task, played, rows, seed)


def _extended(task: Task, played: list[Played], rows: int, seed: int) -> Stored:
    """Returns episodes as a bank, with what is made of them: spoilt copies, behaviours, edits."""
    neutral, ranked = neutral_action(task.env, seed), best_first(played)
    spoilt, remarks = corrupted_episodes(
        task, ranked, neutral, rows=int(_CORRUPTED * rows), seed=seed
    )
    farming = behaviours(task, ranked, neutral, seed=seed)
    whole = stored_of([*played, *spoilt, *farming])
    changed, edits = edits_of(whole, task.env, rows=int(_EDITED * rows), seed=seed)
    steps = concat([Episode(0, 0.0, part, {}) for part in (whole.steps, changed)])
    return replace(whole, steps=steps, edits=edits, remarks=remarks)


def fresh_bank(task: Task, *, rows: int = ROWS, seed: int = 0) -> Stored:
    """Returns the bank that a run would begin with, for commands that have no run.

    Raises:
        ConfigError: the environment cannot be made, or the fitness cannot be loaded.
        TrainingError: the simulation blew up, or the fitness is not finite.
    """
    with tempfile.TemporaryDirectory(prefix="bank-") as folder:
        return gathered(Bank(Path(folder)), task, rows=rows, seed=seed)


def _chosen(bank: Bank, task: Task, rows: int) -> Iterator[Played]:
    """Yields the episodes that are read: all random ones, and a spread of every other policy's."""
    shards = bank.shards
    left = rows - sum(shard.rows for shard in shards if shard.policy == RANDOM)
    others = [shard for shard in shards if shard.policy != RANDOM]
    taken = _spread(others, left)
    for shard in shards:
        numbers = taken.get(shard.policy, range(len(shard.episodes)))
        if numbers:
            yield from _judged(bank, task, shard, numbers)


def _spread(shards: Sequence[Shard], rows: int) -> dict[str, list[int]]:
    """Returns, by policy, the numbers of its episodes that fit into ``rows`` all together.

    The best of every policy comes first, the newest policy's foremost; then the worst of every
    policy, then what lies between.
    """
    ranked = {shard.policy: spread_order(_fitness(shard)) for shard in reversed(shards)}
    lengths = {shard.policy: [e.length for e in shard.episodes] for shard in shards}
    longest = max((len(order) for order in ranked.values()), default=0)
    turns = [
        (policy, order[rank])
        for rank in range(longest)
        for policy, order in ranked.items()
        if rank < len(order)
    ]
    fitting = within(range(len(turns)), [lengths[name][number] for name, number in turns], rows)
    taken: dict[str, list[int]] = {shard.policy: [] for shard in shards}
    for place in fitting:
        policy, number = turns[place]
        taken[policy].append(number)
    return {policy: sorted(numbers) for policy, numbers in taken.items()}


def _fitness(shard: Shard) -> list[float]:
    return [0.0 if item.fitness is None else item.fitness for item in shard.episodes]


def _judged(bank: Bank, task: Task, shard: Shard, numbers: Sequence[int]) -> Iterator[Played]:
    episodes = bank.episodes(policy=shard.policy)
    for number in numbers:
        yield Played(
            episode=episodes[number],
            name=f"{shard.policy}/{number}",
            kind=_KINDS.get(shard.policy, "policy"),
            policy=shard.policy,
            score=_score(shard.episodes[number], episodes[number], task),
        )


def _score(known: BankEpisode, episode: Episode, task: Task) -> Score | None:
    if known.fitness is not None:
        return Score(known.fitness, known.success, known.outcome or "")
    # One cut short would be judged by its length: three steps cost less than a thousand.
    whole = episode.terminated or episode.length >= task.env.max_steps
    return judge(task, [episode])[0] if whole else None
