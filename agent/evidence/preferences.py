"""Which stored episodes two rewards judge most differently, and which components do it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.orders import ranks
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode, returns
from rewardsmith.envs.task import FloatArray
from rewardsmith.sandbox.reward import RewardBatch

_LEAST = 0.1  # of a deviation: a pull below makes no difference
MUCH = 0.25  # of the way from the worst to the best of the episodes


@dataclass(frozen=True)
class Preferred:
    """An episode that one reward ranks much higher than another does.

    Ranks go from 0, the least return, to 1, the highest. ``raised`` is the component that lifts
    the episode most above the others with the reward that ranks it high, ``lowered`` the one that
    presses it most below them with the other; each with how much, in standard deviations of that
    reward's returns. None where none does much.
    """

    episode: StoredEpisode
    rank: float
    other_rank: float
    raised: tuple[str, float] | None
    lowered: tuple[str, float] | None


def preferred(
    bank: Stored, reward: RewardBatch, other: RewardBatch, *, count: int = 3
) -> tuple[Preferred, ...]:
    """Returns the simulated episodes that ``reward`` ranks higher than ``other`` by ``MUCH``.

    Args:
        bank: with at least two simulated episodes, else there is nothing to rank.
        reward: values on its rows.
        other: values on the same rows.
        count: how many at most, the most disputed first.
    """
    episodes = bank.simulated
    if len(episodes) < 2:
        return ()
    mine, theirs = (_places(item.total, episodes) for item in (reward, other))
    chosen = [int(i) for i in np.argsort(theirs - mine, kind="stable")[:count]]
    up, down = _pulls(reward, episodes), _pulls(other, episodes)
    return tuple(
        Preferred(
            episode=episodes[i],
            rank=float(mine[i]),
            other_rank=float(theirs[i]),
            raised=_most({name: pull[i] for name, pull in up.items()}, 1.0),
            lowered=_most({name: pull[i] for name, pull in down.items()}, -1.0),
        )
        for i in chosen
        if mine[i] - theirs[i] > MUCH
    )


def _places(values: FloatArray, episodes: Sequence[StoredEpisode]) -> FloatArray:
    """Returns the ranks of returns, from 0 to 1, (episodes,)."""
    places: FloatArray = ranks(returns(values, episodes)) / (len(episodes) - 1)
    return places


def _pulls(reward: RewardBatch, episodes: Sequence[StoredEpisode]) -> dict[str, FloatArray]:
    """Returns how far each component moves each episode, in deviations of the whole return."""
    spread = float(np.std(returns(reward.total, episodes)))
    if spread == 0:
        return {}
    columns = {name: returns(column, episodes) for name, column in reward.components.items()}
    return {name: (column - column.mean()) / spread for name, column in columns.items()}


def _most(pulls: Mapping[str, float], sign: float) -> tuple[str, float] | None:
    """Returns the component that pulls most to one side, None if none does much."""
    name = max(pulls, key=lambda name: sign * pulls[name], default=None)
    if name is None or sign * pulls[name] < _LEAST:
        return None
    return name, float(pulls[name])
