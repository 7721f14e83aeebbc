"""Calls a reward program on columns: all rows at once, row by row, or along time with memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]

# NumPy's `@` and its sums over strided axes round differently for few rows; with at least this many
# a row has the same value alone and in a batch.
LEAST_ROWS = 8
MOST_COMPONENTS = 16
_MOST_NAME = 32


class BadAnswer(Exception):
    """The program returned something else than was declared; the text says what to mend."""


@dataclass
class Program:
    """A loaded program: its function, what it wants to be called with, and its state."""

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    by_row: bool
    initial: dict[str, Floats] | None  # of `memory`, per environment; None where it has none
    memory: dict[str, Floats] = field(default_factory=dict)  # (envs, ...) between calls
    envs: int = 0


@dataclass
class Answer:
    """(rows,) float64 each, and which of them were numbers, repeated for every row."""

    total: Floats
    components: dict[str, Floats]
    constants: tuple[str, ...]


def initial_memory(declared: object) -> dict[str, Floats]:
    """Returns the module-level ``MEMORY`` as arrays, or explains how it is declared."""
    if not isinstance(declared, dict) or not declared:
        raise BadAnswer(
            "`memory` is a parameter but the module has no MEMORY; declare the values at the "
            "start of an "
            'episode, e.g. MEMORY = {"best": 0.0}'
        )
    start: dict[str, Floats] = {}
    for name, value in declared.items():
        try:
            start[str(name)] = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise BadAnswer(f"MEMORY[{name!r}] is not a number or a list of numbers") from None
    return start


def evaluate(
    program: Program,
    columns: Columns,
    rows: int,
    envs: int,
    starts: npt.NDArray[np.bool_],
    carry: bool,
) -> Answer:
    """Returns the answer to ``rows`` rows, time-major over ``envs`` environments."""
    if program.initial is None:
        pieces = [_step(program, columns, rows, None)]
    else:
        pieces = list(_along_time(program, columns, envs, starts, carry))
    return _joined(pieces)


def _along_time(
    program: Program, columns: Columns, envs: int, starts: npt.NDArray[np.bool_], carry: bool
) -> Iterator["Answer"]:
    padded = max(envs, LEAST_ROWS) if not program.by_row else envs
    initial = program.initial or {}
    if not carry or program.envs != envs:
        program.memory = {
            name: np.broadcast_to(value, (padded, *value.shape)).copy()
            for name, value in initial.items()
        }
        program.envs = envs
    for first in range(0, len(starts), envs):
        here = slice(first, first + envs)
        begins = _pad(starts[here], padded)
        if begins.any():
            for name, value in initial.items():
                program.memory[name][begins] = value
        step = {name: column[here] for name, column in columns.items()}
        yield _kept(_step(program, step, envs, program.memory))


def _kept(answer: Answer) -> Answer:
    """A copy: the program may use the same buffers again in the next step."""
    parts = {name: column.copy() for name, column in answer.components.items()}
    return Answer(answer.total.copy(), parts, answer.constants)


def _pad(column: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    if len(column) >= rows:
        return column
    padded = np.concatenate([column, np.repeat(column[-1:], rows - len(column), axis=0)])
    padded.flags.writeable = False
    return padded


def _step(
    program: Program, columns: Columns, rows: int, memory: dict[str, Floats] | None
) -> Answer:
    if program.by_row:
        return _rows(program, columns, rows, memory)
    padded = max(rows, LEAST_ROWS)
    columns = {name: _pad(column, padded) for name, column in columns.items()}
    if memory is None:
        return _cut(_answer(program.function(**columns), padded), rows)
    lent = {name: value.copy() for name, value in memory.items()}
    answer = _answer(program.function(**columns, memory=lent), padded)
    program.memory = {name: _remembered(name, lent, value) for name, value in memory.items()}
    _refuse_undeclared(lent, memory)
    return _cut(answer, rows)


def _remembered(name: str, lent: Mapping[str, Any], before: Floats) -> Floats:
    try:
        value = np.asarray(lent[name], dtype=np.float64)
        return np.broadcast_to(value, before.shape).copy()
    except KeyError:
        raise BadAnswer(f"memory[{name!r}] was deleted; every key of MEMORY must stay") from None
    except (TypeError, ValueError):
        found = _shape_of(lent[name], len(before))
        wanted = symbolic(before.shape, len(before))
        raise BadAnswer(
            f"memory[{name!r}] was set to {found}; its shape must stay {wanted}"
        ) from None


def _refuse_undeclared(lent: Mapping[str, Any], declared: Mapping[str, Floats]) -> None:
    new = [name for name in lent if name not in declared]
    if new:
        raise BadAnswer(
            f"memory[{new[0]!r}] is not declared; add it with its value at the start of an "
            "episode: "
            f"MEMORY = {{{new[0]!r}: 0.0, ...}}"
        )


def _rows(
    program: Program, columns: Columns, rows: int, memory: dict[str, Floats] | None
) -> Answer:
    answers = []
    for row in range(rows):
        values = {name: _row_value(column, row) for name, column in columns.items()}
        if memory is None:
            answers.append(_answer(program.function(**values), 1))
            continue
        lent = {name: _row_value(value, row) for name, value in memory.items()}
        answers.append(_answer(program.function(**values, memory=lent), 1))
        _refuse_undeclared(lent, memory)
        for name, value in memory.items():
            value[row] = _remembered(name, {name: [lent[name]]}, value[row : row + 1])[0]
    return _joined(answers)


def _row_value(column: npt.NDArray[Any], row: int) -> object:
    value = column[row]
    return value.copy() if isinstance(value, np.ndarray) else value


def symbolic(shape: tuple[int, ...], rows: int) -> str:
    """Writes a shape with N for the number of rows: "(N, 3)"."""
    names = ["N" if axis == 0 and size == rows else str(size) for axis, size in enumerate(shape)]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _shape_of(value: object, rows: int) -> str:
    if type(value) is np.ndarray:
        return f"an array of shape {symbolic(value.shape, rows)}"
    if type(value) in (float, int, bool) or isinstance(value, np.generic):
        return "a single number"
    return f"a {type(value).__name__}"


def _answer(result: object, rows: int) -> Answer:
    if type(result) is not tuple or len(result) != 2:
        found = f"a tuple of {len(result)}" if type(result) is tuple else _shape_of(result, rows)
        raise BadAnswer(
            f"compute_reward returned {found}; it must return two things: the total reward, "
            "shape (N,), "
            'and a dict of its components, e.g. `return total, {"run": run, "effort": -effort}`'
        )
    total, parts = result
    if type(parts) is not dict:
        raise BadAnswer(
            f"the second value returned is {_shape_of(parts, rows)}; it must be a dict that "
            "names the "
            'components, e.g. {"run": run, "effort": -effort}'
        )
    if len(parts) > MOST_COMPONENTS:
        raise BadAnswer(f"there are {len(parts)} components; at most {MOST_COMPONENTS} are allowed")
    constants: list[str] = []
    column = _column(total, rows, "the total reward", "", constants)
    columns = {}
    for name, value in parts.items():
        if type(name) is not str:
            raise BadAnswer(f"a component's name is {_shape_of(name, rows)}; it must be a string")
        if len(name) > _MOST_NAME or not name.isascii():
            raise BadAnswer(
                f"the component name {name[:40]!a} is not allowed: use lower-case letters, "
                f"digits and _, at most {_MOST_NAME} characters, starting with a letter"
            )
        columns[name] = _column(value, rows, f"component {name[:40]!r}", name, constants)
    return Answer(column, columns, tuple(constants))


def _column(value: object, rows: int, what: str, name: str, constants: list[str]) -> Floats:
    # Exact types: a subclass could answer differently each time it is asked.
    if type(value) in (bool, int, float) or (
        type(value).__module__ == "numpy" and np.isscalar(value)
    ):
        value = np.array(value)
    if type(value) is not np.ndarray:
        raise BadAnswer(f"{what} is {_shape_of(value, rows)}; it must be an array of shape (N,)")
    if value.dtype.kind not in "biuf":
        raise BadAnswer(f"{what} holds {value.dtype}; it must hold real numbers (float64)")
    column = value.astype(np.float64, copy=False)
    if column.shape == (rows,):
        return column
    if column.shape == ():
        constants.append(name)
        return np.full(rows, column)
    raise BadAnswer(f"{what} has shape {symbolic(column.shape, rows)}; {_cure(column.shape, rows)}")


def _cure(shape: tuple[int, ...], rows: int) -> str:
    if shape == (rows, 1):
        return "it must be (N,): take [:, 0] and do not use keepdims"
    if shape[0] == rows and len(shape) == 2:
        return (
            "it must be (N,): reduce the last axis, e.g. np.sum(x, axis=-1), or pick one of its "
            f"{shape[1]} columns, x[:, 0]"
        )
    if rows not in shape:
        return (
            "it must be (N,), one value per environment: the first axis was lost; "
            "use x[:, i] and axis=-1"
        )
    return "it must be (N,), one value per environment"


def _cut(answer: Answer, rows: int) -> Answer:
    parts = {name: column[:rows] for name, column in answer.components.items()}
    return Answer(answer.total[:rows], parts, answer.constants)


def _joined(pieces: list[Answer]) -> Answer:
    if len(pieces) == 1:
        return pieces[0]
    names = list(pieces[0].components)
    for piece in pieces:
        if list(piece.components) != names:
            raise BadAnswer(
                f"the components differ from call to call: {names} and then "
                f"{list(piece.components)}; "
                "return the same names every time"
            )
    constants = set(pieces[0].constants).intersection(*(piece.constants for piece in pieces))
    return Answer(
        np.concatenate([piece.total for piece in pieces]),
        {name: np.concatenate([piece.components[name] for piece in pieces]) for name in names},
        tuple(sorted(constants)),
    )
