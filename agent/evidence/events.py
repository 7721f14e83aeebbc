"""When in an episode something happens: the end, a field out of range, a jump of the reward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.judged import Judged
from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.prompts.render import number

_TAIL = 0.01  # of the values on either side are unusual
_MARGIN = 0.1  # of the usual range's width, beyond it
_LASTING = 3  # steps out of range, at least
_LONG = 0.02  # of an episode
_SUDDEN = 2.0  # times the median change: less is the usual pace
_SMALL = 0.05  # of the largest change: no jump


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
    """Returns the first time that a field leaves its usual range to stay out, None for never.

    It stays out for a fiftieth of the episode or to its end, and for three steps at least. What
    begins outside has to have come in before: the first steps are like no others.
    """
    found = []
    for name, (low, high) in ranges.items():
        out = (episode.columns[name] < low) | (episode.columns[name] > high)
        step = _first_leave(out)
        if step is not None:
            between = f"leaves its usual range, {number(low)} to {number(high)},"
            found.append(Event(step, name, between))
    return min(found, key=lambda event: event.step, default=None)


def _first_leave(out: BoolArray) -> int | None:
    """The first step from which on it is out for long, having been in before; None for none."""
    edges = np.flatnonzero(np.diff(out.astype(np.int8))) + 1
    ends = (*edges[1:], len(out))
    for start, end in zip(edges, ends, strict=False):
        last = int(end) == len(out)
        lasting = _LASTING if last else max(_LASTING, round(_LONG * len(out)))
        if out[start] and end - start >= lasting:
            return int(start)
    return None


def jumps(episode: Judged, count: int = 2) -> tuple[Event, ...]:
    """Returns the largest changes of components from one step to the next, largest first.

    Args:
        episode: where to look.
        count: at most as many, one for each component; what is much smaller than another, or goes
            at the component's usual pace, is none.
    """
    found = []
    for name in episode.components:
        change = np.diff(episode.columns[name])
        size = np.abs(change)
        if len(change) and size.max() > _SUDDEN * np.median(size):
            at = int(np.argmax(size))
            event = Event(at + 1, name, f"changes by {number(float(change[at]))}")
            found.append((float(size[at]), event))
    least = _SMALL * max((item[0] for item in found), default=0.0)
    largest = sorted((item for item in found if item[0] >= least), key=lambda item: -item[0])
    return tuple(event for _, event in largest[:count])


def spreads_of(episodes: Sequence[Judged]) -> Mapping[str, float]:
    """Returns the standard deviation of every column over all steps of the episodes."""
    names = episodes[0].columns if episodes else ()
    return {n: float(np.concatenate([e.columns[n] for e in episodes]).std()) for n in names}


def _first_half(values: FloatArray) -> FloatArray:
    return values[: max(1, len(values) // 2)]
