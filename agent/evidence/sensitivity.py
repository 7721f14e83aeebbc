"""How a reward answers to each field: stored steps asked again with one value changed.

Source: causal against spurious edits of Crome (Srivastava et al. 2025), here of numbers: a field is
moved by a share of its standard deviation, and nothing else of the step.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rewardsmith.agent.evidence.orders import spearman
from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.stored import Stored, mean_rewards
from rewardsmith.agent.evidence.thresholds import DEFAULTS, Thresholds
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

NAME = "sensitivity"
MEMORY = "memory"
_SHOWN = 4
Element = tuple[str, tuple[int, ...]]


def sensitivity(parameters: Collection[str] = (), thresholds: Thresholds = DEFAULTS) -> Probe:
    """Returns the probe of the change of the total when one field is changed.

    The facts hold for each element of each field that moves the total: the mean size of its effect
    in standard deviations of the total per standard deviation of the field, its sign, and the share
    of edits that moved anything. Warned of are fields that the program takes and that move nothing,
    and those that move something in few places only. The score is the share of the program's fields
    that move the total.

    Args:
        parameters: what the program takes, by name; those of a bank's edited fields are judged.
        thresholds: from where on it warns.
    """

    def probe(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        deltas = _deltas(values.total, bank, parameters)
        unit = float(np.std(values.total[bank.rows_of(bank.simulated)]))
        if not deltas or unit == 0:
            text = "No step could be asked again with one value changed: nothing is claimed."
            return Evidence(probe=NAME, verdict="pass", text=text)
        table = {key: _effect(pairs, unit, thresholds) for key, pairs in deltas.items()}
        taken = _taken(table, parameters)
        facts: dict[str, Any] = {
            "effects": {_called(key): fact for key, fact in table.items() if fact["moved"]},
            "dead": [name for name, moved in taken.items() if moved == 0],
            "saturated": [n for n, moved in taken.items() if 0 < moved < thresholds.saturated],
            **_doubts(table, bank, thresholds),
        }
        return Evidence(
            probe=NAME,
            verdict="warn" if facts["dead"] or facts["saturated"] else "pass",
            score=1 - len(facts["dead"]) / len(taken) if taken else None,
            facts=facts,
            text=_text(facts),
        )

    return probe


def _deltas(
    total: FloatArray, bank: Stored, parameters: Collection[str]
) -> dict[Element, list[tuple[float, float]]]:
    """Returns (shift in standard deviations, change of the total) of every edit, by element.

    An edited step begins with fresh memory. Of a program with memory it is therefore compared with
    another edit of the same step, of a field that the program does not take.
    """
    plain = {edit.of: float(total[edit.of]) for edit in bank.edits}
    if MEMORY in parameters:
        others = [edit for edit in bank.edits if edit.field not in parameters]
        plain = {edit.of: float(total[edit.row]) for edit in others}
    found: dict[Element, list[tuple[float, float]]] = {}
    for edit in bank.edits:
        if edit.of in plain and edit.spreads != 0:
            pair = edit.spreads, float(total[edit.row]) - plain[edit.of]
            found.setdefault((edit.field, edit.index), []).append(pair)
    return found


def _effect(
    pairs: Sequence[tuple[float, float]], unit: float, thresholds: Thresholds
) -> dict[str, float]:
    spreads, changes = np.array(pairs).T
    slopes = changes / spreads / unit
    moved = np.abs(changes) > thresholds.moves * unit
    return {
        "effect": float(np.abs(slopes).mean()),
        "slope": float(slopes.mean()),
        "moved": float(moved.mean()),
        "edits": len(pairs),
    }


def _taken(
    table: Mapping[Element, Mapping[str, float]], parameters: Collection[str]
) -> dict[str, float]:
    """Returns the largest share of moving edits over the elements of each field that is taken."""
    found: dict[str, float] = {}
    for (field, _), fact in table.items():
        if field in parameters:
            found[field] = max(found.get(field, 0.0), fact["moved"])
    return found


def _doubts(
    table: Mapping[Element, Mapping[str, float]], bank: Stored, thresholds: Thresholds
) -> dict[str, list[str]]:
    """Returns the strong elements whose effect does not go with fitness, or goes against it.

    A nuisance is one whose mean over an episode, and whose mean distance from its usual value, say
    nothing of the episode's fitness; "against" one whose mean rises with fitness while the reward
    falls with it, or the other way round. Both are hints: a field may matter within an episode.
    """
    judged = [e for e in bank.simulated if e.fitness is not None]
    doubts: dict[str, list[str]] = {"nuisance": [], "against": []}
    if len(judged) < thresholds.least_episodes:
        return doubts
    fitness = np.array([float(e.fitness or 0.0) for e in judged])
    strongest = max(fact["effect"] for fact in table.values())
    strong = [
        key for key, fact in table.items() if fact["effect"] > thresholds.nuisance * strongest
    ]
    for key in (key for key in strong if key[0] in bank.steps.after):
        column = _column(bank, key)
        rises = spearman(mean_rewards(column, judged), fitness)
        spread = np.abs(column - np.median(column))
        known = [abs(r or 0.0) for r in (rises, spearman(mean_rewards(spread, judged), fitness))]
        slope = table[key]["slope"]
        if max(known) < thresholds.unrelated:
            doubts["nuisance"].append(_called(key))
        elif known[0] >= thresholds.related and slope * (rises or 0.0) < 0:
            doubts["against"].append(_called(key))
    return doubts


def _column(bank: Stored, key: Element) -> FloatArray:
    """Returns one element of a field after each step, (rows,)."""
    field, index = key
    whole = bank.steps.after[field]
    place = int(np.ravel_multi_index(index, whole.shape[1:])) if index else 0
    return whole.reshape(len(whole), -1)[:, place]


def _called(key: Element) -> str:
    return key[0] + "".join(f"[{place}]" for place in key[1])


def _text(facts: Mapping[str, Any]) -> str:
    effects = sorted(facts["effects"].items(), key=lambda item: -item[1]["effect"])[:_SHOWN]
    told = []
    if facts["dead"]:
        told.append(f"Taken, but without any effect: {_listed(facts['dead'])}.")
    if facts["saturated"]:
        told.append(f"With an effect in few places only: {_listed(facts['saturated'])}.")
    if effects:
        shown = ", ".join(f"`{name}` {fact['slope']:+.2g}" for name, fact in effects)
        told.append(f"What moves the total most, per standard deviation: {shown}.")
    if facts["nuisance"]:
        told.append(f"Without relation to fitness so far: {_listed(facts['nuisance'])}.")
    if facts["against"]:
        told.append(f"Of the other sign than fitness so far: {_listed(facts['against'])}.")
    return " ".join(told)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
