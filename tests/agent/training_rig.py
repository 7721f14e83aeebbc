"""Trainings and judged episodes for tests, given as numbers: no simulator, no trainer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.runs.records import (
    Arm,
    Candidate,
    CurvePoint,
    EpisodeSummary,
    Proposal,
    RunState,
    TrainingReport,
)
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

TASK = find_task("rewardsmith/Point-v0")
_FLAT = [0.5, 0.1, 0.3, 0.5, 0.2, 0.4, 0.3, 0.5, 0.1, 0.3]


def training(
    fitness: Sequence[float],
    *,
    seed: int = 0,
    length: float = 100.0,
    episodes: Sequence[EpisodeSummary] = (),
    **components: Sequence[float],
) -> TrainingReport:
    """A training with this fitness and these components, mean per step, at its curve's points."""
    points = tuple(
        CurvePoint(
            steps=1000 * (at + 1),
            fitness=value,
            success_rate=None,
            episode_length=length,
            total=sum(column[at] for column in components.values()),
            components={name: column[at] for name, column in components.items()},
        )
        for at, value in enumerate(fitness)
    )
    return TrainingReport(
        unit=f"g0.0.s{seed}",
        seed=seed,
        steps=1000 * len(points),
        fitness=fitness[-1],
        curve=points,
        episodes=tuple(episodes),
    )


def summary(
    fitness: float,
    *,
    seed: int = 0,
    success: bool | None = None,
    outcome: str = "time limit",
    length: int = 10,
    **components: float,
) -> EpisodeSummary:
    """What one judged episode came to, with the returns of its components."""
    return EpisodeSummary(
        seed=seed,
        fitness=fitness,
        success=success,
        outcome=outcome,
        length=length,
        reward_return=sum(components.values()),
        component_returns=components,
        fields={},
    )


def episode(
    length: int, fields: Mapping[str, Any] | None = None, *, seed: int = 0, fell: bool = False
) -> Episode:
    """An episode of so many steps, ``fields`` (T, ...) after each; before the first they are 0."""
    after = {name: np.asarray(value, np.float64) for name, value in (fields or {}).items()}
    before = {
        name: np.concatenate([np.zeros_like(value[:1]), value[:-1]])
        for name, value in after.items()
    }
    last = np.arange(length) == length - 1
    steps = Steps(
        num_envs=1,
        after=after,
        before=before,
        action=np.zeros((length, 1)),
        terminated=last & fell,
        truncated=last & (not fell),
        starts=np.arange(length) == 0,
        native_reward=np.zeros(length),
    )
    return Episode(seed, 0.05, steps, {})


class Paying:
    """A reward source that pays one per step and tells whether it was closed."""

    def __init__(self, failure: Failure | None = None) -> None:
        self.failure = failure
        self.closed = False

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        ones = np.ones(steps.rows)
        return self.failure or RewardBatch(total=ones, components={"bounce": ones})

    def close(self) -> None:
        self.closed = True


def stored(count: int = 3, length: int = 20) -> tuple[Episode, ...]:
    """Episodes of the toy task in which every field goes from 0 to 1."""
    columns = {
        field.name: np.tile(np.linspace(0.0, 1.0, length), (*field.shape[::-1], 1)).T
        for field in TASK.env.fields
    }
    columns |= {field.name: np.zeros((length, *field.shape)) for field in TASK.env.hidden}
    return tuple(episode(length, columns, seed=seed) for seed in range(count))


def candidate(identity: str, *reports: TrainingReport, parent: str = "") -> Candidate:
    """A candidate with these trainings."""
    proposal = Proposal(kind="improve", parents=(parent,)) if parent else Proposal(kind="fresh")
    return Candidate(
        id=identity, generation=0, index=0, proposal=proposal, program="p", reports=reports
    )


def hacked(identity: str = "g0.0", **more: Any) -> Candidate:
    """A candidate whose return rises while its fitness does not."""
    episodes = [summary(float(i), seed=i, length=20, bounce=20.0) for i in range(3)]
    return candidate(
        identity, training(_FLAT, episodes=episodes, bounce=[0.1 * i for i in range(10)]), **more
    )


def state(*candidates: Candidate, arms: Sequence[Arm] = ()) -> RunState:
    """A run that knows these candidates."""
    return RunState(run="r", task="t", candidates=candidates, arms=tuple(arms))
