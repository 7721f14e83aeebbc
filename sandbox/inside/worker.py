"""Serves requests inside the walls: load a program, reward rows, report what went wrong."""

import contextlib
import mmap
import sys
import types
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.sandbox.inside import frames, namespace
from rewardsmith.sandbox.inside.evaluate import (
    Answer,
    BadAnswer,
    Program,
    evaluate,
    initial_memory,
)
from rewardsmith.sandbox.inside.library import NUMPY, Library

PROGRAM_FILE = "<reward>"
_MOST_TEXT = 2000
_MOST_FRAMES = 8
_MOST_LOCALS = 40
_MOST_NAME = 64
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # how XLA's errors begin
_NOT_BY_ROW = (
    "the program works one environment at a time, and rewards are evaluated with JAX, which takes "
    "whole arrays: use np.where(condition, a, b) instead of if, and the functions of np on arrays"
)


def versions() -> dict[str, str]:
    """What the worker runs on, for the trusted side to compare."""
    return {"python": sys.version.split()[0], "numpy": np.__version__}


def _warm_up() -> None:
    """Has NumPy and Python load late what they load late: afterwards no file can be opened."""
    rows = np.linspace(0.0, 1.0, 24).reshape(8, 3)
    with np.errstate(all="ignore"):
        np.linalg.norm(rows, axis=-1), np.einsum("ij,ij->i", rows, rows), rows @ rows.T
        rows.sum(axis=-1), rows.mean(), rows.std(), rows.max(axis=0), rows.any(), rows.clip(0, 1)
        np.exp(rows), np.median(rows, axis=-1), np.clip(rows, 0.0, 0.5), str(rows), repr(rows)
    with contextlib.suppress(ValueError, TypeError):
        bool(rows)
    "é".encode("ascii", "replace"), "é".encode("latin-1"), "x".encode("idna")


def _locals_at(frame: types.FrameType, library: Library) -> dict[str, list[Any]]:
    """Describes the arrays and numbers of a frame: name -> [shape, dtype]."""
    seen: dict[str, list[Any]] = {}
    for name, value in list(frame.f_locals.items())[:_MOST_LOCALS]:
        if (found := library.described(value)) is not None:
            seen[name[:_MOST_NAME]] = found
        elif type(value) in (float, int, bool) or isinstance(value, np.generic):
            seen[name[:_MOST_NAME]] = [[], type(value).__name__[:20]]
    return seen


def _plain(text: str) -> str:
    """Without lone surrogates, which no frame may hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text_of(error: BaseException, library: Library) -> str:
    try:
        return _plain(library.shortened(str(error)[:_MOST_TEXT]))
    except BaseException:  # noqa: BLE001 - the program's own exception may fight being printed
        return "(its text could not be made)"


def _described(error: BaseException, library: Library) -> dict[str, Any]:
    """Describes an exception: its type, text, and the program's own lines from outer to inner."""
    lines, innermost = [], None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == PROGRAM_FILE:
            lines.append(trace.tb_lineno)
            innermost = trace.tb_frame
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == PROGRAM_FILE:
        lines.append(error.lineno or 0)
    text = _text_of(error, library)
    full = isinstance(error, MemoryError) or text.startswith(_OUT_OF_MEMORY)
    kind = "oom" if full else "reward_error"
    return {
        "kind": "bad_output" if isinstance(error, BadAnswer) else kind,
        "type": _plain(type(error).__name__[:_MOST_NAME]),
        "text": text,
        "lines": lines[-_MOST_FRAMES:],
        "locals": _locals_at(innermost, library) if innermost is not None else {},
    }


class _Worker:
    """One program and the region through which its columns come and go."""

    def __init__(self, region: "mmap.mmap | bytearray", library: Library = NUMPY) -> None:
        self._region = region
        self._library = library
        self._printer = namespace.Printer()
        self._program: Program | None = None

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Compiles and runs the module of a program."""
        if request["by_row"] and not self._library.by_row:
            raise BadAnswer(_NOT_BY_ROW)
        names = namespace.fresh(self._printer, self._library.names())
        code = compile(request["source"], PROGRAM_FILE, "exec", dont_inherit=True)
        with np.errstate(all="ignore"):
            exec(code, names)  # noqa: S102 - this is the one place where a program may run
        function = names.get(request["function"])
        if not callable(function):
            raise BadAnswer(f"after the module ran, there is no function {request['function']}")
        initial = initial_memory(names.get("MEMORY")) if request["memory"] else None
        parameters = tuple(request["parameters"])
        function = self._library.prepared(function)
        self._program = Program(function, parameters, request["by_row"], initial)
        return {}

    def _column(self, where: list[Any]) -> npt.NDArray[Any]:
        _, dtype, shape, offset = where
        column: npt.NDArray[Any] = np.ndarray(tuple(shape), dtype, self._region, offset)
        column.flags.writeable = False
        return column

    def call(self, request: dict[str, Any]) -> tuple[dict[str, Any], memoryview]:
        """Rewards the rows in the region and leaves the answer in it."""
        if self._program is None:
            raise BadAnswer("no program was loaded")
        columns = {where[0]: self._column(where) for where in request["columns"]}
        starts = columns.pop(" starts", np.zeros(0, dtype=np.bool_))
        with np.errstate(all="ignore"):
            answer = evaluate(
                self._program, columns, request["rows"], request["envs"], starts, request["carry"]
            )
        return self._written(answer, request)

    def _written(
        self, answer: Answer, request: dict[str, Any]
    ) -> tuple[dict[str, Any], memoryview]:
        rows, first = request["rows"], request["out"]
        out = np.ndarray((1 + len(answer.components), rows), np.float64, self._region, first)
        out[0] = answer.total
        for index, column in enumerate(answer.components.values()):
            out[index + 1] = column
        names = list(answer.components)
        return {"names": names, "constants": list(answer.constants)}, out.data.cast("B")

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes | memoryview]:
        """Returns the reply to one request; whatever the program throws becomes part of it."""
        reply: dict[str, Any]
        blob: bytes | memoryview = b""
        try:
            if request["do"] == "load":
                reply = self.load(request)
            else:
                reply, blob = self.call(request)
        except BaseException as error:  # noqa: BLE001 - a program may raise anything, SystemExit too
            reply, blob = {"error": _described(error, self._library)}, b""
        printed = self._printer.take()
        if printed:
            reply["printed"] = _plain(printed)
        return {"id": request["id"], **reply}, blob


def serve(
    requests: int, replies: int, region: "mmap.mmap | bytearray", library: Library = NUMPY
) -> None:
    """Answers requests until the pipe closes (EOFError)."""
    worker = _Worker(region, library)
    inline = isinstance(region, bytearray)
    while True:
        request = frames.read_header(requests)
        if inline and request.get("blob"):
            region[: request["blob"]] = frames.read_exact(requests, request["blob"])
        reply, blob = worker.answer(request)
        frames.write_frame(replies, reply, blob if inline else b"")


_warm_up()
