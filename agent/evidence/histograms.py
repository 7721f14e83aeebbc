"""How a reward and its components are distributed over stored steps, by how the episodes ended."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from rewardsmith.agent.evidence.stored import Stored, StoredEpisode
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.pictures import Finding, Group, Histogram
from rewardsmith.sandbox.reward import RewardBatch

BINS = 30
TAILS = (0.5, 99.5)  # percent; what lies beyond is counted in the outermost bins
ALIKE = 0.1  # std between the means of two outcomes; less tells them not apart
_THIRDS = ("lowest third of fitness", "middle third of fitness", "highest third of fitness")


def played(bank: Stored) -> tuple[StoredEpisode, ...]:
    """Returns the episodes that a policy played as they were: none corrupted, none composed."""
    return bank.of("random", "scripted", "policy")


def by_outcome(episodes: Sequence[StoredEpisode]) -> dict[str, tuple[StoredEpisode, ...]]:
    """Returns the episodes by outcome, the worst first.

    Failure and success where both are known of; else thirds of the fitness where there are at
    least six judged episodes that differ; else all as one.
    """
    judged = [e for e in episodes if e.success is not None]
    failed = tuple(e for e in judged if not e.success)
    succeeded = tuple(e for e in judged if e.success)
    if failed and succeeded:
        return {"failure": failed, "success": succeeded}
    ranked = sorted((e for e in episodes if e.fitness is not None), key=lambda e: e.fitness or 0.0)
    if len({e.fitness for e in ranked}) < 3 or len(ranked) < 6:
        return {"all episodes": tuple(episodes)}
    edges = [round(k * len(ranked) / 3) for k in range(4)]
    return {name: tuple(ranked[a:b]) for name, (a, b) in zip(_THIRDS, pairwise(edges), strict=True)}


def histograms_of(values: RewardBatch, bank: Stored) -> tuple[Histogram, ...]:
    """Returns the total's histogram and then each component's, over the episodes played.

    Args:
        values: the reward of every row of the bank.
        bank: with at least one episode that a policy played.
    """
    groups = by_outcome(played(bank))
    whole = _histogram("total", values.total, bank, groups, is_total=True)
    parts = [_histogram(name, v, bank, groups) for name, v in values.components.items()]
    return (whole, *parts)


def _histogram(
    name: str,
    column: FloatArray,
    bank: Stored,
    groups: dict[str, tuple[StoredEpisode, ...]],
    *,
    is_total: bool = False,
) -> Histogram:
    found = {key: column[bank.rows_of(episodes)] for key, episodes in groups.items()}
    edges = _edges(np.concatenate(list(found.values())))
    return Histogram(
        column=name,
        is_total=is_total,
        edges=tuple(edges.tolist()),
        groups=tuple(
            Group(
                name=key,
                episodes=len(groups[key]),
                rows=len(part),
                mean=float(part.mean()),
                shares=_shares(part, edges),
            )
            for key, part in found.items()
        ),
        findings=tuple(_findings(found)),
    )


def _edges(column: FloatArray) -> FloatArray:
    """Returns the edges of the bins, (bins + 1,); none where nothing varies."""
    low, high = np.percentile(column, TAILS)
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = column.min(), column.max()
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        return np.zeros(0)
    return np.linspace(low, high, BINS + 1)


def _shares(part: FloatArray, edges: FloatArray) -> tuple[float, ...]:
    if not len(edges):
        return ()
    counts, _ = np.histogram(np.clip(part, edges[0], edges[-1]), edges)
    return tuple((counts / len(part)).tolist())


def _findings(found: dict[str, FloatArray]) -> Iterator[Finding]:
    whole = np.concatenate(list(found.values()))
    std = float(whole.std())
    if std < 1e-9 * max(1.0, float(np.abs(whole).max())):
        text = f"constant: {whole[0]:.4g} in every stored step"
        yield Finding(kind="constant", text=text, size=0.0)
        return
    if len(found) == 1:
        return
    names = list(found)
    worst, best = (float(found[name].mean()) for name in (names[0], names[-1]))
    size = (best - worst) / std
    means = f"mean {best:.3g} per step in {names[-1]}, {worst:.3g} in {names[0]}"
    if abs(size) < ALIKE:
        yield Finding(kind="alike", text=f"does not tell them apart: {means}", size=size)
    else:
        word = "higher" if size > 0 else "lower"
        text = f"{abs(size):.2g} of its std {word} in {names[-1]}: {means}"
        yield Finding(kind="apart", text=text, size=size)
