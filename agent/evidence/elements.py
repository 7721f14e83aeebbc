"""The single numbers that a reward reads, where they lie in a bank, and between which values."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.errors import ConfigError
from rewardsmith.runs.pictures import Axis

POINTS = 61  # of a slice
DRAWN = 3  # steps at random, beside the median and the best paid one
FEW = 5  # so many different whole numbers or fewer are drawn as they are
WIDER = 0.1  # of the stored range, at both ends
MOST = 256  # elements that are looked at; a robot with more has them in long vectors
_EPSILON = 1e-9
_PART = re.compile(r"[^,\[\]]+(?:\[[^\]]*\])?")
Column = Literal["after", "before", "action"]


@dataclass(frozen=True)
class Element:
    """One number of a step: ``index`` is its place in a field that is no single number."""

    column: Column
    field: str
    index: tuple[int, ...]
    unit: str

    @property
    def owner(self) -> str:
        """The program's parameter that it is part of."""
        return f"prev_{self.field}" if self.column == "before" else self.field

    @property
    def name(self) -> str:
        """The parameter with the index, as in a program: ``joint_angles[0]``."""
        place = f"[{','.join(str(i) for i in self.index)}]" if self.index else ""
        return self.owner + place


def elements_read(parameters: Sequence[str], spec: EnvSpec) -> tuple[Element, ...]:
    """Returns every number that a program with these parameters reads, in its order.

    Without ``memory`` and ``terminated``: neither is a value that could be anything else.
    """
    return tuple(_elements(parameters, spec))[:MOST]


def _elements(parameters: Sequence[str], spec: EnvSpec) -> Iterator[Element]:
    fields = {item.name: item for item in spec.fields}
    for name in parameters:
        if name == "action":
            for index in np.ndindex(spec.action.shape):
                yield Element("action", "action", index, "1")
            continue
        column: Column = "after" if name in fields else "before"
        field = fields.get(name.removeprefix("prev_") if column == "before" else name)
        for index in np.ndindex(field.shape) if field is not None else ():
            assert field is not None
            yield Element(column, field.name, index, field.unit)


def chosen(text: str, read: Sequence[Element], spec: EnvSpec) -> tuple[Element, ...]:
    """Returns the elements that a person named: "distance,joint_angles[1]"; a vector gives all.

    Raises:
        ConfigError: a name is unknown (the nearest is given), or the program does not read it.
    """
    found: dict[str, Element] = {}
    for word in (part.strip() for part in _PART.findall(text)):
        name = word.replace(" ", "")
        wanted = [item for item in read if name in (item.name, item.owner)]
        if not wanted:
            raise ConfigError(_unknown(name, read, spec))
        found |= {item.name: item for item in wanted}
    if not found:
        raise ConfigError(f"--fields {text!r} names nothing; wanted: {_names(read)}")
    return tuple(found.values())


def _unknown(name: str, read: Sequence[Element], spec: EnvSpec) -> str:
    owner = name.partition("[")[0]
    if any(item.owner == owner for item in read):
        places = ", ".join(item.name for item in read if item.owner == owner)
        return f"--fields: {name!r} has no such place; there is {places}"
    known = {f"{prefix}{item.name}" for item in spec.fields for prefix in ("", "prev_")}
    if owner in known | {"action"}:
        return f"--fields: the program does not read {owner!r}; it reads {_names(read)}"
    near = difflib.get_close_matches(owner, [item.owner for item in read] + sorted(known), n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return f"--fields: {owner!r} is no field of {spec.id}{hint} (the program reads {_names(read)})"


def _names(read: Sequence[Element]) -> str:
    return ", ".join(dict.fromkeys(item.owner for item in read)) or "no field"


def values_of(steps: Steps, element: Element) -> FloatArray:
    """Returns an element's value in every row, (rows,)."""
    array: npt.NDArray[Any] = (
        steps.action
        if element.column == "action"
        else getattr(steps, element.column)[element.field]
    )
    place: tuple[Any, ...] = (slice(None), *element.index)
    return np.asarray(array[place], dtype=np.float64)


def typical_rows(
    bank: Stored,
    rows: npt.NDArray[np.int64],
    read: Sequence[Element],
    total: FloatArray,
    seed: int,
) -> npt.NDArray[np.int64]:
    """Returns the row nearest to the median of what is read, the best paid, then three drawn ones.

    The best paid step is there for what a reward pays only near its goal.

    Args:
        bank: the stored steps.
        rows: those that may be chosen, (n,), at least one.
        read: in these, each scaled by its standard deviation, is "near" meant.
        total: (n,) what the reward pays each of them.
        seed: of the draw.
    """
    columns = np.stack([np.zeros(len(rows)), *(values_of(bank.steps, e)[rows] for e in read)])
    spread = columns.std(axis=1, keepdims=True)
    scaled = (columns - np.median(columns, axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    median = int(np.argmin(np.abs(scaled).sum(axis=0)))
    paid = total.copy()
    paid[median] = -np.inf
    first = list(dict.fromkeys([median, int(np.argmax(paid))]))
    rest = np.delete(rows, first)
    drawn = np.random.default_rng(seed).choice(rest, min(DRAWN, len(rest)), replace=False)
    return np.concatenate([rows[first], np.sort(drawn)])


def axis_of(element: Element, values: FloatArray, spec: EnvSpec, points: int = POINTS) -> Axis:
    """Returns the values over which an element is varied.

    The stored range (1st to 99th percentile) and a tenth more at both ends, but not beyond zero
    where no stored value is, nor beyond the action's bounds; a few whole numbers as they are.

    Args:
        element: what is varied.
        values: (rows,) its stored values.
        spec: whose bounds an action has.
        points: how many values are wanted.
    """
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    different = np.unique(values)
    if element.column == "action" and spec.action.count is not None:
        at, few = np.arange(spec.action.count, dtype=np.float64), True
    elif 1 < len(different) <= FEW and bool((different == np.round(different)).all()):
        at, few = different, True
    else:
        at, few = np.linspace(*_widened(element, values, spec), points), False
    return Axis(
        name=element.name, unit=element.unit, at=tuple(at.tolist()), low=low, high=high, few=few
    )


def _widened(element: Element, values: FloatArray, spec: EnvSpec) -> tuple[float, float]:
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    if high - low < _EPSILON * max(1.0, abs(low), abs(high)):
        low, high = float(values.min()), float(values.max())
    room = WIDER * (high - low)
    if room < _EPSILON * max(1.0, abs(low), abs(high)):
        room = WIDER * abs(low) or 1.0  # it never changed: a little to both sides
    if element.column == "action":
        place = int(np.ravel_multi_index(element.index, spec.action.shape)) if element.index else 0
        return max(low - room, spec.action.low[place]), min(high + room, spec.action.high[place])
    lowest = 0.0 if values.min() >= 0 else -np.inf
    highest = 0.0 if values.max() <= 0 and values.min() < 0 else np.inf
    return max(low - room, lowest), min(high + room, highest)
