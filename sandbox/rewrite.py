"""Mechanical rewrites that make a program written for one environment work on arrays.

Help, not a wall: a rewrite is made only where the program would fail as written, or where it means
the same, and each is reported in words. Every line keeps its number, so errors speak of the program
as its author wrote it. The text that comes out is the text that runs and that is stored.
"""

import ast
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rewardsmith.sandbox import rewrite_expressions, rewrite_statements
from rewardsmith.sandbox.edits import Edit, apply
from rewardsmith.sandbox.policy import MOST_BYTES, too_deep

_MOST_ROUNDS = 60

Finder = Callable[[str, ast.Module], Iterator[Edit]]
_FINDERS: tuple[Finder, ...] = (
    rewrite_statements.line_ends,
    rewrite_statements.imports,
    rewrite_statements.signatures,
    rewrite_statements.in_place_on_inputs,
    rewrite_expressions.expressions,
    rewrite_statements.conditions,
)
# What an edit of these writes depends on what the others wrote.
_ONE_AT_A_TIME: tuple[Finder, ...] = (rewrite_statements.conditions,)
_MOST_AT_ONCE = 400


@dataclass(frozen=True)
class Rewritten:
    """The text to run, and what was changed, one sentence for each kind of change and line."""

    source: str
    notes: tuple[str, ...]


def rewrite(source: str) -> Rewritten:
    """Returns the program with every rewrite applied; unreadable text comes back as it is."""
    notes: dict[tuple[int, str], None] = {}
    source = source.removeprefix("\ufeff")  # a byte order mark, which editors leave in files
    for _ in range(_MOST_ROUNDS):
        edits = _next(source)
        changed = _applied(source, edits)
        if changed is None and len(edits) > 1:
            edits = edits[:1]
            changed = _applied(source, edits)
        if changed is None or changed == source:
            break
        source = changed
        notes |= {(edit.start[0], edit.note): None for edit in edits}
    return Rewritten(source, tuple(f"line {line}: {note}" for line, note in sorted(notes)))


def _next(source: str) -> list[Edit]:
    """The edits of the first finder that has any, as far as they leave each other alone."""
    tree = _tree(source)
    if tree is None:
        return []
    for finder in _FINDERS:
        edits = finder(source, tree)
        if finder in _ONE_AT_A_TIME:  # finding the others takes minutes where there are hundreds
            edits = itertools.islice(edits, 1)
        found = apart(edits)
        if found:
            return found
    return []


def apart(edits: Iterator[Edit]) -> list[Edit]:
    """Keeps the edits that share no line with an earlier one."""
    kept: list[Edit] = []
    lines: set[int] = set()
    for edit in edits:
        touched = range(edit.start[0], edit.end[0] + 1)
        if lines.isdisjoint(touched):
            kept.append(edit)
            lines.update(touched)
        if len(kept) == _MOST_AT_ONCE:
            break
    return kept


def _applied(source: str, edits: list[Edit]) -> str | None:
    for edit in edits:  # on lines of their own, and no edit adds or takes a line
        source = apply(source, edit)
    return source if edits and _tree(source) is not None else None


def _tree(source: str) -> ast.Module | None:
    if len(source) > MOST_BYTES:
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if too_deep(tree) is None else None
