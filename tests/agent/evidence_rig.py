"""Small banks for the tests of probes: episodes given as columns, no simulator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardsmith.agent.evidence.stored import Edit, Kind, Stored, StoredEpisode
from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.sandbox.reward import RewardBatch


@dataclass(frozen=True)
class Played:
    """One episode: its fields over T + 1 states, (T + 1, *shape) each, and what came of it."""

    states: Mapping[str, Any]
    kind: Kind = "random"
    policy: str = "random"
    fitness: float | None = None
    success: bool | None = None
    terminated: bool = False
    action: Any = None  # (T, *action shape), zeros of shape (T, 1) by default


def bank_of(played: Sequence[Played], edits: Sequence[Edit] = ()) -> Stored:
    """Returns a bank of these episodes; ``edits`` get copies of the rows that they are of."""
    whole = concat([Episode(0, 0.05, _steps(item), {}) for item in played])
    episodes, first = [], 0
    for number, item in enumerate(played):
        length = _length(item)
        episodes.append(
            StoredEpisode(
                name=f"{item.policy}/{number}",
                kind=item.kind,
                policy=item.policy,
                first=first,
                stop=first + length,
                fitness=item.fitness,
                success=item.success,
                outcome=None
                if item.success is None
                else ("success" if item.success else "failure"),
            )
        )
        first += length
    return Stored(steps=whole, episodes=tuple(episodes), edits=tuple(edits))


def rewards_of(bank: Stored, **components: Any) -> RewardBatch:
    """Returns a batch whose total is the sum of these columns."""
    parts = {name: np.asarray(column, dtype=np.float64) for name, column in components.items()}
    total = np.sum(list(parts.values()), axis=0)
    assert total.shape == (bank.steps.rows,)
    return RewardBatch(total=total, components=parts)


def _length(item: Played) -> int:
    return len(next(iter(item.states.values()))) - 1


def _steps(item: Played) -> Steps:
    length = _length(item)
    columns = {name: np.asarray(value, dtype=np.float64) for name, value in item.states.items()}
    last = np.arange(length) == length - 1
    return Steps(
        num_envs=1,
        after={name: value[1:] for name, value in columns.items()},
        before={name: value[:-1] for name, value in columns.items()},
        action=np.zeros((length, 1)) if item.action is None else np.asarray(item.action),
        terminated=last & item.terminated,
        truncated=last & (not item.terminated),
        starts=np.arange(length) == 0,
        native_reward=np.zeros(length),
    )
