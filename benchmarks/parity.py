"""Compares the final fitness of the trainers ``fast`` and ``ppo`` after equally many steps.

    python benchmarks/parity.py --steps 500000 --json

Both train with the environment's own reward and the presets of ``ppo``; the seeds of one are not
those of the other. Each policy is judged by the task's fitness on the same episodes. Printed is
the difference of the means, ``fast`` minus ``ppo``, with Welch's 95 % interval and its half-width
as a part of the mean of ``ppo``.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from rewardsmith.envs.collect import rollout
from rewardsmith.envs.fitness import load_fitness
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.runs.stats import t_quantile
from rewardsmith.runs.training.judging import flat
from rewardsmith.runs.training.policy import Policy
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Lane, Order, Trained, find_trainer
from rewardsmith.sandbox.reward import RewardBatch

ENVS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "InvertedDoublePendulum-v5")
FIRST_SEED = {"ppo": 0, "fast": 1000}  # by trainer: no seed counts twice
OUT = Path(__file__).parent / "results" / "parity.json"
POINTS = 50
PACKAGES = ("rewardsmith", "stable-baselines3", "torch", "jax", "numpy", "gymnasium", "mujoco")


@dataclass(frozen=True)
class Trial:
    """One training: its fitness in the end, and the mean native reward per step on the way."""

    env: str
    trainer: str
    seed: int
    steps: int
    fitness: float
    native_return: float
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Work:
    """Trainings that one process carries out: a stack of ``fast``, one of ``ppo``."""

    env: str
    trainer: str
    seeds: tuple[int, ...]
    steps: int
    episodes: int


class Curve:
    """A watch that keeps the mean reward per step of every rollout."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []

    def rewarded(self, steps: int, batch: RewardBatch) -> None:
        """Keeps a rollout's mean."""
        self._points.append((steps, float(batch.total.mean())))

    def updated(
        self, steps: int, policy: Callable[[], Policy], std: Callable[[], float | None]
    ) -> Mapping[str, float]:
        """Ignores it."""
        return {}

    def points(self) -> tuple[tuple[int, float], ...]:
        """Returns at most `POINTS` points, each the mean since the one before."""
        parts = np.array_split(np.array(self._points), min(POINTS, len(self._points)))
        return tuple((int(part[-1, 0]), round(float(part[:, 1].mean()), 6)) for part in parts)


def trials(work: Work) -> list[Trial]:
    """Trains and judges."""
    task = find_task(work.env)
    params = hyperparams(work.trainer, task.env.id)
    curves = [Curve() for _ in work.seeds]
    lanes = [
        Lane(Order(task.env, params, seed=seed, steps=work.steps), NativeReward(), curve)
        for seed, curve in zip(work.seeds, curves, strict=True)
    ]
    trainer: Any = find_trainer(work.trainer)
    if work.trainer == "fast":
        found = trainer.train_stack(lanes)
    else:
        found = [trainer.train(lane.order, lane.reward, lane.watch) for lane in lanes]
    return [
        _judged(task, work, seed, result, curve)
        for seed, result, curve in zip(work.seeds, found, curves, strict=True)
    ]


def _judged(task: Task, work: Work, seed: int, result: Any, curve: Curve) -> Trial:
    if not isinstance(result, Trained):
        raise SystemExit(f"{work.env} {work.trainer} seed {seed}: {result.text}")
    measure = load_fitness(task.fitness)
    seeds = range(10_000, 10_000 + work.episodes)
    episodes = rollout(task.env, flat(result.policy, task.env), seeds)
    return Trial(
        env=work.env,
        trainer=work.trainer,
        seed=seed,
        steps=result.steps,
        fitness=float(np.mean([measure(episode).fitness for episode in episodes])),
        native_return=float(np.mean([episode.steps.native_reward.sum() for episode in episodes])),
        curve=curve.points(),
    )


def difference(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Returns the difference of two means with its 95 % interval, Welch 1947.

    Raises:
        ValueError: a sample has fewer than two values.
    """
    if min(len(ours), len(theirs)) < 2:
        raise ValueError("two seeds of each trainer at least are wanted")
    spread = [float(np.var(sample, ddof=1)) / len(sample) for sample in (ours, theirs)]
    total = sum(spread)
    freedom = 1.0
    if total > 0:
        parts = zip(spread, (ours, theirs), strict=True)
        freedom = total**2 / sum(part**2 / (len(sample) - 1) for part, sample in parts)
    half = t_quantile(0.975, max(1, int(freedom))) * sqrt(total)
    centre = float(np.mean(ours) - np.mean(theirs))
    mean = float(np.mean(theirs))
    return {
        "difference": centre,
        "low": centre - half,
        "high": centre + half,
        "half_width": half,
        "half_width_of_mean": half / abs(mean) if mean else float("inf"),
    }


def summary(found: Sequence[Trial], measure: str = "fitness") -> list[dict[str, Any]]:
    """Returns a row per environment: both means, the difference and its interval."""
    rows = []
    for env in dict.fromkeys(trial.env for trial in found):
        ours, theirs = (
            [getattr(t, measure) for t in found if (t.env, t.trainer) == (env, trainer)]
            for trainer in ("fast", "ppo")
        )
        means = {"fast": float(np.mean(ours)), "ppo": float(np.mean(theirs))}
        rows.append({"env": env, "measure": measure, **means, **difference(ours, theirs)})
    return rows


def plan(options: argparse.Namespace) -> list[Work]:
    """Returns the trainings, those of one environment side by side."""
    works = []
    for env in options.envs:
        for trainer, count in (("ppo", options.sb3_seeds), ("fast", options.seeds)):
            seeds = tuple(range(FIRST_SEED[trainer], FIRST_SEED[trainer] + count))
            size = options.stack if trainer == "fast" else 1
            stacks = [seeds[i : i + size] for i in range(0, count, size)]
            works += [
                Work(env, trainer, stack, options.steps, options.episodes) for stack in stacks
            ]
    return works


def measured(works: Sequence[Work], processes: int, tell: Callable[[str], object]) -> list[Trial]:
    """Carries out all work, ``processes`` at a time, each on a thread of its own."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    found: list[Trial] = []
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        for done in pool.map(trials, works):
            found += done
            tell("".join(f"{t.env} {t.trainer} seed {t.seed}: {t.fitness:.4g}\n" for t in done))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns 0."""
    parser = argparse.ArgumentParser(description="Final fitness of fast and ppo at equal steps.")
    parser.add_argument("--envs", nargs="+", default=list(ENVS), metavar="ENV")
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--seeds", type=int, default=10, help="of fast")
    parser.add_argument("--sb3-seeds", type=int, default=5, help="of ppo")
    parser.add_argument("--stack", type=int, default=5, help="seeds of fast in one process")
    parser.add_argument("--episodes", type=int, default=20, help="judged, per policy")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--out", type=Path, default=OUT, help="where curves and all are written")
    options = parser.parse_args(arguments)
    if min(options.seeds, options.sb3_seeds) < 2 or options.steps < 1:
        parser.error("--seeds and --sb3-seeds: at least 2; --steps: at least 1")
    begin = time.perf_counter()
    found = measured(plan(options), options.processes, sys.stderr.write)
    rows = summary(found) + summary(found, "native_return")
    document = {
        "command": ["python", "benchmarks/parity.py", *(arguments or sys.argv[1:])],
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": {package: version(package) for package in PACKAGES},
        "wall_s": round(time.perf_counter() - begin, 1),
        "steps": options.steps,
        "results": rows,
        "trials": [asdict(trial) for trial in found],
    }
    options.out.write_text(json.dumps(document) + "\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps({k: v for k, v in document.items() if k != "trials"}) + "\n")
        return 0
    for row in rows:
        sys.stdout.write(
            "{env:28} {measure:14} fast {fast:10.4g}  ppo {ppo:10.4g}  difference {difference:9.4g}"
            " [{low:.4g}, {high:.4g}]  half-width {half_width:.4g}\n".format(**row)
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
