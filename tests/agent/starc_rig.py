"""Banks and rewards for the tests of the STARC distance: walks in the plane, no simulator."""

from typing import Any

import numpy as np
from evidence_rig import Played

from rewardsmith.agent.evidence.starc import GAMMA
from rewardsmith.agent.evidence.stored import Kind, Stored
from rewardsmith.envs.task import FloatArray


def walks(count: int = 60, length: int = 40, *, kind: Kind = "random", **more: Any) -> list[Played]:
    """Walks about the origin of the plane; the distance to it is a field of its own."""
    rng = np.random.default_rng([count, length])
    found = []
    for _ in range(count):
        place = rng.standard_normal((length + 1, 2))
        for step in range(length):
            place[step + 1] = 0.9 * place[step] + 0.4 * place[step + 1]
        states = {"place": place, "distance": np.linalg.norm(place, axis=1)}
        action = rng.standard_normal((length, 2))
        found.append(Played(states, kind=kind, action=action, **more))
    return found


def near(bank: Stored) -> FloatArray:
    effort: FloatArray = np.sum(bank.steps.action**2, axis=-1)
    return -bank.steps.after["distance"] - 0.1 * effort


def shaping(bank: Stored, name: str, *, falls_at_end: bool = True) -> FloatArray:
    """gamma * field(after) - field(before); nothing follows a terminal state, if so wanted."""
    goes_on = ~bank.steps.terminated | (not falls_at_end)
    return GAMMA * goes_on * bank.steps.after[name] - bank.steps.before[name]
