"""Arithmetic of the calibration: what a probe's score says of fitness, and what a gate would do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardsmith.agent.evidence.orders import spearman
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.records import Evidence

DRAWS = 2_000
GOOD = 0.8  # of the way from the random policy to the best of an environment
BATCH = 8  # candidates of a generation, for the regret of a search that screens


@dataclass(frozen=True)
class Row:
    """One trained reward: its fitness, 0 for a random policy's and 1 for the environment's best."""

    env: str
    name: str
    fitness: float
    level: float
    evidence: Mapping[str, Evidence]


def correlation(rows: Sequence[Row], score: Callable[[Row], float | None]) -> dict[str, Any]:
    """Returns the mean over environments of Spearman's correlation between a score and fitness.

    Rewards are compared within an environment alone. The 95 % interval is of a bootstrap over the
    rewards of each environment (percentiles of `DRAWS` draws).
    """
    columns = _columns(rows, score)
    by_env = {env: spearman(found[0], found[1]) for env, found in columns.items()}
    known = [value for value in by_env.values() if value is not None]
    if not known:
        return {"mean": None, "low": None, "high": None, "by_env": by_env, "rewards": 0}
    rng = np.random.default_rng(0)
    drawn = [_drawn(columns, rng) for _ in range(DRAWS)]
    low, high = np.percentile([value for value in drawn if value is not None], [2.5, 97.5])
    return {
        "mean": float(np.mean(known)),
        "low": float(low),
        "high": float(high),
        "by_env": by_env,
        "rewards": sum(len(found[0]) for found in columns.values()),
    }


def _columns(
    rows: Sequence[Row], score: Callable[[Row], float | None]
) -> dict[str, tuple[FloatArray, FloatArray]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        value = score(row)
        if value is not None:
            found.setdefault(row.env, []).append((value, row.fitness))
    return {
        env: (np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs]))
        for env, pairs in found.items()
    }


def _drawn(
    columns: Mapping[str, tuple[FloatArray, FloatArray]], rng: np.random.Generator
) -> float | None:
    found = []
    for scores, fitness in columns.values():
        places = rng.integers(len(scores), size=len(scores))
        found.append(spearman(scores[places], fitness[places]))
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def screened(rows: Sequence[Row], refuses: Callable[[Row], bool]) -> dict[str, Any]:
    """Returns what a gate saves and what it loses.

    ``saved`` is the share of trainings not done; ``good_lost`` the share of the good rewards
    (level >= `GOOD`) that are refused. ``regret`` is the mean, over generations of `BATCH` rewards
    drawn from one environment, of the best level among all less the best among those let through
    (a random policy's level, 0, if none is), with the 95 % interval of a bootstrap over rewards.
    """
    refused = np.array([refuses(row) for row in rows])
    good = np.array([row.level >= GOOD for row in rows])
    rng = np.random.default_rng(0)
    regrets = [_regret(rows, refused, rng) for _ in range(DRAWS // 4)]
    low, high = np.percentile(regrets, [2.5, 97.5])
    return {
        "rewards": len(rows),
        "saved": float(refused.mean()),
        "good": int(good.sum()),
        "good_lost": int((good & refused).sum()),
        "lost": [f"{r.env} {r.name}" for r, no in zip(rows, refused & good, strict=True) if no],
        "regret": {"mean": float(np.mean(regrets)), "low": float(low), "high": float(high)},
        "random_gate_regret": float(
            np.mean([_regret(rows, rng.permutation(refused), rng) for _ in range(DRAWS // 4)])
        ),
    }


def _regret(
    rows: Sequence[Row], refused: np.ndarray[Any, np.dtype[np.bool_]], rng: np.random.Generator
) -> float:
    """Returns the mean regret over generations drawn from a resample of each environment."""
    found = []
    for env in dict.fromkeys(row.env for row in rows):
        places = np.array([k for k, row in enumerate(rows) if row.env == env])
        pool = rng.choice(places, size=len(places))
        for _ in range(8):
            batch = rng.choice(pool, size=min(BATCH, len(pool)), replace=False)
            best = max(rows[k].level for k in batch)
            through = max((rows[k].level for k in batch if not refused[k]), default=0.0)
            found.append(max(0.0, best - max(through, 0.0)))
    return float(np.mean(found))
