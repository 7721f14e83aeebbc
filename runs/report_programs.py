"""What the report says of each candidate: its state, remarks, code, and what it changed."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from rewardsmith.runs.records import Candidate, RunState
from rewardsmith.runs.report_code import DiffLine, changed_lines, code_lines, difference
from rewardsmith.runs.report_ledger import ProbeRow, TableView, kept_tables, probe_rows
from rewardsmith.runs.report_view import (
    Status,
    asked,
    fitnesses,
    recheck,
    seed_values,
    selected,
    status,
)
from rewardsmith.runs.report_words import MISSING, one_line, with_interval


@dataclass(frozen=True)
class Remark:
    """A text about a candidate: the check's, the critic's, the analyzer's."""

    head: str
    text: str
    badge: str = ""
    kind: str = ""


@dataclass(frozen=True)
class CandidateView:
    """Everything that the report shows of one candidate."""

    id: str
    best: bool
    asked: str
    status: Status
    status_short: str
    seeds: tuple[tuple[int, str], ...]
    fitness: str
    n: int
    recheck: str
    summary: str
    ledger: tuple[ProbeRow, ...]
    tables: tuple[TableView, ...]
    remarks: tuple[Remark, ...]
    program_id: str
    mode: str
    code: tuple[Markup, ...]
    against: str
    diff: tuple[DiffLine, ...]
    added: int
    removed: int


def candidate_views(state: RunState) -> tuple[CandidateView, ...]:
    """Returns a view of every candidate, failed ones included, in order of the run."""
    return tuple(_view(state, candidate) for candidate in state.candidates)


def _view(state: RunState, candidate: Candidate) -> CandidateView:
    now, values = status(candidate), fitnesses(candidate.reports)
    whole = bool(selected(candidate))
    fitness = with_interval(values) if whole else MISSING
    old = _compared(state, candidate)
    diff = difference(old.program or "", candidate.program) if old and candidate.program else ()
    added, removed = changed_lines(diff)
    return CandidateView(
        id=candidate.id,
        best=candidate.id == state.best,
        asked=asked(candidate),
        status=now,
        status_short=one_line(now.text, 140),
        seeds=seed_values(candidate),
        fitness=fitness,
        n=len(values),
        recheck=recheck(candidate),
        summary=f"fitness {fitness}" if whole else "",
        ledger=probe_rows(candidate),
        tables=kept_tables(candidate),
        remarks=tuple(_remarks(candidate)),
        program_id=candidate.program_id or "",
        mode="evaluated row by row, slower" if candidate.mode == "rows" else "",
        code=code_lines(candidate.program) if candidate.program else (),
        against=old.id if old and candidate.program else "",
        diff=diff,
        added=added,
        removed=removed,
    )


def _compared(state: RunState, candidate: Candidate) -> Candidate | None:
    """Returns what to show changes from: the parent, else the best of the generation before."""
    names = list(candidate.proposal.parents)
    names += [g.best for g in state.generations if g.best and g.number == candidate.generation - 1]
    known = {c.id: c for c in state.candidates if c.program}
    return next((known[name] for name in names if name in known), None)


def _remarks(candidate: Candidate) -> Iterator[Remark]:
    if candidate.rewrites:
        yield Remark("Rewritten mechanically", "\n".join(candidate.rewrites))
    if candidate.notes:
        yield Remark("Remarks of the contract check", "\n".join(candidate.notes))
    for critique in candidate.critiques:
        badge, kind = ("accepted", "good") if critique.accept else ("refused", "bad")
        head = f"Critic before training, round {critique.round + 1}"
        yield Remark(head, critique.remarks or "no remarks", badge, kind)
    if candidate.analysis:
        yield Remark("Analyzer after training", candidate.analysis)
