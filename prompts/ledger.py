"""A candidate's ledger of evidence in the few lines that a prompt shows. Pure functions."""

from collections.abc import Iterable
from dataclasses import dataclass

from rewardsmith.prompts.render import number
from rewardsmith.runs.records import Evidence

# A designer who read it would be told the environment's own reward. For reports.
UNTOLD = frozenset({"human"})
_ORDER = {"fail": 0, "warn": 1, "pass": 2}


@dataclass(frozen=True)
class Remark:
    """What a probe found, in its own words; they may quote names that others chose."""

    verdict: str
    probe: str
    score: str
    text: str


@dataclass(frozen=True)
class Ledger:
    """The remarks, the gravest first, and the probes that had none, each with its score."""

    remarks: tuple[Remark, ...]
    passed: tuple[str, ...]


def ledger(evidence: Iterable[Evidence], *, whole: bool = False, limit: int = 8) -> Ledger | None:
    """The ledger of a candidate, or None where there is nothing to tell.

    What compares it with the environment's own reward is left out.

    Args:
        evidence: of one candidate.
        whole: give the words of those probes that passed, too.
        limit: remarks at most.
    """
    known = tuple(item for item in evidence if item.probe not in UNTOLD)
    worded = [item for item in known if whole or item.verdict != "pass"]
    found = sorted(worded, key=lambda item: _ORDER[item.verdict])[:limit]
    passed = tuple(_passed(item) for item in known if item.verdict == "pass" and not whole)
    return Ledger(tuple(map(_remark, found)), passed) if known else None


def _remark(evidence: Evidence) -> Remark:
    return Remark(evidence.verdict, evidence.probe, _score(evidence), evidence.text)


def _passed(evidence: Evidence) -> str:
    return f"{evidence.probe} {_score(evidence)}".rstrip()


def _score(evidence: Evidence) -> str:
    return "" if evidence.score is None else number(evidence.score)
