"""Which candidates prefer what a trained one prefers: training them would show nothing new.

The same text is found by `normal_form`; this finds the same preference however it is written.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.starc import (
    GAMMA,
    Canonical,
    Distance,
    Undecided,
    canonicalise,
    starc_facts,
)
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.evidence.thresholds import DEFAULTS, Thresholds
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

Verdict = Literal["pass", "warn", "fail"]
PROBE = "starc"
_MINE, _THEIRS = "this reward", "candidate "


def starc_probe(
    others: Mapping[str, RewardBatch],
    *,
    gamma: float = GAMMA,
    timed: bool = False,
    thresholds: Thresholds = DEFAULTS,
) -> Probe:
    """Returns the probe that compares a candidate with trained ones.

    It fails on the preference of another, and warns of a near variant and of a reward that is
    shaping and nothing else. Its score is the novelty: the mean distance to all others.

    Args:
        others: the values of trained candidates on the same bank, by id.
        gamma: discount of the trainings.
        timed: some of the programs have memory.
        thresholds: where the same, the near and the opposed begin.
    """

    def probe(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        del task
        totals = {_MINE: values.total}
        totals |= {_THEIRS + name: other.total for name, other in others.items()}
        found = canonicalise(bank, totals, gamma=gamma, timed=timed)
        refused = found if isinstance(found, Undecided) else found.undecided(_MINE)
        if refused is None:
            assert isinstance(found, Canonical)
            return _compared(found, thresholds)
        return Evidence(
            probe=PROBE,
            verdict="pass" if refused.reason == "too_few" else "warn",
            text=_sentence(refused.text),
            facts={"undecided": refused.reason},
        )

    return probe


def _compared(found: Canonical, thresholds: Thresholds) -> Evidence:
    names = [name for name in found.names if name != _MINE]
    apart = {name.removeprefix(_THEIRS): found.distance(_MINE, name) for name in names}
    known = {name: item for name, item in apart.items() if isinstance(item, Distance)}
    facts: dict[str, Any] = {
        "undecided": None,
        "residual": found.residual[_MINE],
        "distances": {name: starc_facts(item) for name, item in apart.items()},
    }
    if not known:
        text = "Nothing trained to compare with."
        return Evidence(probe=PROBE, verdict="pass", text=text, facts=facts)
    nearest = min(known, key=lambda name: known[name].value)
    novelty = float(np.mean([item.value for item in known.values()]))
    verdict, text = _verdict(nearest, known[nearest], novelty, thresholds)
    opposed = [name for name, item in known.items() if item.value > thresholds.starc_opposed]
    text += f" Nearly the opposite of {', '.join(opposed)}." if opposed else ""
    facts |= {"nearest": nearest, "novelty": novelty, "opposed": opposed}
    return Evidence(probe=PROBE, verdict=verdict, text=text, score=novelty, facts=facts)


def _verdict(
    nearest: str, apart: Distance, novelty: float, thresholds: Thresholds
) -> tuple[Verdict, str]:
    shown = f"distance {apart.value:.3f}, 95 % {apart.low:.3f} to {apart.high:.3f}"
    if apart.value < thresholds.starc_same:
        text = f"Same preference as {nearest} ({shown}), scale, offset and shaping aside"
        return "fail", f"{text}: training it would show nothing new."
    if apart.value < thresholds.starc_near:
        text = f"Near variant of {nearest} ({shown}): worth a training only if {nearest} is "
        return "warn", f"{text}the best so far."
    return "pass", f"Nearest is {nearest} ({shown}); mean distance to all trained {novelty:.2f}."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].removesuffix('.')}."
