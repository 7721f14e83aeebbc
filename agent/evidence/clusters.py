"""Failures that are alike: a small clustering, the same for the same episodes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.judged import Judged
from rewardsmith.envs.task import FloatArray

Labels = npt.NDArray[np.int64]

MOST = 3
_APART = 0.35  # mean silhouette from which several clusters say more than one
_ROUNDS = 20
_OUTCOME = 3.0  # how far apart two endings are, in standard deviations of a feature


@dataclass(frozen=True)
class Cluster:
    """Episodes that went alike; the ``medoid`` is the one nearest to all others."""

    medoid: Judged
    members: tuple[Judged, ...]


def clusters(episodes: Sequence[Judged]) -> tuple[Cluster, ...]:
    """Returns the episodes in at most three clusters, the largest first; none of no episodes.

    k-medoids on standardised features (ending, length, mean and last value of each field), begun
    with the most central episode and those farthest from all chosen; as many clusters as give the
    best mean silhouette, one unless that is at least 0.35.

    Source: Kaufman and Rousseeuw 1987 (k-medoids), Rousseeuw 1987 (silhouette).
    """
    if not episodes:
        return ()
    apart = _distances(features(episodes))
    tried = [_grouped(apart, count) for count in range(2, min(MOST, len(episodes) - 1) + 1)]
    scored = [(silhouette(apart, labels), labels) for labels in tried]
    score, labels = max(
        scored, key=lambda item: item[0], default=(0.0, np.zeros(0, dtype=np.int64))
    )
    if score < _APART:
        labels = np.zeros(len(episodes), dtype=np.int64)
    found = []
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for inside in sorted(groups, key=lambda inside: (-len(inside), inside[0])):
        medoid = int(inside[_central(apart[np.ix_(inside, inside)])])
        found.append(Cluster(episodes[medoid], tuple(episodes[int(at)] for at in inside)))
    return tuple(found)


def features(episodes: Sequence[Judged]) -> FloatArray:
    """Returns what is compared of each episode, (episodes, features), in standard deviations.

    All fields together count as much as the length, however many there are.
    """
    fields = [
        [part for n in e.fields for part in (e.columns[n].mean(), e.columns[n][-1])]
        for e in episodes
    ]
    lengths = np.log([[episode.length] for episode in episodes])
    outcomes = sorted({episode.summary.outcome for episode in episodes})
    ended = np.array([[float(e.summary.outcome == name) for name in outcomes] for e in episodes])
    state = _standard(np.array(fields)) / np.sqrt(max(1, len(fields[0])))
    parts: list[FloatArray] = [ended * _OUTCOME / np.sqrt(2.0), _standard(lengths), state]
    return np.concatenate(parts, axis=1)


def silhouette(apart: FloatArray, labels: Labels) -> float:
    """Returns the mean silhouette of a clustering, in [-1, 1]; an episode by itself counts 0.

    Args:
        apart: (n, n) distances.
        labels: (n,) cluster of each, at least two of them.
    """
    names = np.unique(labels)
    if len(names) < 2:
        return 0.0
    total = 0.0
    for at, label in enumerate(labels):
        same = (labels == label) & (np.arange(len(labels)) != at)
        if not same.any():
            continue
        own = apart[at, same].mean()
        other = min(apart[at, labels == name].mean() for name in names if name != label)
        total += (other - own) / max(own, other, 1e-12)
    return float(total / len(labels))


def _grouped(apart: FloatArray, count: int) -> Labels:
    """The cluster of each episode, (n,)."""
    medoids = [_central(apart)]
    while len(medoids) < count:
        medoids.append(int(np.argmax(apart[:, medoids].min(axis=1))))
    for _ in range(_ROUNDS):
        labels = np.argmin(apart[:, medoids], axis=1)
        inside = [np.flatnonzero(labels == label) for label in range(count)]
        better = [
            int(part[_central(apart[np.ix_(part, part)])]) if len(part) else old
            for part, old in zip(inside, medoids, strict=True)
        ]
        if better == medoids:
            break
        medoids = better
    nearest: Labels = np.argmin(apart[:, medoids], axis=1)
    return nearest


def _distances(points: FloatArray) -> FloatArray:
    difference: FloatArray = np.linalg.norm(points[:, None] - points[None, :], axis=-1)
    return difference


def _central(apart: FloatArray) -> int:
    return int(np.argmin(apart.sum(axis=1)))


def _standard(values: FloatArray) -> FloatArray:
    spread = values.std(axis=0)
    standard: FloatArray = (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    return standard
