"""A candidate's ledger of evidence as the rows of a table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rewardsmith.runs.records import Candidate, Evidence
from rewardsmith.runs.report_words import MISSING, number, one_line

_KINDS = {"pass": "good", "warn": "note", "fail": "bad"}
_LONGEST = 60
# Nothing is wrong with what ended so: the search had no more use for it.
UNUSED = {"rung": "stopped early", "duplicate": "duplicate", "starc": "same preference"}


@dataclass(frozen=True)
class ProbeRow:
    """One row: a probe, its verdict with the style of its badge, score, words, and its numbers."""

    probe: str
    verdict: str
    kind: str
    score: str
    text: str
    numbers: str


@dataclass(frozen=True)
class TableView:
    """A table that a probe kept: moments of one episode, or whatever it tells in rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def kept_tables(candidate: Candidate) -> tuple[TableView, ...]:
    """Returns the tables in what probes found (facts named ``tables``), as they stand there."""
    found = [table for item in candidate.evidence for table in item.facts.get("tables", ())]
    return tuple(
        TableView(str(item["title"]), _cells(item["columns"]), tuple(map(_cells, item["rows"])))
        for item in found
    )


def _cells(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))


def probe_rows(candidate: Candidate) -> tuple[ProbeRow, ...]:
    """Returns what every probe found, in the order in which they were asked."""
    return tuple(_row(found) for found in candidate.evidence)


def refusal(candidate: Candidate) -> Evidence | None:
    """Returns the evidence for which a candidate was not trained, if that is why."""
    fails = (item for item in candidate.evidence if item.verdict == "fail")
    return None if candidate.reports else next(fails, None)


def _row(found: Evidence) -> ProbeRow:
    return ProbeRow(
        probe=found.probe,
        verdict=found.verdict,
        kind=_KINDS[found.verdict],
        score=MISSING if found.score is None else number(found.score),
        text=found.text,
        numbers=_numbers(found.facts),
    )


def _numbers(facts: Mapping[str, Any]) -> str:
    """Returns the facts that are one number or one word each, as text on one line."""
    plain = {k: v for k, v in facts.items() if isinstance(v, str | int | float)}
    names = {key: one_line(key.replace("_", " "), _LONGEST) for key in plain}
    return ", ".join(f"{names[key]} {_value(value)}" for key, value in plain.items())


def _value(value: str | int | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(value, _LONGEST) if isinstance(value, str) else number(value)
