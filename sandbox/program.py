"""A reward program as text: its identity, what it asks for, and what is wrong before it runs.

Nothing is executed here. The checks are early and friendly feedback for the model that wrote the
program; they are no wall, and a program that passes them is still run only inside the sandbox.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.failure import Failure, Problem
from rewardsmith.sandbox.policy import (
    MOST_BYTES,
    lines_of,
    policy_problems,
    too_deep,
    unknown_parameter,
)
from rewardsmith.sandbox.policy_flow import in_place_problems, yield_problems
from rewardsmith.sandbox.shaping import Shaping, parse_shaping
from rewardsmith.sandbox.wire import cleaned

FUNCTION = "compute_reward"
MEMORY = "MEMORY"
MARK = "# rewardsmith:"
ROWS_MARK = f"{MARK} one row at a time"
Mode = Literal["batched", "rows"]


@dataclass(frozen=True)
class Parsed:
    """A program that has the wanted function: its tree and what the function asks for."""

    tree: ast.Module
    function: ast.FunctionDef
    parameters: tuple[str, ...]

    @property
    def uses_memory(self) -> bool:
        """Whether state is carried along an episode."""
        return "memory" in self.parameters


@dataclass(frozen=True)
class RewardProgram:
    """The source text of a reward; equal text is the same program."""

    source: str

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the text."""
        return hashlib.sha256(self.source.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    @property
    def mode(self) -> Mode:
        """How it is to be called: the contract check marks what only works row by row."""
        return "rows" if ROWS_MARK in lines_of(self.source) else "batched"


def marked(source: str, mode: Mode) -> str:
    """Returns the text with the mark that says how it is to be called; lines keep their numbers."""
    if mode == RewardProgram(source).mode:
        return source
    return f"{source.rstrip()}\n{ROWS_MARK}\n"


def declared_shaping(source: str) -> Shaping | Problem | None:
    """Returns the shaping that a program's mark asks for, what is wrong with the mark, or None."""
    lines = enumerate(lines_of(source), start=1)
    marks = [(n, line) for n, line in lines if line.startswith(MARK) and line != ROWS_MARK]
    if not marks:
        return None
    number, line = marks[-1]
    if len(marks) > 1:
        return Problem(number, f"there are {len(marks)} lines `{MARK} ...`; keep one")
    try:
        return parse_shaping(line.removeprefix(MARK))
    except ConfigError as error:
        return Problem(number, str(error))


def with_mark(source: str, shaping: Shaping) -> str:
    """Returns the program with the line that asks for ``shaping``, in place of any other such."""
    lines = [line for line in lines_of(source) if line == ROWS_MARK or not line.startswith(MARK)]
    text = "\n".join(lines).rstrip()
    return f"{text}\n{MARK} {shaping.text}\n"


_TRIES = 20


def parse(source: str) -> Parsed | Failure:
    """Returns the program's tree and parameters, or why it cannot be read."""
    if len(source.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return Failure(
            kind="rejected", text=f"The program is larger than {MOST_BYTES // 1024} KiB."
        )
    try:
        tree = _tree(source)
    except SyntaxError as error:
        return Failure(kind="rejected", text=_syntax_text(source, error), line=error.lineno)
    except (RecursionError, MemoryError):
        return Failure(kind="rejected", text="The program is nested too deeply to be read.")
    except ValueError as error:
        return Failure(kind="rejected", text=f"The program cannot be read: {error}.")
    return _with_function(tree)


def _tree(source: str) -> ast.Module:
    """Returns the syntax tree, asked for again where threads came into each other's way.

    Python 3.11 and 3.12 count the depth of all threads' trees in one place, and raise SystemError
    where two are made at a time (python/cpython issue 106905).
    """
    for _ in range(_TRIES):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def _with_function(tree: ast.Module) -> Parsed | Failure:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    wanted = [node for node in functions if node.name == FUNCTION]
    if not wanted:
        return Failure(kind="rejected", text=_missing_text(tree, functions))
    if len(wanted) > 1:
        text = f"There are {len(wanted)} functions {FUNCTION}; keep one."
        return Failure(kind="rejected", text=text, line=wanted[1].lineno)
    function = wanted[0]
    arguments = function.args
    if arguments.vararg or arguments.kwarg:
        text = f"{FUNCTION} takes * or ** arguments; name the fields that it needs as parameters."
        return Failure(kind="rejected", text=text, line=function.lineno)
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return Parsed(
        tree, function, tuple(argument.arg for argument in every if argument.arg != "self")
    )


def _missing_text(tree: ast.Module, functions: list[ast.FunctionDef]) -> str:
    advice = f"Write `def {FUNCTION}(...)` at the top level of the program."
    if any(isinstance(n, ast.AsyncFunctionDef) and n.name == FUNCTION for n in tree.body):
        return f"{FUNCTION} is an async function. {advice}"
    if any(isinstance(n, ast.FunctionDef) and n.name == FUNCTION for n in ast.walk(tree)):
        return f"{FUNCTION} is inside a class, a function or a block. {advice}"
    if functions:
        found = ", ".join(node.name for node in functions[:5])
        return f"There is no function {FUNCTION}; the program has {found}. {advice}"
    return f"There is no function {FUNCTION}. {advice}"


def _syntax_text(source: str, error: SyntaxError) -> str:
    lines = lines_of(source)
    number = error.lineno or 0
    text = f"line {number}: {error.msg}"
    if 0 < number <= len(lines):
        text += f": `{cleaned(lines[number - 1].strip(), 120)}`"
    return f"The program is not valid Python. {text}"


def problems(source: str, spec: EnvSpec) -> tuple[Problem, ...]:
    """Returns what is wrong with a program for ``spec``, most important first."""
    parsed = parse(source)
    if isinstance(parsed, Failure):
        return (Problem(parsed.line, parsed.text),)
    found = [*policy_problems(source, parsed.tree), *_signature_problems(parsed, spec)]
    if too_deep(parsed.tree) is None:
        found += yield_problems(parsed.function)
        found += in_place_problems(parsed.function, spec)
    mark = declared_shaping(source)
    found += [mark] if isinstance(mark, Problem) else []
    unique = dict.fromkeys(found)
    return tuple(unique)


def _signature_problems(parsed: Parsed, spec: EnvSpec) -> Iterator[Problem]:
    arguments = parsed.function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        text = unknown_parameter(argument.arg, spec) if argument.arg != "self" else None
        if text is not None:
            yield Problem(argument.lineno, text)
    if parsed.uses_memory and not _declares_memory(parsed.tree):
        yield Problem(
            parsed.function.lineno,
            "`memory` is a parameter but MEMORY is not declared; put the values at the start of an "
            'episode at the top of the program, e.g. MEMORY = {"best": 0.0}',
        )


def _declares_memory(tree: ast.Module) -> bool:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == MEMORY for target in targets):
            return True
    return False


def rejection(source: str, spec: EnvSpec) -> Failure | None:
    """Returns the first problem as a failure, with the next ones in its text."""
    found = problems(source, spec)
    if not found:
        return None
    lines = [
        problem.text if problem.line is None else f"line {problem.line}: {problem.text}"
        for problem in found
    ]
    return Failure(kind="rejected", text="\n".join(lines[:5]), line=found[0].line)
