"""What a probe stored of a policy's episodes, as the tables and notes of a prompt."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rewardsmith.prompts.facts import EpisodeTable, Trajectories, representative, trajectories
from rewardsmith.runs.records import Candidate, Evidence

EPISODES = "episodes"  # the probe that looks at the judged episodes


def dissected(candidate: Candidate, *, tables: int = 4) -> Trajectories | None:
    """What the judged episodes of a trained candidate looked like, or None if there are none.

    Quantiles are over all judged episodes of the median seed. Notes and tables are those that the
    probe of episodes stored; where there is no such evidence, tables of the few points that every
    report keeps.

    Args:
        candidate: with its ledger.
        tables: at most as many; the last one stored, the best episode, is among them.
    """
    report = representative(candidate)
    plain = trajectories(report, program=candidate.program) if report else None
    stored = stored_episodes(candidate.evidence)
    if plain is None or not stored.get("tables"):
        return plain
    shown = [_table(item) for item in stored["tables"]]
    kept = shown if len(shown) <= tables else [*shown[: tables - 1], shown[-1]]
    return replace(plain, tables=tuple(kept), notes=tuple(map(str, stored.get("notes", ()))))


def stored_episodes(evidence: Iterable[Evidence]) -> dict[str, Any]:
    """The facts of the newest evidence of episodes, empty if there is none."""
    found = [item.facts for item in evidence if item.probe == EPISODES]
    return found[-1] if found else {}


def _table(stored: dict[str, Any]) -> EpisodeTable:
    rows = tuple(tuple(map(str, row)) for row in stored["rows"])
    return EpisodeTable(str(stored["title"]), tuple(map(str, stored["columns"])), rows)
