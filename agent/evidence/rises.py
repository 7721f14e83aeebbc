"""Whether what a reward pays rises over its trainings, by trend or by leap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.thresholds import Thresholds
from rewardsmith.agent.evidence.trends import Course, Trend, trend
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.records import CurvePoint, TrainingReport

Value = Callable[[CurvePoint], float | None]
_DIGITS = 3  # of the largest return: less is no rise, but rounding


@dataclass(frozen=True)
class Rise:
    """What rises: the return of an episode, the reward per step.

    ``leap`` is how far the later half of the training lies above its start, by the size of the
    larger: what is farmed from early on has no trend any more. ``sizes`` are those of the largest
    return and reward per step.
    """

    returns: Trend
    per_step: Trend
    leap: float
    sizes: tuple[float, float]

    def sure(self, limits: Thresholds, *, large: bool) -> bool:
        """Tells whether one of the two surely rises; ``large`` wants it to rise by much."""
        trends = zip((self.returns, self.per_step), self.sizes, strict=True)
        sure = [(item, size) for item, size in trends if item.rises < limits.alarm_level]
        if large:
            return any(item.change > limits.alarm_rise * size for item, size in sure)
        return bool(sure) or self.leap >= limits.alarm_leap

    @property
    def strength(self) -> float:
        """In [0, 1]: how steadily, or how far, the one rises that rises more."""
        return float(np.clip(max(self.returns.tau, self.per_step.tau, self.leap), 0.0, 1.0))


def rise_of(reports: Sequence[TrainingReport], untrained: float | None = None) -> Rise | None:
    """Returns how what a reward pays rose, None without a curve that tells.

    Args:
        reports: trainings with a curve.
        untrained: mean return of the untrained policy, taken for the start of the leap.
    """
    returns, per_step = courses(reports, return_at), courses(reports, total_at)
    sizes = (_size(returns), _size(per_step))
    trends = [trend([_rounded(one, size) for one in some])
              for some, size in zip((returns, per_step), sizes, strict=True)]  # fmt: skip
    if trends[0] is None or trends[1] is None:
        return None
    known = [values for _, values in returns if len(values)]
    first = float(np.mean([v[0] for v in known])) if untrained is None else untrained
    late = float(np.mean([np.median(v[len(v) // 2 :]) for v in known]))
    larger = max(abs(first), abs(late))
    leap = (late - first) / larger if larger > 0.0 else 0.0
    return Rise(trends[0], trends[1], leap, sizes)


def courses(reports: Sequence[TrainingReport], value: Value, part: float = 0.0) -> list[Course]:
    """Returns the course of a quantity in each training after the first ``part`` of its points."""
    found = []
    for report in reports:
        points = report.curve[int(part * len(report.curve)) :]
        known = [(point.steps, seen) for point in points if (seen := value(point)) is not None]
        table = np.array(known, dtype=np.float64).reshape(-1, 2)
        found.append((table[:, 0], table[:, 1]))
    return found


def return_at(point: CurvePoint) -> float | None:
    """Returns the mean reward per step times the length of an episode."""
    return None if point.total is None else point.total * (point.episode_length or 1.0)


def total_at(point: CurvePoint) -> float | None:
    """Returns the mean reward per step."""
    return point.total


def fitness_at(point: CurvePoint) -> float | None:
    """Returns the mean fitness of the point's episodes."""
    return point.fitness


def component_at(name: str) -> Value:
    """Returns what tells a component's part of the return at a point."""
    return lambda p: (
        p.components[name] * (p.episode_length or 1.0) if name in p.components else None
    )


def _size(some: Sequence[Course]) -> float:
    return max((float(np.abs(values).max()) for _, values in some if len(values)), default=0.0)


def _rounded(one: Course, size: float) -> Course:
    """The course in steps of a thousandth of the largest value."""
    unit = size * 10.0**-_DIGITS
    values: FloatArray = one[1] if unit == 0.0 else np.round(one[1] / unit) * unit
    return one[0], values
