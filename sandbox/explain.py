"""From what a worker reports to words that the author of the program can act on.

The report is hostile text: everything taken from it is checked, capped and cleaned here. Source
lines are quoted from our own copy of the program, never from the worker.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any, get_args

from rewardsmith.sandbox.failure import Failure, FailureKind
from rewardsmith.sandbox.policy import lines_of
from rewardsmith.sandbox.wire import cleaned

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_DTYPE = re.compile(r"[a-z0-9<>|]{1,20}")
_KINDS: tuple[FailureKind, ...] = ("reward_error", "bad_output", "oom")
_MOST_TEXT = 600
_MOST_QUOTE = 160
_MOST_SIZE = 10**12
_MOST_NAMES = 100

# (pattern of the error's text, what to do)
_CURES = (
    (
        r"truth value of an array|boolean conversion of traced array",
        "`if`, `and`, `or`, `not`, `min()` and `max()` do not work on arrays: every field "
        "holds one value "
        "per environment. Use np.where(condition, a, b), &, |, ~, np.minimum, np.maximum",
    ),
    (
        r"only (length-1|0-dimensional|size-1) arrays can be converted|"
        r"Only scalar arrays can be converted|Abstract tracer value",
        "float(), int() and the functions of math take single numbers: use the functions of "
        "np, which "
        "work on whole arrays, and no float()",
    ),
    (
        r"could not be broadcast|operands could not|mismatch in its core dimension|not aligned|"
        r"[Ii]ncompatible shapes|contracting dimension",
        "the shapes do not fit: a field of one number per environment is (N,), a vector field "
        "is (N, k). "
        "Reduce vectors over the last axis (axis=-1), or pick a column x[:, i]; to combine "
        "(N,) with "
        "(N, k) write x[:, None]",
    ),
    (
        r"in-place item assignment|boolean indices must be concrete",
        "arrays cannot be changed or cut by a mask where JAX evaluates them: write "
        "r = np.where(mask, value, r)",
    ),
    (
        r"requires ndarray or scalar arguments",
        "the functions of np take arrays: np.stack([a, b]) instead of [a, b], or a + b",
    ),
    (
        r"read-only",
        "the inputs must not be changed in place: make a new array, e.g. x = x * 0.5 instead "
        "of x *= 0.5",
    ),
    (
        r"is out of bounds|too many indices",
        "the first axis is the environment: use x[:, i], not x[i]",
    ),
    (r"axis \d+ is out of bounds", "a field of one number per environment has only one axis, (N,)"),
    (
        r"unsupported operand|bad operand",
        "every field is an array of float64; look at what the names in this line hold",
    ),
)


def error_failure(report: object, source: str, rows: int) -> Failure:
    """Turns a worker's report of an exception into a failure.

    Args:
        report: the ``error`` of a reply, as received.
        source: the program as it ran; its lines are numbered as its author's.
        rows: number of rows of the call, shown as N in shapes.
    """
    if not isinstance(report, dict):
        return Failure(kind="protocol_error", text="The worker's error report was not understood.")
    kind = next((kind for kind in _KINDS if kind == report.get("kind")), "reward_error")
    lines = lines_of(source)
    numbers = _line_numbers(report.get("lines"), len(lines))
    message = cleaned(str(report.get("text", "")), _MOST_TEXT).strip()
    name = str(report.get("type", ""))
    name = name[:40] if _NAME.fullmatch(name[:64]) else "an error"
    line = numbers[-1] if numbers else None
    if kind == "bad_output":
        return Failure(kind=kind, text=message, line=line)
    if kind == "oom":
        message = (
            "the program needs more memory than it may have; make no array larger than its inputs"
        )
    parts = [_where(lines, numbers) + (f"{name}: {message}" if message else name)]
    seen = _shapes(report.get("locals"), lines[line - 1] if line else "", rows)
    if seen:
        parts.append(f"Here {seen}.")
    cure = _cure(message, name, report.get("locals"), rows)
    if cure:
        parts.append(f"What to do: {cure}.")
    return Failure(kind=kind, text="\n".join(parts), line=line)


def _line_numbers(value: object, most: int) -> list[int]:
    if not isinstance(value, list):
        return []
    return [number for number in value[:8] if type(number) is int and 1 <= number <= most]


def _where(lines: list[str], numbers: list[int]) -> str:
    if not numbers:
        return ""
    last = numbers[-1]
    quote = f"line {last}: `{cleaned(lines[last - 1].strip(), _MOST_QUOTE)}`: "
    if len(numbers) > 1:
        callers = ", ".join(str(number) for number in numbers[:-1][-3:])
        return f"{quote}(called from line {callers}) "
    return quote


def _shapes(found: object, line: str, rows: int) -> str:
    if not isinstance(found, dict):
        return ""
    used = set(_NAME.findall(line))
    words = [f"{n} is {text}" for n, text in _described(found, rows).items() if n in used]
    return ", ".join(words[:6])


def _described(found: Mapping[str, Any], rows: int) -> dict[str, str]:
    described = {}
    for name, what in found.items():
        if not (_NAME.fullmatch(name) and isinstance(what, list) and len(what) == 2):
            continue
        shape, dtype = what
        good = isinstance(shape, list) and all(_is_size(size) for size in shape[:8])
        if good and isinstance(dtype, str) and _DTYPE.fullmatch(dtype):
            described[name] = _shape_words(shape[:8], dtype, rows)
    return described


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < _MOST_SIZE


def _shape_words(shape: list[int], dtype: str, rows: int) -> str:
    if not shape:
        return "a single number"
    sizes = [
        "N" if axis == 0 and size in (rows, max(rows, 8)) else str(size)
        for axis, size in enumerate(shape)
    ]
    words = f"an array ({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    if sizes == ["N"]:
        words = "an array with one value per environment (N,)"
    return words if dtype == "float64" else f"{words} of {dtype}"


def _cure(message: str, name: str, found: object, rows: int) -> str:
    for pattern, cure in _CURES:
        if re.search(pattern, message):
            return cure
    missing = re.search(r"name '([A-Za-z_]\w{0,63})' is not defined", message)
    if name in ("NameError", "UnboundLocalError") and missing and isinstance(found, dict):
        known = [key for key in list(found)[:_MOST_NAMES] if _NAME.fullmatch(key)]
        nearest = difflib.get_close_matches(missing[1], known, n=1)
        hint = f"did you mean `{nearest[0]}`? " if nearest else ""
        return f"{hint}Take what you use as a parameter, or define it in the program"
    return ""


_ENDS: Mapping[str, tuple[FailureKind, str]] = {
    "stalled": (
        "stalled",
        "the program did not answer in time and was stopped; look for a loop that never ends",
    ),
    "protocol_error": ("protocol_error", "the worker broke the protocol and was stopped"),
}


def ended_failure(fault: str, status: int | None, detail: str) -> Failure:
    """Turns the end of a worker, by its own doing or ours, into a failure."""
    if fault in _ENDS:
        kind, text = _ENDS[fault]
        return Failure(kind=kind, text=f"{text[0].upper()}{text[1:]} ({cleaned(detail, 200)}).")
    if status is not None and status < 0:
        text = f"The program's process was ended by signal {-status}"
        hint = " (often: not enough memory on this machine)" if status == -9 else " (a crash)"
        return Failure(kind="killed", text=f"{text}{hint}.")
    return Failure(
        kind="exited",
        text=f"The program ended its process (status {status}) instead of returning a reward.",
    )


assert set(_KINDS) <= set(get_args(FailureKind))
