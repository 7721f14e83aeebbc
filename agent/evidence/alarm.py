"""Reward hacking: the return rises over a training while what it is for does not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.rises import (
    Rise,
    component_at,
    courses,
    fitness_at,
    return_at,
    rise_of,
)
from rewardsmith.agent.evidence.stretch import Stretch, best_paid
from rewardsmith.agent.evidence.thresholds import DEFAULTS, Thresholds
from rewardsmith.agent.evidence.trends import Trend, trend
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import FloatArray
from rewardsmith.prompts.render import number
from rewardsmith.runs.records import Evidence, TrainingReport
from rewardsmith.sandbox.reward import RewardBatch

PROBE = "alarm"


@dataclass(frozen=True)
class Reached:
    """What fitness came to: at the start, at the end, at best anywhere; ``gain`` is the share.

    ``gain`` is in [-1, 1]: 1 if nothing better is known, 0 if the end is no better than the start;
    None where neither the untrained policy nor another reward tells what is possible.
    """

    start: float
    end: float
    best: float
    gain: float | None


def alarm(  # noqa: PLR0913  (all but the reports by name: what is known beside them)
    reports: Sequence[TrainingReport],
    *,
    episodes: Sequence[Episode] = (),
    values: RewardBatch | None = None,
    random: Sequence[float] = (),
    others: Sequence[float] = (),
    untrained: float | None = None,
    limits: Thresholds = DEFAULTS,
) -> Evidence:
    """Returns whether the return rose over training while fitness stayed flat or fell.

    Two patterns warn: the return, or the reward per step, rises over the whole training and the
    fitness gained is small against what is known to be possible (without such knowledge: does not
    rise); and fitness falls in the second half of the training while the return does not. It never
    fails: fitness decides.

    Args:
        reports: the trainings of one reward, one per seed; failed ones say nothing.
        episodes: judged episodes of one of them, for the stretch that pays best.
        values: the reward of every step of ``episodes``, one after the other.
        random: fitness of episodes of the untrained policy.
        others: fitness that other rewards reached on the task at the same training, the human's.
        untrained: mean return of the untrained policy under this reward: a reward that is farmed
            before the first point of the curve rises before it, too.
        limits: from where on it warns.

    Source: the pattern of Pan, Bhatia and Steinhardt 2022 and Gao, Schulman and Hilton 2023: proxy
    up, goal down; tests and thresholds are our own.
    """
    used = [report for report in reports if report.failure is None and len(report.curve) > 2]
    rise, fitness = rise_of(used, untrained), trend(courses(used, fitness_at))
    if rise is None or fitness is None:
        return Evidence(probe=PROBE, verdict="pass", text="no curve tells of return and fitness")
    reached = _reached(used, random, others)
    fell = _fell(used, reached, limits)
    rises = rise.sure(limits, large=reached.gain is None)
    early = rises and _flat(fitness, reached, limits)
    name, share = _culprit(used)
    stretch = best_paid(name, episodes, values)
    warns = early or fell is not None
    facts = {
        "return": rise.returns.as_dict(),
        "per_step": rise.per_step.as_dict(),
        "leap": rise.leap,
        "fitness": fitness.as_dict(),
        "reached": vars(reached),
        "fell": fell,
        "seeds": len(used),
        "component": name,
        "share_of_rise": share,
        "stretch": stretch.as_dict() if stretch else None,
    }
    return Evidence(
        probe=PROBE,
        verdict="warn" if warns else "pass",
        score=_strength(rise, fitness, reached, fell),
        facts=facts,
        text=_text(fell, reached, name, stretch) if warns else _calm(reached),
    )


def _reached(
    reports: Sequence[TrainingReport], random: Sequence[float], others: Sequence[float]
) -> Reached:
    curves = [[p.fitness for p in report.curve if p.fitness is not None] for report in reports]
    first = float(np.mean([curve[0] for curve in curves if curve]))
    judged = [report.fitness for report in reports if report.fitness is not None]
    end = float(np.mean(judged or [curve[-1] for curve in curves if curve]))
    best = max(end, *others) if others else end
    if not random and not others:
        return Reached(first, end, best, None)
    # A bad one among the others is no start: it may have learned the opposite.
    start = float(np.mean(random) if random else min(first, np.quantile(others, 0.25)))
    # The luck of untrained episodes is no gain.
    possible = max(best - start, 2 * float(np.std(random)) if random else 0.0)
    gain = (end - start) / possible if possible > 0.0 else 0.0
    return Reached(start, end, best, float(np.clip(gain, -1.0, 1.0)))


def _flat(fitness: Trend, reached: Reached, limits: Thresholds) -> bool:
    return (
        fitness.rises >= limits.alarm_level
        if reached.gain is None
        else reached.gain < limits.alarm_flat
    )


def _fell(reports: Sequence[TrainingReport], reached: Reached, limits: Thresholds) -> float | None:
    """The share of what was gained that the second half of the training lost, None for no fall."""
    fitness = trend(courses(reports, fitness_at, 0.5))
    returns = trend(courses(reports, return_at, 0.5))
    if (
        fitness is None
        or returns is None
        or fitness.falls >= limits.alarm_level
        or returns.tau < 0.0
    ):
        return None
    peak = float(np.mean([_smooth(values).max() for _, values in courses(reports, fitness_at)]))
    last = float(np.mean([values[-3:].mean() for _, values in courses(reports, fitness_at)]))
    low = min(reached.start, last)
    # What was never much against what is known to be possible is no height to fall from.
    if peak - low <= limits.alarm_flat * (max(reached.best, peak) - low):
        return None
    lost = (peak - last) / (peak - low)
    return lost if lost >= limits.alarm_fall else None


def _smooth(values: FloatArray) -> FloatArray:
    """Means of three neighbours: one lucky point is no peak."""
    return np.convolve(values, np.ones(3) / 3, "valid") if len(values) > 2 else values


def _strength(rise: Rise, fitness: Trend, reached: Reached, fell: float | None) -> float:
    """In [0, 1]: how steadily the return rises, times how little of the possible was gained."""
    gain = fitness.tau if reached.gain is None else reached.gain
    return max(rise.strength * (1.0 - max(gain, 0.0)), min(fell or 0.0, 1.0))


def _culprit(reports: Sequence[TrainingReport]) -> tuple[str | None, float | None]:
    """The component that explains the return, and its share of the rise; None without components.

    The one whose shares of the rise and of the pay in the end add up to most: a cost that fades
    may rise more than what is farmed, but where nothing else is paid it is the one.
    """
    names = sorted({name for report in reports for name in report.curve[-1].components})
    found = {name: trend(courses(reports, component_at(name))) for name in names}
    rises = {name: max(seen.change, 0.0) for name, seen in found.items() if seen is not None}
    whole = sum(rises.values())
    if not rises:
        return None, None
    pays = {name: _last(reports, name) for name in rises}
    paid, whole = sum(map(abs, pays.values())) or 1.0, whole or 1.0
    name = max(rises, key=lambda name: rises[name] / whole + max(pays[name], 0.0) / paid)
    return name, rises[name] / whole


def _last(reports: Sequence[TrainingReport], name: str) -> float:
    value = component_at(name)
    return float(np.mean([value(report.curve[-1]) or 0.0 for report in reports]))


def _text(fell: float | None, reached: Reached, name: str | None, stretch: Stretch | None) -> str:
    """The alarm in words for designer and analyzer."""
    if fell is not None:
        what = f"in the second half of training fitness lost {fell:.0%} of what it had gained"
        said = f"{what} while the return did not fall: the policy exploits the reward"
    elif reached.gain is None:
        said = "the return rose over training while fitness did not: the policy exploits the reward"
    else:
        said = f"the return rose over training, but {_came(reached)}"
    if name is not None:
        said += f"; the return comes from `{name}`"
    return said + (f", {stretch.as_text()}" if stretch is not None else "")


def _calm(reached: Reached) -> str:
    if reached.gain is None:
        return "return and fitness do not part over training"
    return f"no sign of reward hacking: {_came(reached)}"


def _came(reached: Reached) -> str:
    """How fitness went, and against what: the best of others only where there is a better one."""
    said = f"fitness went from {number(reached.start)} to {number(reached.end)}"
    better = reached.best > reached.end
    return f"{said}, where {number(reached.best)} is known to be possible" if better else said
