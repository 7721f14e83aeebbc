"""Mechanical rewrites that make a program written for one environment work on arrays.

Help, not a wall: a rewrite is made only where the program would fail as written, or where it means
the same, and each is reported in words. Every line keeps its number, so errors speak of the program
as its author wrote it. The text that comes out is the text that runs and that is stored.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rewardsmith.sandbox import rewrite_expressions, rewrite_statements
from rewardsmith.sandbox.edits import Edit, apply

_MOST_EDITS = 400

Finder = Callable[[str, ast.Module], Iterator[Edit]]
_FINDERS: tuple[Finder, ...] = (
    rewrite_statements.line_ends,
    rewrite_statements.imports,
    rewrite_statements.signatures,
    rewrite_statements.in_place_on_inputs,
    rewrite_expressions.expressions,
    rewrite_statements.conditions,
)


@dataclass(frozen=True)
class Rewritten:
    """The text to run, and what was changed, one sentence for each kind of change and line."""

    source: str
    notes: tuple[str, ...]


def rewrite(source: str) -> Rewritten:
    """Returns the program with every rewrite applied; unreadable text comes back as it is."""
    notes: dict[tuple[int, str], None] = {}
    for _ in range(_MOST_EDITS):
        edit = _next(source)
        if edit is None:
            break
        changed = apply(source, edit)
        if changed == source or _tree(changed) is None:
            break
        source = changed
        notes[edit.start[0], edit.note] = None
    return Rewritten(source, tuple(f"line {line}: {note}" for line, note in sorted(notes)))


def _next(source: str) -> Edit | None:
    tree = _tree(source)
    if tree is None:
        return None
    for finder in _FINDERS:
        for edit in finder(source, tree):
            return edit
    return None


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
