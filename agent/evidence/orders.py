"""How far two columns put things in the same order."""

import numpy as np

from rewardsmith.envs.task import FloatArray


def spearman(first: FloatArray, second: FloatArray) -> float | None:
    """Returns Spearman's rank correlation, in [-1, 1]; equal values share their mean rank.

    Args:
        first: (n,) one number per thing, all finite.
        second: (n,) of the same things.

    Returns:
        None where it is undefined: fewer than two things, or all values of a column equal.

    Source: Spearman 1904; with ties, the correlation of the mean ranks.
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.clip(np.corrcoef(ranks(first), ranks(second))[0, 1], -1.0, 1.0))


def pairwise_accuracy(values: FloatArray, truth: FloatArray) -> float | None:
    """Returns the share of pairs that ``values`` puts in the order of ``truth``, in [0, 1].

    Pairs that are equal in ``truth`` have no order and are left out; pairs that are equal in
    ``values`` alone count one half, so that a constant gets 0.5, as guessing does.

    Args:
        values: (n,) what is to be judged, all finite.
        truth: (n,) what orders the same things rightly, all finite.

    Returns:
        None where no pair differs in ``truth``.

    Source: the trajectory preference evaluation of CARD (Sun et al. 2024), over all pairs.
    """
    first, second = np.triu_indices(len(truth), k=1)
    wanted = np.sign(truth[first] - truth[second])
    found = np.sign(values[first] - values[second])
    ordered = wanted != 0
    if not ordered.any():
        return None
    return float(np.mean((1 + wanted[ordered] * found[ordered]) / 2))


def ranks(values: FloatArray) -> FloatArray:
    """Returns the rank of each value from 0, (n,); equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count) - 1
    mean: FloatArray = last - (count - 1) / 2
    return mean[place]
