"""What a handful of seeds does and does not say: intervals, robust means, paired comparison.

Source of the robust statistics: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of
the Statistical Precipice" (interquartile mean, stratified bootstrap, probability of improvement).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.envs.task import FloatArray

Statistic = Callable[[FloatArray], float]


@dataclass(frozen=True)
class Interval:
    """A point estimate between two bounds; ``n`` values went into it.

    ``low`` and ``high`` are infinite where ``n`` is too small for any bound.
    """

    mean: float
    low: float
    high: float
    n: int


def interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Mean of independent runs with its two-sided t interval; unbounded for a single run.

    Args:
        values: one number per seed, at least one, all finite.
        level: probability that the interval covers the true mean, in (0, 1), for normal values.

    Raises:
        ValueError: no value, or one that is not finite.

    Source: Student 1908; half width ``t(n - 1) * s / sqrt(n)`` with the unbiased variance s².
    """
    sample = _sample(values)
    mean, n = float(sample.mean()), len(sample)
    if n == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = t_quantile((1 + level) / 2, n - 1) * float(sample.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired_difference(
    first: Sequence[float], second: Sequence[float], *, level: float = 0.95
) -> Interval:
    """Mean of ``first - second``, seed by seed, with its t interval.

    Pairing removes what a seed does to both; it needs the same seeds in the same order.

    Raises:
        ValueError: the two differ in length, are empty, or hold a value that is not finite.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values: one pair per seed is wanted")
    return interval((_sample(first) - _sample(second)).tolist(), level=level)


def iqm(values: Sequence[float] | FloatArray) -> float:
    """Interquartile mean: the mean of the middle half, with fractional weights at its ends.

    Source: Agarwal et al. 2021. Where n is not a multiple of four, the two outermost values of the
    middle half count by the fraction that lies in it, so that no value is lost to rounding.
    """
    ordered = np.sort(_sample(values))
    edges = np.arange(len(ordered) + 1) / len(ordered)
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0.0, None)
    return float(np.sum(weights * ordered) / np.sum(weights))


def bootstrap(
    groups: Sequence[Sequence[float]],
    rng: np.random.Generator,
    *,
    statistic: Statistic = iqm,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic of all values, seeds resampled within each group.

    Args:
        groups: the values of each task (or of the only one), one per seed.
        rng: source of the resampling.
        statistic: maps all resampled values (n,) to a number.
        draws: number of resamplings.
        level: coverage in (0, 1).

    Source: stratified bootstrap, Agarwal et al. 2021, section 4.2: tasks are kept, seeds drawn.
    """
    samples = [_sample(group) for group in groups]
    if not samples:
        raise ValueError("no group of values to resample")
    estimates = [
        statistic(np.concatenate([rng.choice(s, size=len(s), replace=True) for s in samples]))
        for _ in range(draws)
    ]
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    everything = np.concatenate(samples)
    return Interval(statistic(everything), float(low), float(high), len(everything))


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """Chance that a random run of ``first`` beats one of ``second``; ties count one half.

    Source: Mann and Whitney 1947, the U statistic divided by the number of pairs.
    """
    x, y = _sample(first)[:, None], _sample(second)[None, :]
    return float(np.mean((x > y) + 0.5 * (x == y)))


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution, by bisection of the exact distribution function.

    Args:
        probability: in (0.5, 1).
        degrees: degrees of freedom, a whole number >= 1.
    """
    if not 0.5 < probability < 1 or degrees < 1:
        raise ValueError(f"probability {probability}, degrees {degrees}: (0.5, 1) and >= 1 wanted")
    low, high = 0.0, 1.0
    while t_probability(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if t_probability(middle, degrees) < probability else (low, middle)
        )
    return (low + high) / 2


def t_probability(t: float, degrees: int) -> float:
    """Returns P(T <= t) for t >= 0 and a whole number of degrees of freedom.

    Source: Abramowitz and Stegun 1964, formulas 26.7.3 and 26.7.4 (finite sums in the angle).
    """
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term = total = cosine if odd else 1.0
    if degrees == 1:
        return 0.5 + angle / math.pi
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2


def _sample(values: Sequence[float] | FloatArray) -> FloatArray:
    sample: FloatArray = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(sample) == 0:
        raise ValueError("no values: at least one is wanted")
    if not np.isfinite(sample).all():
        raise ValueError(f"values {sample.tolist()}: all must be finite")
    return sample
