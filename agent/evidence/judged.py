"""Judged episodes as named columns: what the simulator did, and what a reward paid for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.runs.records import EpisodeSummary
from rewardsmith.sandbox.reward import RewardBatch

REWARD = "reward."  # before a component's name: it may be that of a field
TOTAL = REWARD + "total"


@dataclass(frozen=True)
class Judged:
    """One judged episode.

    ``columns`` maps names to (T,) values after each step: the card's fields, a vector's entries as
    ``name[0]``, the same of ``action``; ``reward.total`` and ``reward.<component>`` where the
    reward was asked. No hidden field is among them. ``fields`` are those names that are no reward.
    """

    summary: EpisodeSummary
    columns: Mapping[str, FloatArray]

    @property
    def length(self) -> int:
        """Number of steps T."""
        return self.summary.length

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the columns that hold the state."""
        return tuple(n for n in self.columns if not n.startswith(REWARD) and n[:7] != "action[")

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the columns that hold what the reward's components pay."""
        return tuple(n for n in self.columns if n.startswith(REWARD) and n != TOTAL)


def judged(
    env: EnvSpec,
    episodes: Sequence[Episode],
    summaries: Sequence[EpisodeSummary],
    values: RewardBatch | None = None,
) -> tuple[Judged, ...]:
    """Returns the stored episodes of a judgement with what is known of each.

    Args:
        env: whose card says which fields may be seen.
        episodes: those that are stored, the first of the judged ones.
        summaries: of all judged episodes, in the same order.
        values: the reward of every step of ``episodes``, one after the other.
    """
    ends = np.cumsum([0, *(episode.length for episode in episodes)])
    found = []
    for at, (episode, summary) in enumerate(zip(episodes, summaries, strict=False)):
        columns = dict(_columns(env, episode))
        if values is not None:
            rows = slice(ends[at], ends[at + 1])
            columns |= {REWARD + name: v[rows] for name, v in values.components.items()}
            columns[TOTAL] = values.total[rows]
        found.append(Judged(summary, columns))
    return tuple(found)


def _columns(env: EnvSpec, episode: Episode) -> Iterator[tuple[str, FloatArray]]:
    for field in env.fields:
        yield from _flat(field.name, episode.steps.after[field.name])
    if env.action.count is None:
        yield from _flat("action", np.asarray(episode.steps.action, dtype=np.float64))
    else:
        yield "action[0]", np.asarray(episode.steps.action, dtype=np.float64).reshape(-1)


def _flat(name: str, values: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    if values.ndim == 1:
        yield name, values
        return
    for at in np.ndindex(values.shape[1:]):
        yield f"{name}[{','.join(map(str, at))}]", values[(slice(None), *at)]


def failed(episodes: Sequence[Judged]) -> tuple[Judged, ...]:
    """Returns the failed episodes, worst first; where success is not defined, the worse half."""
    ordered = sorted(episodes, key=lambda e: (e.summary.fitness, e.summary.seed))
    found = [e for e in ordered if e.summary.success is False]
    if not found and any(e.summary.success is None for e in ordered):
        found = ordered[: len(ordered) // 2]
    return tuple(found)


def best(episodes: Sequence[Judged]) -> Judged:
    """Returns the episode of the highest fitness, the first of equals."""
    return max(episodes, key=lambda episode: episode.summary.fitness)
