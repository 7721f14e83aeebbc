"""What can be seen of a training while it runs: the curve, and the state of progress."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rewardsmith.envs.collect import rollout
from rewardsmith.envs.fitness import load_fitness
from rewardsmith.errors import TrainingError
from rewardsmith.runs.records import CurvePoint, Unit
from rewardsmith.runs.training.files import CURVE, PROGRESS
from rewardsmith.runs.training.judging import flat, success_rate
from rewardsmith.runs.training.policy import Policy
from rewardsmith.runs.whole import write_whole
from rewardsmith.sandbox.reward import RewardBatch

Clock = Callable[[], float]
KEPT = "curve.json"
_PROGRESS_EVERY_S = 0.5


class _Means:
    """Mean reward per step since the last point."""

    def __init__(self) -> None:
        self._rows = 0
        self._sums: dict[str, float] = {}
        self._total = 0.0

    def add(self, batch: RewardBatch) -> None:
        self._rows += len(batch.total)
        self._total += float(batch.total.sum())
        for name, values in batch.components.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())

    def as_dict(self) -> dict[str, Any]:
        return {"rows": self._rows, "total": self._total, "sums": self._sums}

    def put_back(self, state: Mapping[str, Any]) -> None:
        self._rows, self._total = int(state["rows"]), float(state["total"])
        self._sums = {str(name): float(value) for name, value in state["sums"].items()}

    @property
    def total(self) -> float | None:
        return self._total / self._rows if self._rows else None

    @property
    def components(self) -> dict[str, float]:
        return {name: value / self._rows for name, value in self._sums.items()}


class CurveWatch:
    """Samples the policy ``unit.eval_points`` times; writes ``curve.jsonl`` and ``progress.json``.

    The episodes of the curve have seeds of their own: neither a training nor a judgement sees them.
    """

    def __init__(self, unit: Unit, folder: Path, *, clock: Clock = time.monotonic) -> None:
        self.points: list[CurvePoint] = []
        self.steps = 0
        self.earlier = 0  # steps of an earlier rung
        self._unit = unit
        self._folder = folder
        self._clock = clock
        self._start = clock()
        self._written = float("-inf")
        self._sampling_s = 0.0
        self._means = _Means()
        self._seeds = curve_seeds(unit)
        self._measure = load_fitness(unit.task.fitness)
        self.stage("training")

    def rewarded(self, steps: int, batch: RewardBatch) -> None:
        """Adds a rollout's rewards to the means of the coming point."""
        self.steps = steps
        self._means.add(batch)
        if self._clock() - self._written >= _PROGRESS_EVERY_S:
            self.stage("training")

    def updated(
        self, steps: int, policy: Callable[[], Policy], std: Callable[[], float | None]
    ) -> Mapping[str, float]:
        """Samples the policy if a point is due; returns what TensorBoard is to show of it."""
        self.steps = steps
        if not self._due(steps):
            return {}
        point = self._sample(steps, policy(), std())
        self.points.append(point)
        self._means = _Means()
        with (self._folder / CURVE).open("a", encoding="utf-8") as file:
            file.write(point.model_dump_json() + "\n")
        self.stage("training")
        shown = {"fitness/mean": point.fitness, "fitness/success_rate": point.success_rate}
        return {name: value for name, value in shown.items() if value is not None}

    def keep(self, checkpoint: Path) -> None:
        """Leaves in a checkpoint what the curve needs to go on as if it had never stopped."""
        points = [point.model_dump(mode="json") for point in self.points]
        state = {"steps": self.steps, "points": points, "means": self._means.as_dict()}
        write_whole(checkpoint / KEPT, json.dumps(state).encode())

    def go_on(self, checkpoint: Path) -> None:
        """Goes on with the curve that was kept in a checkpoint.

        Raises:
            TrainingError: it cannot be read.
        """
        try:
            state = json.loads((checkpoint / KEPT).read_bytes())
            self.points[:] = [CurvePoint.model_validate(point) for point in state["points"]]
            self.steps = int(state["steps"])
            self._means.put_back(state["means"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrainingError(f"{checkpoint}: no readable {KEPT}: {error}") from error
        lines = "".join(point.model_dump_json() + "\n" for point in self.points)
        write_whole(self._folder / CURVE, lines.encode(), lasting=False)
        self.earlier = self.steps

    def stage(self, name: str) -> None:
        """Replaces ``progress.json``."""
        state: dict[str, Any] = {
            "stage": name,
            "steps": self.steps,
            "total_steps": self._unit.stop or self._unit.steps,
            "steps_per_s": self._steps_per_s(),
        }
        if self.points and self.points[-1].fitness is not None:
            state["fitness"] = self.points[-1].fitness
        self._written = self._clock()
        write_progress(self._folder, state)

    def _due(self, steps: int) -> bool:
        unit = self._unit
        if unit.eval_points < 1:
            return False
        last = self.points[-1].steps if self.points else 0
        passed = int(last * unit.eval_points / unit.steps)
        return int(steps * unit.eval_points / unit.steps) > passed

    def _sample(self, steps: int, policy: Policy, std: float | None) -> CurvePoint:
        start = self._clock()
        spec = self._unit.task.env
        episodes = rollout(spec, flat(policy, spec), self._seeds) if self._seeds else ()
        scores = [self._measure(episode) for episode in episodes]
        self._sampling_s += self._clock() - start
        return CurvePoint(
            steps=steps,
            fitness=_mean([score.fitness for score in scores]),
            success_rate=success_rate(scores),
            episode_length=_mean([episode.length for episode in episodes]),
            total=self._means.total,
            components=self._means.components,
            policy_std=std,
            steps_per_s=self._steps_per_s(),
        )

    def _steps_per_s(self) -> float:
        spent = self._clock() - self._start - self._sampling_s
        return round((self.steps - self.earlier) / spent, 1) if spent > 0 else 0.0


def write_progress(folder: Path, state: Mapping[str, Any]) -> None:
    """Replaces ``progress.json``: small, and not worth waiting for the disk."""
    write_whole(folder / PROGRESS, json.dumps(state).encode(), lasting=False)


def curve_seeds(unit: Unit) -> tuple[int, ...]:
    """Returns the reset seeds of the curve's episodes, apart from training's and judgement's."""
    rng = np.random.default_rng([unit.seed, 0x6375727665])
    seeds: list[int] = []
    while len(seeds) < unit.eval_episodes_per_point:
        seed = int(rng.integers(3 * 2**30, 2**32))
        if seed not in unit.eval_seeds and seed not in seeds:
            seeds.append(seed)
    return tuple(seeds)


def _mean(values: list[float] | list[int]) -> float | None:
    return float(np.mean(values)) if values else None
