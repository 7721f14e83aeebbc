"""Which candidates are trained, and in what order those stand that were not."""

import hashlib
from collections.abc import Iterable

from rewardsmith.agent.halving import PROBE as RUNG
from rewardsmith.runs.records import Candidate, Evidence

AUDIT = "audit"
DUPLICATE = "duplicate"
# Training the same program again, or past the rung where it ended, would show nothing new.
_FINAL = {DUPLICATE, RUNG}
_UNSOUND = {"no_code": 0, "rejected": 1}


def trainable(candidate: Candidate) -> bool:
    """Tells whether a candidate is worth training: a sound program that no probe refused.

    What a person wrote is trained although a probe refuses it, and so is what an audit has drawn.
    """
    fails = {item.probe for item in candidate.evidence if item.verdict == "fail"}
    drawn = any(item.probe == AUDIT for item in candidate.evidence)
    if drawn or candidate.proposal.kind == "human":
        fails &= _FINAL
    return candidate.program is not None and sound(candidate) and not fails


def sound(candidate: Candidate) -> bool:
    """Tells whether a program passed its checks; that it is impure only its trainings show."""
    return candidate.failure is None or candidate.failure.kind == "impure"


def audit(candidate: Candidate, *, seed: int, share: float) -> Evidence | None:
    """Returns the note that a refused candidate is trained all the same, where it is drawn.

    What refusing costs (the regret) shows only where some of the refused are trained: methods of
    evaluation ask for a random tenth. A draw hangs on the run's seed and the candidate's id alone.
    One that is drawn competes like any other, on fresh seeds before it becomes the best: fitness
    outranks every probe, and where the two differ it was the probe that erred.

    Args:
        candidate: any.
        seed: of the run.
        share: of the refused that are drawn, in [0, 1].
    """
    refusals = [item for item in candidate.evidence if item.verdict == "fail"]
    final = any(item.probe in _FINAL for item in refusals)
    begun = bool(candidate.reports or candidate.rungs)  # what refuses it now is of its training
    if not refusals or final or begun or not sound(candidate):
        return None
    if not _drawn(candidate.id, seed, share):
        return None
    text = f"refused by {refusals[0].probe}, and drawn to be trained all the same"
    return Evidence(probe=AUDIT, verdict="warn", text=text, facts={"refused_by": refusals[0].probe})


def _drawn(candidate: str, seed: int, share: float) -> bool:
    digest = hashlib.sha256(f"audit {seed} {candidate}".encode()).digest()
    return int.from_bytes(digest[:6]) < share * 2**48


def progress(candidate: Candidate) -> tuple[int, int, float]:
    """Returns how far a candidate without a fitness came: more is farther.

    (0: no code, 1: refused by its text, 2: breaks the contract, 3: refused by a probe, 4: its
    training failed), then how many probes it passed, then its ranking accuracy, -1 if unknown.
    Partial credit as in Reasoning-SQL (Pourreza et al. 2025): failures, too, have an order.
    """
    passed = sum(item.verdict != "fail" for item in candidate.evidence)
    accuracy = [e.score for e in candidate.evidence if e.probe == "ranking" and e.score is not None]
    return _stage(candidate), passed, accuracy[0] if accuracy else -1.0


def _stage(candidate: Candidate) -> int:
    if candidate.program is None:
        return 0
    if candidate.failure is not None:
        return _UNSOUND.get(candidate.failure.kind, 2)
    return 4 if (*candidate.reports, *candidate.rungs) else 3


def nearest(candidates: Iterable[Candidate]) -> Candidate | None:
    """Returns the one with a program that came farthest, the latest of equals; None if none has."""
    known = [item for item in candidates if item.program is not None]
    return max(known, key=lambda item: (progress(item), item.generation), default=None)
