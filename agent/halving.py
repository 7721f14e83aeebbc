"""Successive halving: all train up to a rung, and the better half goes on from its checkpoints.

Early rungs discard and never crown: what is ranked in the end are whole trainings alone. A rung is
decided once all its units have ended, so in which order they do is of no account.
"""

from collections.abc import Iterable, Sequence

from rewardsmith.runs.records import Candidate, Evidence, TrainingReport, Unit

PROBE = "rung"


def ladder(unit: Unit, rungs: Sequence[float]) -> tuple[Unit, ...]:
    """Returns the units by which ``unit`` is trained, each going on from the one before.

    Args:
        unit: the whole training; the last unit has its name.
        rungs: parts of the training after which to stop, increasing, between 0 and 1.
    """
    found: list[Unit] = []
    for number, part in enumerate(rungs):
        name, stop = _name(unit.id, number), max(1, round(part * unit.steps))
        if found:
            found.append(found[-1].promoted(name, stop))
        else:
            first = {"id": name, "stop": stop, "checkpoint": True}
            found.append(unit.model_copy(update=first))
    return (*found, found[-1].promoted(unit.id)) if found else (unit,)


def judged(candidates: Iterable[Candidate], rung: int) -> list[tuple[Candidate, Evidence]]:
    """Returns those that end at a rung, each with the evidence that says why; some are marked yet.

    All with reports of this rung are compared, whatever was decided since: the same reports lead to
    the same decisions, in a run that was stopped in between as well. Half of them, rounded up, go
    on; one that failed never does.
    """
    known = [(item, _of_rung(item, rung)) for item in candidates]
    scored = [(item, reports, _mean(reports)) for item, reports in known if reports]
    order = sorted(scored, key=lambda row: (row[2] is None, -(row[2] or 0.0), row[0].index))
    keep = -(-len(order) // 2)
    ended = [
        (item, _evidence(reports, fitness, place, len(order)))
        for place, (item, reports, fitness) in enumerate(order, 1)
        if place > keep or fitness is None
    ]
    return sorted(ended, key=lambda row: row[0].index)


def marked(candidate: Candidate) -> bool:
    """Tells whether a candidate has ended at a rung."""
    return any(item.probe == PROBE for item in candidate.evidence)


def _name(unit: str, rung: int) -> str:
    return f"{unit}-rung{rung}"


def _of_rung(item: Candidate, rung: int) -> list[TrainingReport]:
    return [report for report in item.rungs if report.unit.endswith(f"-rung{rung}")]


def _mean(reports: Sequence[TrainingReport]) -> float | None:
    found = [report.fitness for report in reports if report.fitness is not None]
    return sum(found) / len(found) if len(found) == len(reports) else None


def _evidence(
    reports: Sequence[TrainingReport], fitness: float | None, place: int, count: int
) -> Evidence:
    steps = max(report.steps for report in reports)
    failures = [report.failure.text for report in reports if report.failure is not None]
    text = (
        f"its training failed within {steps} steps: {failures[0]}"
        if failures
        else f"stopped after {steps} steps with fitness {fitness:.4g}, place {place} of {count}"
    )
    return Evidence(probe=PROBE, verdict="fail", text=text, score=fitness)
