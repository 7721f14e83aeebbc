"""Where the columns of a call lie in the region, and how they get there."""

import math
import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.step import Steps

ALIGNMENT = 64
MOST_COMPONENTS = 16
_DTYPES = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|b1"}
_STARTS = " starts"  # no parameter can be called so


@dataclass(frozen=True)
class Call:
    """One call: the columns to send with their offsets, and where the answer will lie."""

    columns: tuple[tuple[str, npt.NDArray[Any], str, int], ...]  # name, values, dtype, offset
    rows: int
    envs: int
    carry: bool
    out: int

    @property
    def answer_bytes(self) -> int:
        """The most that an answer may take: a total and all components."""
        return (1 + MOST_COMPONENTS) * self.rows * 8

    @property
    def shown_rows(self) -> int:
        """How many rows the program sees at once, where that is one call for all."""
        return self.envs if any(name == _STARTS for name, *_ in self.columns) else self.rows

    def request(self) -> dict[str, Any]:
        """Returns the header that tells the worker about this call."""
        return {
            "do": "call",
            "rows": self.rows,
            "envs": self.envs,
            "carry": self.carry,
            "columns": [
                [name, dtype, values.shape, at] for name, values, dtype, at in self.columns
            ],
            "out": self.out,
        }


def _wanted(parameters: tuple[str, ...], steps: Steps) -> dict[str, npt.NDArray[Any]]:
    """Picks the columns that a program asks for, and nothing more."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in parameters:
        if name == "memory":
            columns[_STARTS] = steps.starts
        elif name == "action":
            columns[name] = steps.action
        elif name in steps.after:
            columns[name] = steps.after[name]
        elif name == "terminated":
            columns[name] = steps.terminated
        else:
            columns[name] = steps.before[name.removeprefix("prev_")]
    return columns


def most_rows(parameters: tuple[str, ...], steps: Steps, region_bytes: int) -> int:
    """How many rows fit into the region together with their answer, at least one."""
    columns = _wanted(parameters, steps)
    size = sum(8 * math.prod(values.shape[1:]) for values in columns.values())
    spare = ALIGNMENT * (len(columns) + 1)
    return max((region_bytes - spare) // (size + 8 * (1 + MOST_COMPONENTS)), 1)


def plan(parameters: tuple[str, ...], steps: Steps, rows: slice, *, carry: bool) -> Call:
    """Lays out the rows ``rows`` of ``steps`` for a program with ``parameters``."""
    at, columns = 0, []
    for name, values in _wanted(parameters, steps).items():
        part = values[rows]
        columns.append((name, part, _DTYPES[part.dtype.kind], at))
        at = _aligned(at + part.size * np.dtype(_DTYPES[part.dtype.kind]).itemsize)
    count = rows.stop - rows.start
    envs = steps.num_envs if "memory" in parameters else count
    return Call(tuple(columns), count, envs, carry, at)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def write_columns(region: "mmap.mmap | bytearray", call: Call) -> None:
    """Copies the columns of a call into the region."""
    for _, values, dtype, at in call.columns:
        np.ndarray(values.shape, dtype, region, at)[...] = values
