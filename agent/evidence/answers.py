"""Answers to an analyzer's questions: read-only looks at the stored episodes."""

import operator
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rewardsmith.agent.evidence.judged import Judged, best, failed
from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.prompts.questions import (
    Asked,
    Compare,
    Count,
    Decided,
    Stat,
    Statistic,
    Window,
    condition_in,
)
from rewardsmith.prompts.render import inline, number

MOST_ROWS = 20
_NAMES_TOLD = 40
_OPS: Mapping[str, Callable[[FloatArray, float], BoolArray]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_STATISTICS: Mapping[Statistic, Callable[[FloatArray], float]] = {
    "mean": lambda values: float(values.mean()),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "std": lambda values: float(values.std()),
    "median": lambda values: float(np.median(values)),
    "first": lambda values: float(values[0]),
    "last": lambda values: float(values[-1]),
    "sum": lambda values: float(values.sum()),
}


class _Unanswerable(Exception):
    """A question about something that is not there; the message says what is."""


def answer(
    asked: Asked, episodes: Sequence[Judged], played_on: Callable[[int], str] | None = None
) -> str:
    """Returns the answer to one question as text; to a bad one, what is wrong with it.

    Args:
        asked: as it was put.
        episodes: the stored ones; groups are ``all``, ``failed``, ``best``, ``episode N`` (from 0),
            and the name of an ending.
        played_on: tells where one of them was decided, None where nothing can be played.
    """
    question = asked.question
    try:
        if question is None:
            return asked.problem
        if isinstance(question, Stat):
            return _stat(question, episodes)
        if isinstance(question, Count):
            return _count(question, episodes)
        if isinstance(question, Decided):
            _one(question.episode, episodes)
            return played_on(question.episode) if played_on else "cannot be answered here"
        return (
            _compare(question, episodes)
            if isinstance(question, Compare)
            else _window(question, episodes)
        )
    except _Unanswerable as error:
        return f"cannot be answered: {error}"


def _stat(question: Stat, episodes: Sequence[Judged]) -> str:
    group = _group(question.group, episodes)
    values = _each(group, question.of, question.steps, question.statistic)
    return _spread(question.of, question.statistic, question.group, values)


def _compare(question: Compare, episodes: Sequence[Judged]) -> str:
    sides = []
    for name in (question.group, question.against):
        values = _each(_group(name, episodes), question.of, question.steps, question.statistic)
        sides.append(_spread(question.of, question.statistic, name, values))
    return " against ".join(sides)


def _count(question: Count, episodes: Sequence[Judged]) -> str:
    condition = condition_in(question.where)
    cuts = _cuts(_group(question.group, episodes), condition.column, question.steps)
    held = [_OPS[condition.op](part, condition.value) for part in cuts]
    steps, rows = sum(int(part.sum()) for part in held), sum(len(part) for part in held)
    ever = sum(bool(part.any()) for part in held)
    return (
        f"{question.where} held in {steps} of {rows} steps ({steps / rows:.1%}), "
        f"at some step in {ever} of {len(held)} episodes of {question.group}"
    )


def _window(question: Window, episodes: Sequence[Judged]) -> str:
    one = _one(question.episode, episodes)
    first, stop = _bounds(one.length, question.steps)
    if first >= stop:
        raise _Unanswerable(f"episode {question.episode} has steps 0 to {one.length - 1}")
    at = np.unique(np.linspace(first, stop - 1, min(MOST_ROWS, stop - first)).round().astype(int))
    columns = [_column(one, name) for name in question.of]
    rows = [" | ".join((str(step), *(number(float(c[step])) for c in columns))) for step in at]
    return "\n".join((" | ".join(("step", *question.of)), *rows))


def _one(number: int, episodes: Sequence[Judged]) -> Judged:
    if number >= len(episodes):
        raise _Unanswerable(f"there is no episode {number}; 0 to {len(episodes) - 1} are")
    return episodes[number]


def _group(name: str, episodes: Sequence[Judged]) -> Sequence[Judged]:
    endings = sorted({one.summary.outcome for one in episodes})
    if name.startswith("episode ") and name[8:].isdecimal() and int(name[8:]) < len(episodes):
        return [episodes[int(name[8:])]]
    named = {"all": episodes, "failed": failed(episodes), "best": [best(episodes)]}
    named |= {end: [one for one in episodes if one.summary.outcome == end] for end in endings}
    if name not in named:
        known = ", ".join((*named, f"episode 0 to episode {len(episodes) - 1}"))
        raise _Unanswerable(f"no group {inline(name, 60)!r}; there are {known}")
    if not named[name]:
        raise _Unanswerable(f"no episode is in {name}")
    return named[name]


def _each(
    group: Sequence[Judged], name: str, steps: tuple[int, int] | None, statistic: Statistic
) -> FloatArray:
    """The statistic in every episode of a group that has such steps, (episodes,)."""
    return np.array([_STATISTICS[statistic](part) for part in _cuts(group, name, steps)])


def _cuts(group: Sequence[Judged], name: str, steps: tuple[int, int] | None) -> list[FloatArray]:
    """The wanted steps of a column in every episode that has some of them."""
    bounds = [_bounds(one.length, steps) for one in group]
    found = [
        _column(one, name)[first:stop]
        for one, (first, stop) in zip(group, bounds, strict=True)
        if first < stop
    ]
    if not found:
        longest = max(one.length for one in group)
        raise _Unanswerable(f"no episode has steps {steps}; the longest has {longest}")
    return found


def _column(one: Judged, name: str) -> FloatArray:
    if name not in one.columns:
        known = ", ".join(list(one.columns)[:_NAMES_TOLD])
        raise _Unanswerable(f"no column {inline(name, 60)!r}; there are {known}")
    return one.columns[name]


def _bounds(length: int, steps: tuple[int, int] | None) -> tuple[int, int]:
    """First and stop (exclusive) of the steps wanted, within the episode."""
    first, last = (0, length - 1) if steps is None else (n if n >= 0 else length + n for n in steps)
    return max(0, first), min(last, length - 1) + 1


def _spread(name: str, statistic: str, group: str, values: FloatArray) -> str:
    said = f"{statistic} of {name} in {group}: {number(float(values.mean()))}"
    if len(values) == 1:
        return said
    low, high = number(float(values.min())), number(float(values.max()))
    return f"{said} (mean of {len(values)} episodes, from {low} to {high})"
