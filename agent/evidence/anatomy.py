"""What the judged episodes of a trained policy were like: clusters, events, tables, deltas."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rewardsmith.agent.evidence.clusters import Cluster, clusters
from rewardsmith.agent.evidence.events import (
    Event,
    Ranges,
    first_unusual,
    jumps,
    spreads_of,
    usual_ranges,
)
from rewardsmith.agent.evidence.judged import REWARD, Judged, best, failed
from rewardsmith.agent.evidence.tables import columns_for, rows_around, table
from rewardsmith.prompts.dissection import EPISODES
from rewardsmith.prompts.facts import EpisodeTable, parameter_names
from rewardsmith.prompts.render import number
from rewardsmith.runs.records import Evidence

_DELTAS = 4
_MOVED = 0.25  # standard deviations: a smaller difference of means is not told


def anatomy(
    episodes: Sequence[Judged],
    *,
    program: str | None = None,
    previous: Evidence | None = None,
    of: str = "its parent",
) -> Evidence:
    """Returns how a policy's episodes went: clusters of failures, a table of each one's medoid.

    The facts hold ``tables`` (title, columns, rows), ``columns`` (the names of all), ``notes`` in
    words, ``clusters`` with their event times, and ``means``, ``length`` and ``outcomes`` for the
    comparison with later ones.

    Args:
        episodes: the stored judged ones.
        program: whose fields are shown first.
        previous: the same evidence of the candidate that this one was made from.
        of: its name, for words.

    Source: the analyzer's input of Auto MC-Reward (Li et al. 2024), in numbers instead of frames.
    """
    if not episodes:
        return Evidence(probe=EPISODES, verdict="pass", text="no judged episode is stored")
    bad = failed(episodes)
    found = clusters(bad)
    ranges, spreads = usual_ranges(episodes, bad), spreads_of(episodes)
    columns = columns_for(episodes, parameter_names(program or ""), spreads)
    told = [(item, events_of(item.medoid, ranges)) for item in found]
    good = best(episodes)
    tables = [_shown(item, events, columns) for item, events in told]
    if good not in (item.medoid for item in found):
        steps = rows_around(good.length, jumps(good))
        tables.append(table(good, "the best episode", columns, steps))
    notes = [_note(item, events, len(episodes)) for item, events in told]
    sums = _sums(episodes)
    if previous is not None and previous.facts.get("means"):
        notes.append(f"against {of}: {deltas(previous.facts, sums, spreads)}")
    facts = {
        "episodes": len(episodes),
        "columns": list(episodes[0].columns),
        "clusters": [_fact(item, events) for item, events in told],
        "tables": [vars(item) for item in tables],
        "notes": notes,
        **sums,
    }
    return Evidence(
        probe=EPISODES, verdict="pass", text=_text(found, len(episodes)), facts=_plain(facts)
    )


def events_of(episode: Judged, ranges: Ranges) -> tuple[Event, ...]:
    """Returns what happens in an episode: a field out of its usual range, jumps of components."""
    unusual = first_unusual(episode, ranges)
    return (*((unusual,) if unusual else ()), *jumps(episode))


def deltas(before: Mapping[str, Any], now: Mapping[str, Any], spreads: Mapping[str, float]) -> str:
    """Returns in words how endings, length and the means of fields differ from earlier ones.

    Args:
        before: facts of the earlier evidence.
        now: the same of the present one.
        spreads: standard deviation of each column now: what a difference is large by.
    """
    said = [f"length {number(before['length'])} to {number(now['length'])}"]
    for name in sorted({*before["outcomes"], *now["outcomes"]}):
        was, became = before["outcomes"].get(name, 0.0), now["outcomes"].get(name, 0.0)
        if was != became:
            said.append(f"ended by '{name}' {was:.0%} to {became:.0%}")
    moved = [
        (abs(value - before["means"][name]) / spreads[name], name)
        for name, value in now["means"].items()
        if name in before["means"] and spreads.get(name, 0.0) > 0.0
    ]
    for size, name in sorted(moved, key=lambda item: (-item[0], item[1]))[:_DELTAS]:
        if size >= _MOVED:
            was, became = before["means"][name], now["means"][name]
            said.append(f"mean `{name}` {number(was)} to {number(became)}")
    return ", ".join(said)


def _sums(episodes: Sequence[Judged]) -> dict[str, Any]:
    """What later generations are compared with."""
    endings = Counter(episode.summary.outcome for episode in episodes)
    fields = [n for n in episodes[0].columns if not n.startswith(REWARD)]
    return {
        "length": float(np.median([episode.length for episode in episodes])),
        "outcomes": {name: count / len(episodes) for name, count in sorted(endings.items())},
        "means": {n: float(np.mean([e.columns[n].mean() for e in episodes])) for n in fields},
    }


def _shown(item: Cluster, events: Iterable[Event], columns: Sequence[str]) -> EpisodeTable:
    alike = len(item.members)
    kind = "failure" if item.medoid.summary.success is False else "worse episode"
    title = f"a typical {kind}, one of {alike} alike" if alike > 1 else f"a {kind}"
    return table(item.medoid, title, columns, rows_around(item.medoid.length, events))


def _note(item: Cluster, events: Iterable[Event], count: int) -> str:
    endings = Counter(episode.summary.outcome for episode in item.members)
    ended = ", ".join(f"{name} {n}" for name, n in endings.most_common())
    length = number(float(np.median([episode.length for episode in item.members])))
    said = [f"{len(item.members)} of {count} episodes went alike ({ended}; {length} steps long)"]
    said += [f"`{event.column}` {event.text} at step {event.step}" for event in events]
    return "; ".join(said)


def _text(found: Sequence[Cluster], count: int) -> str:
    if not found:
        return f"none of {count} episodes failed"
    sizes = " and ".join(str(len(item.members)) for item in found)
    ways = "alike" if len(found) == 1 else f"in {len(found)} ways"
    return f"of {count} episodes {sizes} went badly, {ways}"


def _fact(item: Cluster, events: Iterable[Event]) -> dict[str, Any]:
    endings = Counter(episode.summary.outcome for episode in item.members)
    return {
        "seeds": [episode.summary.seed for episode in item.members],
        "medoid": item.medoid.summary.seed,
        "outcomes": dict(endings),
        "length": float(np.median([episode.length for episode in item.members])),
        "fitness": float(np.mean([episode.summary.fitness for episode in item.members])),
        "events": [vars(event) for event in events],
    }


def _plain(value: Any) -> Any:
    """The value with lists for tuples: what it is once it has been stored as JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
