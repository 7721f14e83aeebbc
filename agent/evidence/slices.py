"""Slices through a reward: which steps to ask it about, and what its answers show.

A slice holds a stored step and varies one number of it; a surface varies two. Nothing is run here:
rows go out, arrays come back. Other fields stay as they were, even those that a simulator would
move along, so a slice shows what the program computes, not where a policy can go.

Source: the reward plots of Lucy-SKG (Moschopoulos et al. 2023), which draw a reward over one or two
of its inputs; the bank's typical steps and the findings are ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.elements import Element, axis_of, values_of
from rewardsmith.agent.evidence.slice_findings import FAINT, line_findings, surface_findings
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.runs.pictures import Axis, Line, Slice, StepKind, Surface
from rewardsmith.sandbox.reward import RewardBatch

STEPS: tuple[StepKind, ...] = ("median", "best paid", "drawn")  # of the bases, in order
GRID = 25  # points of a surface along each axis
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """One thing to vary: the elements (one or two) and their axes."""

    elements: tuple[Element, ...]
    axes: tuple[Axis, ...]

    @property
    def points(self) -> tuple[npt.NDArray[np.float64], ...]:
        """The values of each element at every point, (points,) each; the first varies fastest."""
        if len(self.axes) == 1:
            return (np.array(self.axes[0].at),)
        x, y = np.meshgrid(self.axes[0].at, self.axes[1].at)
        return x.ravel(), y.ravel()

    @property
    def size(self) -> int:
        """Number of points."""
        return int(np.prod([len(axis.at) for axis in self.axes]))


def line_cuts(bank: Stored, rows: Rows, read: Sequence[Element], spec: EnvSpec) -> tuple[Cut, ...]:
    """Returns one cut per element, over its values in ``rows``."""
    values = ((e, values_of(bank.steps, e)[rows]) for e in read)
    return tuple(Cut((e,), (axis_of(e, column, spec),)) for e, column in values)


def surface_cuts(
    bank: Stored, rows: Rows, pairs: Sequence[tuple[Element, Element]], spec: EnvSpec
) -> tuple[Cut, ...]:
    """Returns one cut per pair of elements."""
    return tuple(
        Cut(pair, tuple(axis_of(e, values_of(bank.steps, e)[rows], spec, GRID) for e in pair))
        for pair in pairs
    )


def asked(bank: Stored, bases: Rows, cuts: Sequence[Cut]) -> Steps:
    """Returns the steps to ask a reward about, for all cuts in one call.

    For each cut, for each base, its points in order: row ``bases[k]`` of the bank with the varied
    elements changed and nothing else. The rows are unrelated steps: memory starts anew at each.
    """
    sizes = [cut.size for cut in cuts for _ in bases]
    steps = bank.steps.take(np.repeat(np.tile(bases, len(cuts)), sizes))
    # `take` has copied every column, so these are nobody else's to change.
    columns = {("after", name): values for name, values in steps.after.items()}
    columns |= {("before", name): values for name, values in steps.before.items()}
    columns["action", "action"] = steps.action
    for cut, rows in _blocks(len(bases), cuts):
        for element, values in zip(cut.elements, cut.points, strict=True):
            column = columns[element.column, element.field]
            place: tuple[Any, ...] = (rows, *element.index)
            column[place] = np.tile(values, len(bases))
    return steps


def _blocks(bases: int, cuts: Sequence[Cut]) -> Iterator[tuple[Cut, slice]]:
    first = 0
    for cut in cuts:
        stop = first + bases * cut.size
        yield cut, slice(first, stop)
        first = stop


def slices_of(
    answer: RewardBatch, bank: Stored, bases: Rows, cuts: Sequence[Cut], std: float
) -> tuple[Slice, ...]:
    """Returns one slice per cut from the answer to `asked`; ``std`` is the total's on the bank."""
    found = []
    for cut, rows in _blocks(len(bases), cuts):
        (element,), (axis,) = cut.elements, cut.axes
        here = values_of(bank.steps, element)[bases]
        total = answer.total[rows].reshape(len(bases), -1)
        parts = {k: v[rows].reshape(len(bases), -1) for k, v in answer.components.items()}
        lines = tuple(
            Line(
                row=int(row),
                step=_step(k),
                here=float(here[k]),
                total=tuple(total[k].tolist()),
                components={name: tuple(values[k].tolist()) for name, values in parts.items()},
            )
            for k, row in enumerate(bases)
        )
        move = float(np.ptp(total, axis=1).mean()) / std
        findings = line_findings(axis, total, parts, std)
        found.append(Slice(axis=axis, lines=lines, move=move, findings=findings))
    return tuple(found)


def _step(place: int) -> StepKind:
    return STEPS[min(place, len(STEPS) - 1)]


def surfaces_of(
    answer: RewardBatch, bank: Stored, bases: Rows, cuts: Sequence[Cut], std: float
) -> tuple[Surface, ...]:
    """Returns one surface per cut from the answer to `asked` about the first bases.

    It is the median step's, or where that is faint the one that varies most.
    """
    found = []
    for cut, rows in _blocks(len(bases), cuts):
        x, y = cut.axes
        whole = answer.total[rows].reshape(len(bases), len(y.at), len(x.at))
        ranges = np.ptp(whole, axis=(1, 2))
        base = 0 if ranges[0] >= FAINT * std else int(np.argmax(ranges))
        here = [float(values_of(bank.steps, e)[bases[base]]) for e in cut.elements]
        total = whole[base]
        found.append(
            Surface(
                x=x,
                y=y,
                step=_step(base),
                here=(here[0], here[1]),
                total=tuple(tuple(row) for row in total.tolist()),
                findings=surface_findings(x, y, total, std),
            )
        )
    return tuple(found)


def most_moving(slices: Sequence[Slice], most: int) -> tuple[int, ...]:
    """Returns the places of the slices that move the total most, the most moving first.

    None that is flat, and faint ones only where there is nothing else.
    """
    ordered = sorted(range(len(slices)), key=lambda k: -slices[k].move)
    moving = [k for k in ordered if not is_flat(slices[k])]
    return tuple([k for k in moving if not is_faint(slices[k])] or moving)[:most]


def is_faint(item: Slice) -> bool:
    """Tells whether the axis moves the total, but nowhere by a tenth of its deviation."""
    return any(found.kind == "faint" for found in item.findings)


def is_flat(item: Slice) -> bool:
    """Tells whether the axis moves the total nowhere, by less than 1 % of its deviation."""
    return any(found.kind == "flat" and found.low is None for found in item.findings)
