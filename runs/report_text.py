"""The run in one screen of plain text, and as one document for programs."""

from collections.abc import Sequence
from typing import Any

from rewardsmith.runs.records import Candidate, RunState, TrainingReport
from rewardsmith.runs.report_facts import RunFacts
from rewardsmith.runs.report_view import (
    arm_rows,
    asked,
    difference,
    finding,
    fitnesses,
    selected,
    status,
)
from rewardsmith.runs.report_words import (
    MISSING,
    count,
    dollars,
    duration,
    has_bounds,
    one_line,
    visible,
    with_interval,
)
from rewardsmith.runs.stats import Interval, interval

WIDTH = 100


def summary_text(state: RunState, facts: RunFacts | None = None) -> str:
    """Returns the run for a terminal: plain, at most 100 columns, foreign text made visible."""
    known = facts or RunFacts()
    parts = [
        [f"run {visible(state.run)}  ({_stage(state)})", f"task {visible(state.task)}", ""],
        _wrapped(finding(state, known)),
        _arms(state, known),
        _candidates(state),
        ["", _spent(state)],
    ]
    return "\n".join(line.rstrip() for part in parts for line in part)


def _stage(state: RunState) -> str:
    if state.finished:
        return "finished"
    return "waiting for feedback" if state.awaiting else "not finished"


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(visible(text), WIDTH, break_long_words=True)


def _arms(state: RunState, facts: RunFacts) -> list[str]:
    rows = arm_rows(state)
    if not rows:
        return []
    unit = f" [{facts.unit}]" if facts.unit else ""
    head = ("held-out seeds", f"fitness{unit}, 95 % interval", "n", "success", "steps")
    body = [(r.label, r.fitness, r.seeds, r.success, r.steps) for r in rows]
    return ["", *_table([head, *body])]


def _candidates(state: RunState) -> list[str]:
    if not state.candidates:
        return []
    head = ("candidate", "asked for", "fitness, selection seeds", "state")
    body = [_candidate(state, c) for c in state.candidates]
    return ["", *_table([head, *body])]


def _candidate(state: RunState, candidate: Candidate) -> tuple[str, ...]:
    now, values = status(candidate), selected(candidate)
    mark = " *" if candidate.id == state.best else ""
    words = f"{now.word}: {now.text}" if now.text else now.word
    fitness = with_interval(values) if values else MISSING
    return (candidate.id + mark, one_line(asked(candidate), 26), fitness, one_line(words, 40))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(widths[k]) for k, cell in enumerate(row)) for row in rows]
    rule = "  ".join("-" * width for width in widths)
    return [lines[0], rule, *lines[1:]]


def _spent(state: RunState) -> str:
    spent = state.spent
    tokens = spent.prompt_tokens + spent.completion_tokens
    parts = (
        f"{count(spent.model_calls)} model calls",
        f"{count(tokens)} tokens",
        f"price {dollars(spent.usd)}",
        f"{count(spent.env_steps)} environment steps",
        duration(spent.wall_s),
    )
    return "spent: " + ", ".join(parts)


def summary_json(state: RunState, facts: RunFacts | None = None) -> dict[str, Any]:
    """Returns one machine-readable document; what is not known is null, never 0."""
    known = facts or RunFacts()
    return {
        "run": state.run,
        "task": state.task,
        "finished": state.finished,
        "awaiting": state.awaiting,
        "best": state.best,
        "finding": finding(state, known),
        "fitness_unit": known.unit or None,
        "arms": [_arm_facts(arm.name, arm.candidate, arm.reports) for arm in state.arms],
        "best_minus_human": _interval_facts(difference(state)),
        "candidates": [_candidate_facts(c) for c in state.candidates],
        "generations": [g.model_dump(mode="json") for g in state.generations],
        "feedback": [f.model_dump(mode="json") for f in state.feedback],
        "spent": state.spent.model_dump(mode="json"),
    }


def _arm_facts(
    name: str, candidate: str | None, reports: Sequence[TrainingReport]
) -> dict[str, Any]:
    rates = [r.success_rate for r in reports if r.success_rate is not None]
    return {
        "name": name,
        "candidate": candidate,
        **_judged(reports),
        "success_rate": sum(rates) / len(rates) if rates else None,
    }


def _candidate_facts(candidate: Candidate) -> dict[str, Any]:
    now = status(candidate)
    return {
        "id": candidate.id,
        "generation": candidate.generation,
        "proposal": candidate.proposal.model_dump(mode="json"),
        "program_id": candidate.program_id,
        "state": now.word,
        "failure": candidate.failure.model_dump(mode="json") if candidate.failure else None,
        "evidence": [found.model_dump(mode="json") for found in candidate.evidence],
        **_judged(candidate.reports, sound=candidate.failure is None),
        "recheck": _judged(candidate.rechecks) if candidate.rechecks else None,
    }


def _judged(reports: Sequence[TrainingReport], *, sound: bool = True) -> dict[str, Any]:
    """Returns each seed's result; the interval only where none is missing and all are sound."""
    values = fitnesses(reports)
    whole = sound and bool(values) and len(values) == len(reports)
    return {
        "seeds": [_seed_facts(r) for r in sorted(reports, key=lambda r: r.seed)],
        "fitness": _interval_facts(interval(values)) if whole else None,
    }


def _seed_facts(report: TrainingReport) -> dict[str, Any]:
    failure = report.failure.model_dump(mode="json") if report.failure else None
    return {
        "seed": report.seed,
        "steps": report.steps,
        "fitness": report.fitness,
        "failure": failure,
        "outcomes": report.outcomes,
    }


def _interval_facts(spread: Interval | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    bounded = has_bounds(spread)
    low, high = (spread.low, spread.high) if bounded else (None, None)
    return {"mean": spread.mean, "low": low, "high": high, "n": spread.n}
