"""Where in an episode a component of a reward pays best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.sandbox.reward import RewardBatch

_TOP = 0.9  # of the way from the least to the highest rate: the top rate
_LEAST_STEPS = 3
_WINDOW = 0.1  # of an episode: the window looked at where the top rate never lasts


@dataclass(frozen=True)
class Stretch:
    """Steps ``first`` to ``last`` (inclusive) of an episode, in which one component pays best.

    ``seed`` is the episode's reset seed, ``rate`` the mean pay per step in the stretch and
    ``share`` what the stretch earned of all that the component earned in the episode, by size.
    """

    seed: int
    first: int
    last: int
    rate: float
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Returns the numbers by name."""
        return dict(vars(self))

    def as_text(self) -> str:
        """Returns a clause of a sentence."""
        return (
            f"most of all in steps {self.first} to {self.last} of the episode of seed {self.seed} "
            f"({self.share:.0%} of what it pays there)"
        )


def best_paid(
    component: str | None, episodes: Sequence[Episode], values: RewardBatch | None
) -> Stretch | None:
    """Returns the longest stretch at the component's top rate, None where it never pays.

    The top rate is that of the upper tenth between the least and the highest pay of all episodes.
    Where it lasts for fewer than three steps anywhere, the tenth of an episode that earns most is
    returned.

    Args:
        component: its name.
        episodes: whole episodes.
        values: the reward of every step of the episodes, one after the other.
    """
    if component is None or values is None or component not in values.components or not episodes:
        return None
    ends = np.cumsum([episode.length for episode in episodes])
    pays = np.split(values.components[component], ends[:-1])
    pay = np.concatenate(pays)
    if pay.max() <= 0.0:
        return None
    top = pay.min() + _TOP * (pay.max() - pay.min())
    found = [(*longest_run(part >= top), number) for number, part in enumerate(pays)]
    first, stop, number = max(found, key=lambda run: run[1] - run[0])
    if stop - first < _LEAST_STEPS:
        first, stop, number = max(
            ((*_richest(part), number) for number, part in enumerate(pays)),
            key=lambda run: float(pays[run[2]][run[0] : run[1]].mean()),
        )
    part, inside = pays[number], pays[number][first:stop]
    share = float(np.abs(inside).sum() / max(np.abs(part).sum(), 1e-300))
    return Stretch(episodes[number].seed, first, stop - 1, float(inside.mean()), share)


def longest_run(held: BoolArray) -> tuple[int, int]:
    """Returns first and stop (exclusive) of the longest run of true values, (0, 0) for none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    if len(starts) == 0:
        return 0, 0
    at = int(np.argmax(stops - starts))
    return int(starts[at]), int(stops[at])


def _richest(pay: FloatArray) -> tuple[int, int]:
    """First and stop of the window of a tenth of the episode that earns most."""
    size = max(1, min(len(pay), round(_WINDOW * len(pay))))
    sums = np.convolve(pay, np.ones(size), "valid")
    at = int(np.argmax(sums))
    return at, at + size
