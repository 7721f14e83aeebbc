"""Takes a worker's answer out of the region: copied first, believed only where it checks out."""

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.sandbox.columns import MOST_COMPONENTS, Call
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.wire import cleaned

NAME_RULE = re.compile(r"[a-z][a-z0-9_]{0,31}")
MOST = 1e100  # beyond this, sums of squares overflow
_SHOWN_VALUES = 6


@dataclass(frozen=True)
class Answer:
    """The rewards of one call, and which components were a number repeated for every row."""

    total: FloatArray
    components: Mapping[str, FloatArray]
    constants: frozenset[str]  # "" stands for the total


def read_answer(
    header: Mapping[str, Any], call: Call, content: "mmap.mmap | bytes"
) -> Answer | Failure:
    """Returns the validated copy of an answer, or what is wrong with it.

    Args:
        header: the worker's reply, decoded but not trusted.
        call: what was asked.
        content: the region, where the answer starts at ``call.out``; or the answer itself as bytes.
    """
    names, constants = header.get("names"), header.get("constants")
    if (
        not _is_list_of_text(names)
        or not _is_list_of_text(constants)
        or set(header) != {"names", "constants"}
    ):
        return Failure(kind="protocol_error", text="The worker's answer was not understood.")
    assert isinstance(names, list)
    assert isinstance(constants, list)
    bad = _bad_name(names)
    if bad is not None:
        return bad
    size = (1 + len(names)) * call.rows * 8
    if isinstance(content, bytes) and len(content) != size:
        return Failure(kind="protocol_error", text="The worker's answer has the wrong size.")
    at = 0 if isinstance(content, bytes) else call.out
    # One copy out of shared memory, then checks on the copy: the worker may still be writing.
    table = np.ndarray((1 + len(names), call.rows), np.float64, content, at).copy()
    total, components = table[0], dict(zip(names, table[1:], strict=True))
    # Without a temporary of that size; NaN fails both comparisons.
    if not (table.min() >= -MOST and table.max() <= MOST):
        return _not_finite(call, total, components)
    return Answer(total, components, frozenset(constants) & {"", *names})


def _usable(values: FloatArray) -> BoolArray:
    """Where values are numbers of a size that can be learned from."""
    return np.abs(values) <= MOST


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _bad_name(names: list[str]) -> Failure | None:
    if len(names) > MOST_COMPONENTS or len(set(names)) != len(names):
        return Failure(
            kind="protocol_error", text="The worker's answer names its components wrongly."
        )
    for name in names:
        if not NAME_RULE.fullmatch(name):
            text = (
                f"The component name {cleaned(name, 40)!r} is not allowed: use lower-case "
                "letters, digits and "
                "_, at most 32 characters, starting with a letter."
            )
            return Failure(kind="bad_output", text=text)
    return None


def _not_finite(call: Call, total: FloatArray, components: Mapping[str, FloatArray]) -> Failure:
    """Names the first value that is no number and what the program was given there."""
    columns = {**components, "": total}
    name = next(name for name, column in columns.items() if not _usable(column).all())
    column = columns[name]
    rows = np.flatnonzero(~_usable(column))
    what = f"component {name!r}" if name else "the total reward"
    row = int(rows[0])
    given = []
    for field, values, _, _ in call.columns[:_SHOWN_VALUES]:
        if not field.startswith(" "):
            shown = np.array2string(np.asarray(values[row]), precision=4, threshold=6)
            given.append(f"{field} = {shown}")
    text = (
        f"{what} is {column[row]} in {len(rows)} of {call.rows} rows, first where "
        f"{', '.join(given)}. "
        "Guard divisions, logarithms, square roots and exponents, e.g. np.sqrt(np.maximum(x, 0)), "
        "x / (y + 1e-6), np.exp(np.clip(x, -20, 20))."
    )
    return Failure(kind="bad_output", text=text[0].upper() + text[1:])
