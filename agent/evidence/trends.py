"""Whether a quantity rises over a training: robust tests over all seeds at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.envs.task import FloatArray

Course = tuple[FloatArray, FloatArray]  # (points,) steps and (points,) values of one seed, finite


@dataclass(frozen=True)
class Trend:
    """A trend of several seeds together.

    ``tau`` is Kendall's, in [-1, 1]: 1 if every later value is higher. ``rises`` and ``falls`` are
    one-sided p-values. ``change`` is the Theil-Sen slope times the steps from first to last point,
    in the quantity's own unit. ``points`` counts the values of all seeds.
    """

    tau: float
    rises: float
    falls: float
    change: float
    points: int

    def as_dict(self) -> dict[str, float]:
        """Returns the numbers by name."""
        return dict(vars(self))


def trend(courses: Sequence[Course]) -> Trend | None:
    """Returns the common trend of a quantity over the seeds, None with fewer than three points.

    Values are compared within a seed alone, so that seeds on different levels do not hide a trend
    that they share. Points of one training depend on each other, so that the p-values are too
    small: they say what is worth a warning, not what is proven.

    Source: Mann 1945 and Kendall 1975 (normal approximation with correction for continuity and
    ties), summed over seeds as over seasons in Hirsch, Slack and Smith 1982; slope of Theil 1950
    and Sen 1968, the median over all pairs of all seeds.
    """
    used = [(x, y) for x, y in courses if len(y) > 2]
    if not used:
        return None
    pairs = [_pairs(x, y) for x, y in used]
    score = sum(float(np.sign(rise).sum()) for _, rise in pairs)
    most = sum(len(rise) for _, rise in pairs)
    variance = sum(_variance(y) for _, y in used)
    slopes = np.concatenate([rise / run for run, rise in pairs])
    span = float(np.median([x[-1] - x[0] for x, _ in used]))
    return Trend(
        tau=score / most,
        rises=_p(score, variance),
        falls=_p(-score, variance),
        change=float(np.median(slopes)) * span,
        points=sum(len(y) for _, y in used),
    )


def _pairs(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Steps and values of every later point less those of every earlier one, (pairs,) each."""
    first, second = np.triu_indices(len(y), 1)
    return x[second] - x[first], y[second] - y[first]


def _variance(y: FloatArray) -> float:
    """Variance of Kendall's score where there is no trend."""
    _, ties = np.unique(y, return_counts=True)
    n = len(y)
    tied = float(np.sum(ties * (ties - 1) * (2 * ties + 5)))
    return (n * (n - 1) * (2 * n + 5) - tied) / 18


def _p(score: float, variance: float) -> float:
    """Chance of a score as high as this where there is no trend."""
    if variance <= 0.0 or score <= 0.0:
        return 1.0 if score < 0.0 else 0.5
    return 0.5 * math.erfc((score - 1.0) / math.sqrt(2.0 * variance))
