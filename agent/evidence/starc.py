"""The STARC distance between rewards: how different what they prefer is.

It is 0 for the same preference, about 1.41 for unrelated ones and 2 for opposed ones, whatever the
scale, offset and potential shaping of the rewards.

A reward is made canonical by taking out the potential shaping that explains most of it. Two
canonical rewards of unit size are then compared.

Source: Skalse et al. 2024, "STARC: A General Framework For Quantifying Differences Between Reward
Functions": the minimal canonicalisation in the L2 norm. There it is a projection over all states;
here it is a regression on stored transitions, with potentials from a fixed basis. A potential
outside the basis is not taken out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.potentials import Basis, features_of, sizes_of
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode
from rewardsmith.envs.task import FloatArray

GAMMA = 0.99  # where a trainer has none by that name, or none is named
DIRECTIONS = 128  # random directions of the state in the basis
RIDGE = 1e-8  # per row, on columns of unit RMS
MOST_ROWS = 30_000
DRAWS = 400  # of the bootstrap
LEAST_ROWS = 4  # to fit on, per potential
# A residual above: the fit says of rows that it has not seen what is not there. A reward without
# any shaping is left with a little more than 1, so that 1 would refuse what needs no fit.
TOO_LITTLE = 2.0
NO_PREFERENCE = 1e-3  # a residual below: shaping and nothing else

_TIME = "time since the start"  # no field can have this name
Rows = npt.NDArray[np.int64]
Family = list[StoredEpisode]  # an episode and its spoilt copies: what they share counts once


@dataclass(frozen=True)
class Undecided:
    """Why there is no distance: too few transitions, or a reward that prefers nothing."""

    reason: Literal["too_few", "no_preference"]
    text: str


@dataclass(frozen=True)
class Distance:
    """A distance in [0, 2] between the bounds of 95 % of resampled sets of episodes."""

    value: float
    low: float
    high: float


def starc_facts(found: Distance | Undecided) -> dict[str, Any]:
    """Returns a distance with its interval as JSON has them, or why there is none."""
    if isinstance(found, Undecided):
        return {"distance": None, "interval": None, "undecided": found.reason}
    return {"distance": found.value, "interval": [found.low, found.high], "undecided": None}


@dataclass(frozen=True)
class Canonical:
    """Rewards without their shaping, on transitions that the fit of the shaping has not seen.

    ``values`` is (rows, rewards), each up to its scale; ``family`` (rows,) the number of each row's
    family, from 0: an episode and its spoilt copies. ``residual[name]`` is the RMS of the canonical
    reward over that of the reward without its offset. ``fit_rows`` were fitted on, with
    ``potentials`` functions of the state.
    """

    names: tuple[str, ...]
    values: FloatArray
    family: Rows
    residual: Mapping[str, float]
    fit_rows: int
    potentials: int

    def undecided(self, name: str) -> Undecided | None:
        """Returns why this reward can be compared with no other, None if it can."""
        residual = self.residual[name]
        if residual > TOO_LITTLE:
            return _too_few(self.fit_rows, self.potentials)
        if residual == 0.0:
            text = f"{name} is constant on the stored transitions: it prefers nothing among them"
            return Undecided("no_preference", text)
        if residual < NO_PREFERENCE:
            text = (
                f"{name} is potential shaping and nothing else ({residual:.1g} of it is left "
                "without): the best policy of every other reward is as good for it. "
                "Add a term for what is wanted"
            )
            return Undecided("no_preference", text)
        return None

    def distance(self, first: str, second: str, *, seed: int = 0) -> Distance | Undecided:
        """Returns how far two of the rewards are apart, with an interval over episodes.

        Args:
            first: one of ``names``.
            second: another.
            seed: of the resampling of episodes.
        """
        refused = self.undecided(first) or self.undecided(second)
        if refused is not None:
            return refused
        sums = self._sums(self.names.index(first), self.names.index(second))
        count = len(sums)
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS) @ sums
        low, high = np.quantile(_apart(drawn), [0.025, 0.975])
        return Distance(float(_apart(sums.sum(axis=0))), float(low), float(high))

    def _sums(self, first: int, second: int) -> FloatArray:
        """Returns each family's sums of squares and of products, (families, 3)."""
        one, two = self.values[:, first], self.values[:, second]
        parts = [np.bincount(self.family, product) for product in (one**2, two**2, one * two)]
        return np.stack(parts, axis=1)


def canonicalise(
    bank: Stored,
    rewards: Mapping[str, FloatArray],
    *,
    gamma: float = GAMMA,
    timed: bool = False,
    seed: int = 0,
) -> Canonical | Undecided:
    """Takes the potential shaping out of rewards, all in one solve.

    The shaping is fitted on three quarters of the simulated episodes; what is left of the rewards
    is computed on the other quarter. Spoilt copies stay with their episode. Composed episodes and
    edits are no transitions of the environment and take no part.

    Args:
        bank: stored rows; at most ``MOST_ROWS`` of them are used, those of random policies first.
        rewards: (rows,) each, over the whole bank.
        gamma: the discount of the training, in (0, 1).
        timed: potentials may depend on the time since the start, for rewards with memory; what
            comes out is then an approximation.
        seed: of the choice of episodes and of the random directions.

    Returns:
        ``Undecided`` where there are fewer transitions than the fit needs.
    """
    rng = np.random.default_rng(seed)
    fit, held = _split(bank, rng)
    rows = bank.rows_of(episode for family in (*fit, *held) for episode in family)
    cut = sum(map(_steps, fit))
    if len(held) < 2 or cut < LEAST_ROWS * DIRECTIONS:
        return _too_few(cut, DIRECTIONS)
    shaping = _shaping(bank, rows, gamma=gamma, timed=timed, rng=rng)
    if cut < LEAST_ROWS * shaping.shape[1]:
        return _too_few(cut, shaping.shape[1])
    whole = _unit(np.stack([column[rows] for column in rewards.values()], axis=1))
    values = whole - _offset(shaping[:, 0], whole, cut)
    left = values[cut:] - shaping[cut:] @ _fitted(shaping[:cut], values[:cut])
    return Canonical(
        names=tuple(rewards),
        values=left,
        family=np.repeat(np.arange(len(held)), [_steps(family) for family in held]),
        residual=dict(zip(rewards, _share(left, values[cut:], whole[cut:]).tolist(), strict=True)),
        fit_rows=cut,
        potentials=shaping.shape[1],
    )


def _too_few(rows: int, potentials: int) -> Undecided:
    text = (
        f"too few transitions: {rows} do not tell what of a reward is shaping by {potentials} "
        "potentials; 2,000 or more of exploring policies are wanted"
    )
    return Undecided("too_few", text)


def _split(bank: Stored, rng: np.random.Generator) -> tuple[list[Family], list[Family]]:
    """Returns the families to fit on, three of four, and those to judge on."""
    known: dict[str, Family] = {}
    for episode in bank.simulated:
        known.setdefault(episode.of or episode.name, []).append(episode)
    families = list(known.values())
    # Policies take turns in a bank, so that every fourth would be one policy's: draw.
    drawn = [families[index] for index in rng.permutation(len(families))]
    drawn.sort(key=lambda family: family[0].kind != "random")  # exploration tells most of states
    ends = np.cumsum([_steps(family) for family in drawn])
    kept = [family for family, end in zip(drawn, ends, strict=True) if end <= MOST_ROWS]
    kept = [kept[index] for index in rng.permutation(len(kept))]
    quarter = -(-len(kept) // 4)
    return kept[quarter:], kept[:quarter]


def _steps(family: Family) -> int:
    return sum(episode.length for episode in family)


def _shaping(
    bank: Stored, rows: Rows, *, gamma: float, timed: bool, rng: np.random.Generator
) -> FloatArray:
    """Returns gamma * psi(after) - psi(before) for each potential psi, (rows, potentials).

    A terminal state has no potential; one at which only the time was up has.
    """
    after, before = (
        {name: column[rows] for name, column in side.items()}
        for side in (bank.steps.after, bank.steps.before)
    )
    if timed:
        time = _steps_since_start(bank)[rows]
        after, before = after | {_TIME: time + 1.0}, before | {_TIME: time}
    features = features_of(after), features_of(before)
    sizes = sizes_of(after), sizes_of(before)
    basis = Basis.of(np.vstack(features), np.vstack(sizes), DIRECTIONS, rng)
    shaping = basis.potentials(features[0], sizes[0])
    shaping *= (gamma * ~bank.steps.terminated[rows])[:, None]
    shaping -= basis.potentials(features[1], sizes[1])
    return shaping


def _unit(columns: FloatArray) -> FloatArray:
    """Returns columns of largest value 1, so that no square overflows."""
    size = np.abs(columns).max(axis=0)
    return columns / np.where(size > 0, size, 1.0)


def _offset(constant: FloatArray, values: FloatArray, cut: int) -> FloatArray:
    """Returns what shaping by a constant potential explains of ``values``, (rows, rewards).

    Unless episodes terminate, this is the mean. Taken out first, lest a large one be all of a
    reward's size, and lest the ridge leave a part of it.
    """
    known = constant[:cut]
    found: FloatArray = np.outer(constant, known @ values[:cut] / (known @ known))
    return found


def _steps_since_start(bank: Stored) -> FloatArray:
    time = np.zeros(bank.steps.rows)
    for episode in bank.episodes:
        time[episode.first : episode.stop] = np.arange(episode.length)
    return time


def _fitted(shaping: FloatArray, values: FloatArray) -> FloatArray:
    """Returns argmin |values - shaping w|^2 + RIDGE * rows * |w|^2 with columns of unit RMS.

    Without the unit the constant column, of entries gamma - 1, would be ridged away.
    """
    rows = len(shaping)
    square = shaping.T @ shaping
    size = np.sqrt(np.diag(square) / rows)
    size[size == 0] = 1.0
    square = square / np.outer(size, size) + RIDGE * rows * np.eye(len(size))
    found: FloatArray = np.linalg.solve(square, (shaping.T @ values) / size[:, None])
    return found / size[:, None]


def _share(left: FloatArray, values: FloatArray, whole: FloatArray) -> FloatArray:
    """Returns RMS(left) / RMS(values) by column; 0 where the whole is but an offset."""
    size = _rms(values)
    nothing = size <= 1e-9 * _rms(whole)
    return np.where(nothing, 0.0, _rms(left) / np.where(nothing, 1.0, size))


def _rms(columns: FloatArray) -> FloatArray:
    size: FloatArray = np.sqrt(np.mean(columns**2, axis=0))
    return size


def _apart(sums: FloatArray) -> FloatArray:
    """Returns RMS(one / RMS(one) - two / RMS(two)) from sums (..., 3) of squares and products."""
    scale = np.sqrt(sums[..., 0] * sums[..., 1])
    alike = sums[..., 2] / np.where(scale > 0, scale, 1.0)
    apart: FloatArray = np.sqrt(np.clip(2 - 2 * alike, 0.0, 4.0))
    return apart
