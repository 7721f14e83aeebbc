"""Trainings and judged episodes for tests, given as numbers: no simulator, no trainer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rewardsmith.envs.step import Episode, Steps
from rewardsmith.runs.records import CurvePoint, EpisodeSummary, TrainingReport


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
