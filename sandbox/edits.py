"""Replacing pieces of a program's text so that every line keeps its number."""

import ast
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Edit:
    """Text to put in place of a span (lines from 1, columns in UTF-8 bytes), and why, in words."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str
    note: str


def edit_of(node: ast.expr | ast.stmt | ast.arg, text: str, note: str) -> Edit:
    """Returns the edit that replaces a whole node."""
    return Edit(
        (node.lineno, node.col_offset),
        (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset),
        text,
        note,
    )


def apply(source: str, edit: Edit) -> str:
    """Returns the text after the edit, with as many lines as before."""
    lines = source.encode().split(b"\n")
    (first, left), (last, right) = edit.start, edit.end
    lost = (last - first) - edit.text.count("\n")
    text = _with_lines(edit.text, lost).encode()
    whole = lines[first - 1][:left] + text + lines[last - 1][right:]
    return b"\n".join([*lines[: first - 1], whole, *lines[last:]]).decode()


def _with_lines(text: str, lost: int) -> str:
    """Puts lost line ends back where Python ignores them: inside a pair of brackets."""
    if lost <= 0 or not text:
        return text + "\n" * max(lost, 0)
    return text[:-1] + "\n" * lost + ")" if text.endswith(")") else f"({text}" + "\n" * lost + ")"


def segment(source: str, node: ast.expr) -> str:
    """The text of an expression as written."""
    if node.end_lineno is None or node.end_col_offset is None:
        return ast.unparse(node)
    whole = _lines(source)[node.lineno - 1 : node.end_lineno]
    lines = [*whole[:-1], whole[-1][: node.end_col_offset]]
    return b"\n".join([lines[0][node.col_offset :], *lines[1:]]).decode()


@lru_cache(maxsize=2)
def _lines(source: str) -> tuple[bytes, ...]:
    """The lines as the syntax tree counts them: columns are bytes, and only line feeds end one."""
    return tuple(source.encode().split(b"\n"))


_TIGHT = (ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.Subscript)


def bracketed(source: str, node: ast.expr) -> str:
    """The text of an expression, in brackets where it needs them to stand beside an operator."""
    text = segment(source, node)
    return text if isinstance(node, _TIGHT) and "\n" not in text else f"({text})"
