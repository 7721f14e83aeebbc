"""Whether a reward's parts can teach anything: what varies, what counts, what is pinned."""

from collections.abc import Mapping

import numpy as np

from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.evidence.thresholds import DEFAULTS, Thresholds
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

NAME = "health"
_FEW_VALUES = 4  # a column of fewer distinct values is a flag or a count, not a pinned curve


def health(thresholds: Thresholds = DEFAULTS) -> Probe:
    """Returns the probe of a reward's total and components as columns of numbers.

    Fails a total that is the same in every simulated step. Warns of a component that alone makes
    the total vary, is pinned at an end of its range, never moves the total, or is the same in every
    step where no episode ends early; and of a total too small or too large for PPO, whose
    normaliser divides by the deviation of returns. The score is the number of components that vary
    and count, over all.
    """

    def probe(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        rows = bank.rows_of(bank.simulated)
        total = values.total[rows]
        if np.ptp(total) == 0:
            return _constant(total)
        parts = {name: column[rows] for name, column in values.components.items()}
        facts = _facts(total, parts, thresholds)
        ends = bool(bank.steps.terminated[rows].any())
        warnings = [*_scale(total, thresholds), *_odd(facts, thresholds, ends=ends)]
        sound = [name for name, fact in facts.items() if fact["std"] > 0 and fact["used"]]
        return Evidence(
            probe=NAME,
            verdict="warn" if warnings else "pass",
            score=len(sound) / len(parts) if parts else None,
            facts={"total": _moments(total), "components": facts},
            text=" ".join(warnings or [_sound(facts, thresholds)]),
        )

    return probe


def _constant(total: FloatArray) -> Evidence:
    at = f" ({total[0]:.3g})" if len(total) else ""
    text = f"The total is the same in every step{at}: it teaches nothing. Let it depend on a field."
    return Evidence(probe=NAME, verdict="fail", score=0.0, text=text)


def _facts(
    total: FloatArray, parts: Mapping[str, FloatArray], thresholds: Thresholds
) -> dict[str, dict[str, float | bool]]:
    """Returns each component's moments, its shares of size and of spread, and how it is used."""
    size = sum(float(np.abs(column).mean()) for column in parts.values()) or 1.0
    spread = sum(float(np.std(column)) for column in parts.values()) or 1.0
    reach = sum(float(np.ptp(column)) for column in parts.values()) or 1.0
    unused = unused_components(total, parts)
    return {
        name: _moments(column)
        | {
            "share": float(np.abs(column).mean()) / size,
            "spread_share": float(np.std(column)) / spread,
            "reach_share": float(np.ptp(column)) / reach,
            "pinned": _pinned(column, thresholds.pinned_width),
            "used": name not in unused,
        }
        for name, column in parts.items()
    }


def _moments(column: FloatArray) -> dict[str, float | bool]:
    return {
        "mean": float(column.mean()),
        "std": float(np.std(column)),
        "min": float(column.min()),
        "max": float(column.max()),
    }


def _pinned(column: FloatArray, width: float) -> float:
    """Returns the share of steps at one end of the range; 0 of columns with few distinct values."""
    near = width * float(np.ptp(column))
    if near == 0 or len(np.unique(column)) < _FEW_VALUES:
        return 0.0
    return float(
        max(np.mean(column <= column.min() + near), np.mean(column >= column.max() - near))
    )


def unused_components(total: FloatArray, parts: Mapping[str, FloatArray]) -> frozenset[str]:
    """Returns the varying components that a total does without.

    Only a total that is a weighted sum of its components tells: then the weights are found by least
    squares, and an unused one has weight 0. Of any other total nothing is claimed.
    """
    varying = {name: column for name, column in parts.items() if np.std(column) > 0}
    if not varying:
        return frozenset()
    scaled = np.stack([(c - c.mean()) / np.std(c) for c in varying.values()], axis=1)
    centred = total - total.mean()
    weights = np.linalg.lstsq(scaled, centred, rcond=None)[0]
    rounding = 1e-6 * float(np.std(total))
    if np.std(centred - scaled @ weights) > rounding:
        return frozenset()
    return frozenset(n for n, w in zip(varying, weights, strict=True) if abs(w) < rounding)


def _scale(total: FloatArray, thresholds: Thresholds) -> list[str]:
    std = float(np.std(total))
    if std < thresholds.least_std:
        return [f"The total hardly varies (deviation {std:.2g} per step): scale it up to about 1."]
    if std > thresholds.most_std:
        return [f"The total is very large (deviation {std:.2g} per step): scale it to about 1."]
    return []


def _odd(
    facts: Mapping[str, Mapping[str, float | bool]], thresholds: Thresholds, *, ends: bool
) -> list[str]:
    found = []
    for name, fact in facts.items():
        if not fact["used"]:
            found.append(f"`{name}` does not move the total: add it, or leave it out.")
        elif fact["std"] == 0 and fact["max"] != 0 and not ends:
            found.append(f"`{name}` is {fact['max']:.3g} in every step: it changes nothing.")
        elif fact["pinned"] > thresholds.pinned:
            found.append(
                f"`{name}` is pinned at an end of its range in {fact['pinned']:.0%} of the steps: "
                "make it less steep, or move its bounds."
            )
        # A bonus that is paid once in a thousand steps has little spread, but reach.
        alone = min(fact["spread_share"], fact["reach_share"])
        if len(facts) > 1 and alone > thresholds.dominates:
            found.append(
                f"`{name}` makes {alone:.0%} of what varies: the other components hardly count; "
                "if they should, scale them up."
            )
    return found


def _sound(facts: Mapping[str, Mapping[str, float | bool]], thresholds: Thresholds) -> str:
    small = [n for n, f in facts.items() if f["share"] < thresholds.negligible and f["std"] > 0]
    silent = [n for n, f in facts.items() if f["std"] == 0 and f["max"] == 0]
    told = ["The total varies, and so do its components."]
    if not facts:
        told = ["The total varies; it names no components, so none can be told apart."]
    if small:
        told.append(f"Too small to matter on these steps: {', '.join(small)}.")
    if silent:
        told.append(f"Zero on all of these steps: {', '.join(silent)}.")
    return " ".join(told)
