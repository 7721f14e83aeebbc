"""Numbers of the card that a program asks for as if they were fields: the step length ``dt``."""

import ast
from collections.abc import Mapping

from rewardsmith.envs.task import EnvSpec


def card_constants(env: EnvSpec) -> dict[str, float]:
    """Returns the numbers that the card tells but that are no fields."""
    fields = {item.name for item in env.fields}
    return {"dt": env.dt} if "dt" not in fields else {}


def spelled_out(
    program: str, constants: Mapping[str, float], *, function: str = "compute_reward"
) -> tuple[str, tuple[str, ...]]:
    """Returns the program with each constant that it takes as a parameter written as its number.

    Small models take ``dt`` as a parameter although the card gives it as a number. Names that the
    program binds itself stay; every line stays where it was.

    Returns:
        the program, and the names that were replaced.
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError):
        return program, ()
    node = next(
        (n for n in reversed(tree.body) if isinstance(n, ast.FunctionDef) and n.name == function),
        None,
    )
    if node is None or node.args.defaults or node.args.kwonlyargs or node.args.posonlyargs:
        return program, ()
    wanted = [a.arg for a in node.args.args if a.arg in constants and not _rebound(tree, a.arg)]
    edits = [edit for name in wanted for edit in _edits(node, name, constants[name])]
    return _edited(program, edits), tuple(wanted)


def _rebound(tree: ast.Module, name: str) -> bool:
    """Whether the program assigns the name, so that it is no constant of the card."""
    return any(
        isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load)
        for n in ast.walk(tree)
    )


# (first line, byte column, last line, byte column, text), lines from 1
_Edit = tuple[int, int, int, int, str]


def _edits(node: ast.FunctionDef, name: str, value: float) -> list[_Edit]:
    uses = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == name]
    return [_removal(node.args.args, name), *(_span(n, n, repr(value)) for n in uses)]


def _removal(arguments: list[ast.arg], name: str) -> _Edit:
    place = next(i for i, a in enumerate(arguments) if a.arg == name)
    this = arguments[place]
    if place > 0:
        before = arguments[place - 1]
        end = _span(before, before, "")
        return (end[2], end[3], this.end_lineno or 1, this.end_col_offset or 0, "")
    if len(arguments) > 1:
        after = arguments[1]
        return (this.lineno, this.col_offset, after.lineno, after.col_offset, "")
    return _span(this, this, "")


def _span(first: ast.expr | ast.arg, last: ast.expr | ast.arg, text: str) -> _Edit:
    return (
        first.lineno,
        first.col_offset,
        last.end_lineno or last.lineno,
        last.end_col_offset or last.col_offset,
        text,
    )


def _edited(program: str, edits: list[_Edit]) -> str:
    """Applies the edits from the end; line breaks within them stay, so that no line moves."""
    text = program.encode()
    starts = [0]
    for line in text.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    for row, column, last_row, last_column, new in sorted(edits, reverse=True):
        first, last = starts[row - 1] + column, starts[last_row - 1] + last_column
        text = text[:first] + new.encode() + b"\n" * text.count(b"\n", first, last) + text[last:]
    return text.decode()
