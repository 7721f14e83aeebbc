"""What probes read: stored episodes as arrays, and what is known of each.

The rows of a bank are of three sorts, told apart by the kind of their episode: steps that a
simulator really took (``random``, ``scripted``, ``policy``, ``corrupted``), steps composed of
stored states that show what farming a reward would look like (``behaviour``), and single steps with
one field changed (`Edit`). A program is asked once for all of them, in one call of its worker.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import FloatArray

Kind = Literal["random", "scripted", "policy", "corrupted", "behaviour"]
SIMULATED: tuple[Kind, ...] = ("random", "scripted", "policy", "corrupted")


@dataclass(frozen=True)
class StoredEpisode:
    """One episode of a bank: its rows ``first`` to ``stop`` (exclusive), and what came of it.

    ``policy`` says whose it is: a unit's id, ``random``, ``linear``, a corruption or a behaviour by
    its name. ``success`` and ``fitness`` are the task's, of the whole episode; None where it was
    not judged, as random ones that were cut before their end are not. A corrupted episode names in
    ``of`` the stored one that it was made from.
    """

    name: str
    kind: Kind
    policy: str
    first: int
    stop: int
    fitness: float | None = None
    success: bool | None = None
    outcome: str | None = None
    of: str | None = None

    @property
    def length(self) -> int:
        """Number of steps T."""
        return self.stop - self.first


@dataclass(frozen=True)
class Edit:
    """A stored step with one value changed: row ``row`` is row ``of`` but for ``field``.

    ``shift`` is the change in the field's own unit, ``spreads`` the same in standard deviations of
    the field over the bank. ``index`` is the place of the changed value in a field that is no
    single number, () in one that is.
    """

    row: int
    of: int
    field: str
    index: tuple[int, ...]
    shift: float
    spreads: float


@dataclass(frozen=True)
class Stored:
    """A bank as arrays: the rows of all episodes, one after the other, then those of the edits.

    ``steps.num_envs`` is 1; ``steps.starts`` is true at the first row of an episode and at every
    edit. ``steps`` holds the hidden fields, too: a worker is sent the card's fields alone.
    ``remarks`` say in words what the bank lacks, if anything, and why.
    """

    steps: Steps
    episodes: tuple[StoredEpisode, ...]
    edits: tuple[Edit, ...] = ()
    remarks: tuple[str, ...] = ()

    def of(self, *kinds: Kind) -> tuple[StoredEpisode, ...]:
        """Returns the episodes of these kinds, in order."""
        return tuple(episode for episode in self.episodes if episode.kind in kinds)

    @property
    def simulated(self) -> tuple[StoredEpisode, ...]:
        """The episodes that a simulator really played."""
        return self.of(*SIMULATED)

    def rows_of(self, episodes: Iterable[StoredEpisode]) -> npt.NDArray[np.int64]:
        """Returns the row numbers of some episodes, (rows,)."""
        parts = [np.arange(episode.first, episode.stop) for episode in episodes]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def discounted_return(values: FloatArray, gamma: float) -> float:
    """Returns sum of gamma^t values[t] over an episode's steps, (T,) -> float."""
    return float(values @ gamma ** np.arange(len(values)))


def returns(
    values: FloatArray, episodes: Iterable[StoredEpisode], gamma: float = 1.0
) -> FloatArray:
    """Returns the discounted return of each episode, (episodes,).

    Args:
        values: (rows,) a column of rewards over the whole bank.
        episodes: those wanted.
        gamma: discount per step, in [0, 1].
    """
    return np.array([discounted_return(part, gamma) for part in _cut(values, episodes)])


def mean_rewards(values: FloatArray, episodes: Iterable[StoredEpisode]) -> FloatArray:
    """Returns the mean reward per step of each episode, (episodes,): free of its length."""
    return np.array([part.mean() for part in _cut(values, episodes)])


def _cut(values: FloatArray, episodes: Iterable[StoredEpisode]) -> Iterator[FloatArray]:
    return (values[episode.first : episode.stop] for episode in episodes)
