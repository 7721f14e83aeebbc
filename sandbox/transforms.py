"""Shaping operators: pure functions that make one reward out of a program's components.

They act on this side, on arrays that a worker has already answered. ``parts`` is (components,
rows), a component a row; each operator is one choice of `rewardsmith.sandbox.shaping.Shaping`.
"""

import numpy as np

from rewardsmith.envs.task import BoolArray, FloatArray

LEAST = 1e-6  # what a component counts at least in a geometric mean


def summed(parts: FloatArray) -> FloatArray:
    """Returns the sum, (rows,): a large term makes up for any other.

    "Fast in the wrong direction" still earns; that is what the other operators are for.
    """
    total: FloatArray = parts.sum(axis=0)
    return total


def geomean(parts: FloatArray, *, signed: bool = False) -> FloatArray:
    """Returns the geometric mean, (rows,): all components must be there at once ("and").

    It is exp(mean(log(max(c, 1e-6)))), so that one missing component takes nearly everything. With
    ``signed`` it is the form of the paper, s * prod(abs(c)) ** (1 / n) with s = 1 where no
    component is negative and -1 elsewhere. That one jumps where a sign changes, and where one
    component is negative, more of the others makes the reward worse.

    Raises:
        ValueError: a component is negative, and ``signed`` was not asked for.

    Source: Kinesthetic Reward Combination, Lucy-SKG (Moschopoulos et al. 2023).
    """
    if signed:
        with np.errstate(divide="ignore"):  # log(0) = -inf: a zero makes the product zero
            size = np.exp(np.log(np.abs(parts)).mean(axis=0))
        found: FloatArray = np.where((parts >= 0).all(axis=0), size, -size)
        return found
    _refuse_negative(parts, "geomean")
    mean: FloatArray = np.exp(np.log(np.maximum(parts, LEAST)).mean(axis=0))
    return mean


def logsigmoid(parts: FloatArray, means: FloatArray, scales: FloatArray) -> FloatArray:
    """Returns sum of log sigmoid((c - mean) / scale), (rows,), at most 0: a soft "and".

    A component far above its reference adds nothing more, one far below it costs in proportion: the
    worst counts. It is negative on every step, so an early end pays unless something else does.

    Args:
        parts: (components, rows).
        means: (components,) what counts as half satisfied: the mean over a baseline policy.
        scales: (components,) > 0, in the same units: the deviation over a baseline policy.

    Source: Transforming and Combining Rewards for Aligning LLMs (Wang et al. 2024).
    """
    satisfied = (parts - means[:, None]) / scales[:, None]
    total: FloatArray = -np.logaddexp(0.0, -satisfied).sum(axis=0)
    return total


def softmin(parts: FloatArray, temperature: float = 0.1) -> FloatArray:
    """Returns sum of softmax(-c / T) * c, (rows,): nearly the least component, yet smooth.

    Args:
        parts: (components, rows), in one unit: the least is sought among them.
        temperature: > 0, in that unit; near 0 it is the minimum, far above all of them the mean.

    Source: PURE (Cheng et al. 2025), there over the steps of an answer, here over components.
    """
    lowest = parts.min(axis=0)
    weights = np.exp((lowest - parts) / temperature)
    total: FloatArray = (weights * parts).sum(axis=0) / weights.sum(axis=0)
    return total


def harmonic(parts: FloatArray) -> FloatArray:
    """Returns the harmonic mean n / sum(1 / c), (rows,): between the minimum and the geomean.

    Where a component is 0, so is the mean, its limit there.

    Raises:
        ValueError: a component is negative.

    Source: lambda-Harmonic rewards (2024), with equal weights.
    """
    _refuse_negative(parts, "harmonic")
    some = (parts > 0).all(axis=0)
    safe = np.where(some, parts, 1.0)
    return np.where(some, len(parts) / (1.0 / safe).sum(axis=0), 0.0)


def _refuse_negative(parts: FloatArray, name: str) -> None:
    if (parts < 0).any():
        raise ValueError(f"{name} of {parts.min():.6g}; components of 0 or more are wanted")


def signs(sparse: FloatArray, dense: FloatArray) -> FloatArray:
    """Returns sgn(sparse) + 0.1 * sgn(dense), (rows,): one of 1.1, 1, 0.9, 0.1, 0 and negatives.

    The program says what is good, not how good: ``sparse`` is positive at the goal, negative at a
    serious failure and 0 elsewhere, ``dense`` is the direction of progress.

    Source: Auto MC-Reward (Li et al. 2024), section 3.
    """
    return np.sign(sparse) + 0.1 * np.sign(dense)


def centred_sigmoid(
    total: FloatArray, mean: float, scale: float, steepness: float = 1.0
) -> FloatArray:
    """Returns sigmoid(k * (r - mean) / scale), (rows,), between 0 and 1.

    Growth is fast around the reference and ends far above it, where rewards are hacked. It is
    positive on every step, so staying alive pays.

    Args:
        total: (rows,) the reward to bound.
        mean: its mean over a baseline policy: 0.5 comes out there.
        scale: its deviation over a baseline policy, > 0.
        steepness: k > 0.

    Source: PAR, Preference As Reward (Fu et al. 2025), with one reference.
    """
    return np.exp(-np.logaddexp(0.0, -steepness * (total - mean) / scale))


def potential_form(
    after: FloatArray, before: FloatArray, terminated: BoolArray, gamma: float
) -> FloatArray:
    """Returns gamma * Phi(s') - Phi(s), (rows,): guidance that changes no preference.

    Discounted and summed over an episode it is gamma^T Phi(s_T) - Phi(s_0), whatever happened in
    between: going back and forth earns nothing. A terminal state has no potential: else an end
    would be paid.

    Args:
        after: (rows,) Phi of the state after the step.
        before: (rows,) Phi of the state before it.
        terminated: (rows,) whether the task ended the episode there (a time limit does not count).
        gamma: the discount that the trainer learns with, in [0, 1].

    Source: Ng, Harada and Russell 1999; terminal states as in Grzes 2017.
    """
    return gamma * np.where(terminated, 0.0, after) - before


def gate_opens(was_open: bool, rate: float, on: float, off: float) -> bool:
    """Returns whether a penalty counts now: from ``on`` upwards yes, below ``off`` no.

    Between the two it stays as it was, so that a rate that trembles switches nothing. First the
    task, then economy: a penalty that counts from the start teaches to do nothing.

    Args:
        was_open: whether it counted so far.
        rate: share of successes among the last episodes, in [0, 1].
        on: the rate from which it counts.
        off: the rate below which it ceases to, less than ``on``.

    Source: GRPO-lambda (Dai et al. 2025), there for a penalty on length.
    """
    return rate >= (off if was_open else on)
