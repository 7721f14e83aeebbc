"""When in an episode something happens: the end, a field out of range, a jump of the reward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.judged import Judged
from rewardsmith.envs.task import FloatArray
from rewardsmith.prompts.render import number

_TAIL = 0.01  # of the values on either side are unusual
_MARGIN = 0.1  # of the usual range's width, beyond it
_LASTING = 3  # steps out of range


@dataclass(frozen=True)
class Event:
    """Something that happens at step ``step``: ``column`` does what ``text`` says."""

    step: int
    column: str
    text: str


Ranges = Mapping[str, tuple[float, float]]


def usual_ranges(episodes: Sequence[Judged], bad: Sequence[Judged]) -> Ranges:
    """Returns between which values each field mostly lies where things go well.

    Where all episodes are among the ``bad``, the first half of each is taken for its good part.
    """
    well = [episode for episode in episodes if episode not in bad]
    names = episodes[0].fields if episodes else ()
    ranges = {}
    for name in names:
        parts = [e.columns[name] for e in well] or [_first_half(e.columns[name]) for e in episodes]
        low, high = np.quantile(np.concatenate(parts), [_TAIL, 1 - _TAIL])
        margin = _MARGIN * (high - low)
        ranges[name] = (float(low - margin), float(high + margin))
    return ranges


def first_unusual(episode: Judged, ranges: Ranges) -> Event | None:
    """Returns the first time that a field leaves its usual range for three steps, or None."""
    found = []
    for name, (low, high) in ranges.items():
        out = (episode.columns[name] < low) | (episode.columns[name] > high)
        held = np.convolve(out, np.ones(_LASTING), "valid") == _LASTING
        if held.any():
            between = f"leaves its usual range, {number(low)} to {number(high)}"
            found.append(Event(int(np.argmax(held)), name, between))
    return min(found, key=lambda event: event.step, default=None)


def jumps(episode: Judged, spreads: Mapping[str, float], count: int = 2) -> tuple[Event, ...]:
    """Returns the largest changes of components from one step to the next, largest first.

    Args:
        episode: where to look.
        spreads: standard deviation of each component over all episodes: what a change is large by.
        count: at most as many, one for each component.
    """
    found = []
    for name in episode.components:
        change = np.diff(episode.columns[name])
        if spreads.get(name, 0.0) > 0.0 and len(change) and np.abs(change).max() > 0.0:
            at = int(np.argmax(np.abs(change)))
            size = float(abs(change[at]) / spreads[name])
            text = f"changes by {number(float(change[at]))}"
            found.append((size, Event(at + 1, name, text)))
    return tuple(event for _, event in sorted(found, key=lambda item: -item[0])[:count])


def spreads_of(episodes: Sequence[Judged]) -> Mapping[str, float]:
    """Returns the standard deviation of every column over all steps of the episodes."""
    names = episodes[0].columns if episodes else ()
    return {n: float(np.concatenate([e.columns[n] for e in episodes]).std()) for n in names}


def _first_half(values: FloatArray) -> FloatArray:
    return values[: max(1, len(values) // 2)]
