"""An episode as a table of 12 to 20 rows around what matters in it."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rewardsmith.agent.evidence.events import Event
from rewardsmith.agent.evidence.judged import REWARD, Judged
from rewardsmith.envs.task import FloatArray
from rewardsmith.prompts.facts import EpisodeTable
from rewardsmith.prompts.render import number

FEWEST, MOST = 12, 20
_UNIFORM = 8
_LATE = (0.9, 0.95, 0.98)  # of the episode: where it ends is worth more rows
_FIELDS = 5
_COMPONENTS = 4
_NOTHING = 1e-5


def rows_around(length: int, events: Iterable[Event]) -> tuple[int, ...]:
    """Returns the steps to show of an episode, rising: 12 to 20 of them, all of a shorter one.

    Equal distances, more in the last tenth, and before and after each event (Li et al. 2024 show
    their analyzer the final stretch; the rows around events are our own).
    """
    last = length - 1
    wanted = {round(part * last) for part in _LATE}
    for event in events:
        wanted |= {
            step for step in (event.step - 1, event.step, event.step + 1) if 0 <= step <= last
        }
    count = _UNIFORM
    while len(found := wanted | _evenly(count, last)) < min(FEWEST, length):
        count += 1
    while len(found) > MOST and count > 2:
        count -= 1
        found = wanted | _evenly(count, last)
    return tuple(sorted(found))[:MOST]


def _evenly(count: int, last: int) -> set[int]:
    return {round(step) for step in np.linspace(0, last, count)}


def columns_for(
    episodes: Sequence[Judged], read: Sequence[str], spreads: Mapping[str, float]
) -> tuple[str, ...]:
    """Returns which columns to show: fields, those that the program reads first, then components.

    Args:
        episodes: those to be shown.
        read: names of the fields that the program reads.
        spreads: standard deviation of every column over the episodes.
    """
    sizes = {name: _size(name, episodes) for name in episodes[0].columns}
    fields = sorted(
        (name for name in episodes[0].fields if spreads[name] > 0.0),
        key=lambda n: (n.split("[")[0] not in read, "[" in n, -spreads[n] / (sizes[n] or 1.0), n),
    )
    components = sorted(episodes[0].components, key=lambda name: (-sizes[name], name))
    return (*fields[:_FIELDS], *components[:_COMPONENTS])


def table(
    episode: Judged, title: str, columns: Sequence[str], steps: Sequence[int]
) -> EpisodeTable:
    """Returns the rows of an episode at some steps, under a head that says how it ended."""
    summary = episode.summary
    head = f"{title} ({summary.outcome}, {episode.length} steps, fitness {number(summary.fitness)})"
    rows = tuple(
        (str(step), *(_shown(episode.columns[name], step) for name in columns)) for step in steps
    )
    return EpisodeTable(head, ("step", *columns), rows)


def _shown(column: FloatArray, step: int) -> str:
    """The value at a step; what is nothing beside the column's largest is 0, not its rounding."""
    value = float(column[step])
    return number(0.0 if abs(value) < _NOTHING * np.abs(column).max() else value)


def _size(name: str, episodes: Sequence[Judged]) -> float:
    values = np.concatenate([np.abs(episode.columns[name]) for episode in episodes])
    return float(values.mean() if name.startswith(REWARD) else values.max())
