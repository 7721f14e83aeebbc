"""`if` on arrays as guarded assignments: both sides are computed, np.where picks per row."""

import ast
import re
from dataclasses import dataclass

from rewardsmith.sandbox.edits import Edit, bracketed, segment

_WHEN = "_when"
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.BitOr: "|",
    ast.BitAnd: "&",
}
_NOT_NUMBERS = (ast.Dict, ast.List, ast.Tuple, ast.Set, ast.JoinedStr, ast.Lambda)
_NOTE = "`if` on an array became np.where: every environment takes its own branch"


@dataclass(frozen=True)
class _Branch:
    """One branch: its test (None for else), where its header stands, and its assignments."""

    test: ast.expr | None
    line: int
    body: list[ast.stmt]


def _branches(node: ast.If) -> list[_Branch]:
    found = [_Branch(node.test, node.lineno, node.body)]
    rest = node.orelse
    while len(rest) == 1 and isinstance(rest[0], ast.If):
        found.append(_Branch(rest[0].test, rest[0].lineno, rest[0].body))
        rest = rest[0].orelse
    if rest:
        found.append(_Branch(None, rest[0].lineno, rest))
    return found


def _target_of(node: ast.stmt) -> ast.expr | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return node.targets[0]
    return node.target if isinstance(node, ast.AugAssign) else None


def _convertible(node: ast.stmt) -> bool:
    if isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ):
        return True
    if not isinstance(node, ast.Assign | ast.AugAssign):
        return False
    target = _target_of(node)
    named = isinstance(target, ast.Name) or (
        isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Name)
        and isinstance(target.slice, ast.Constant)
        and isinstance(target.slice.value, str)
    )
    if isinstance(node, ast.AugAssign) and type(node.op) not in _OPERATORS:
        return False
    number = not isinstance(node.value, _NOT_NUMBERS)
    if isinstance(node.value, ast.Constant):
        number = isinstance(node.value.value, int | float)
    return named and number


def converted(source: str, node: ast.If, bound: set[str]) -> Edit | None:
    """Returns the edit for one `if`, or None where it would not mean the same.

    Args:
        source: the whole text.
        node: an `if` (with its `elif` and `else`) on an array.
        bound: what is surely assigned before it.
    """
    branches = _branches(node)
    statements = [statement for branch in branches for statement in branch.body]
    if not all(_convertible(statement) for statement in statements):
        return None
    known = bound | {name for name in _in_every(branches)}
    for statement in statements:
        target = _target_of(statement)
        if (
            target is not None
            and not _is_when(target)
            and not _is_bound(ast.unparse(target), known)
        ):
            return None
    return _Writer(source, node, bound).edit(branches)


def _in_every(branches: list[_Branch]) -> set[str]:
    """What every branch assigns plainly, where there is an else."""
    if branches[-1].test is not None:
        return set()
    sides = [
        {ast.unparse(s.targets[0]) for s in branch.body if isinstance(s, ast.Assign)}
        for branch in branches
    ]
    return set.intersection(*sides)


def _is_when(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id.startswith(_WHEN)


def _is_bound(target: str, known: set[str]) -> bool:
    # Every key of MEMORY is there at every call.
    return target in known or ("memory" in known and target.startswith("memory["))


class _Writer:
    """Writes the guarded form of one `if` onto the lines that it had."""

    def __init__(self, source: str, node: ast.If, bound: set[str]) -> None:
        self._source = source
        self._node = node
        self._bound = set(bound)
        lines = source.split("\n")
        self._first, self._last = node.lineno, node.end_lineno or node.lineno
        self._indent = " " * node.col_offset
        self._lines = [
            line if line.lstrip().startswith("#") else ""
            for line in lines[self._first - 1 : self._last]
        ]
        numbers = [int(n) for n in re.findall(rf"\b{_WHEN}(\d+)\b", source)]
        self._next = max(numbers, default=0) + 1

    def edit(self, branches: list[_Branch]) -> Edit | None:
        guards: list[str] = []
        for branch in branches:
            guard = self._guard(branch, guards)
            for statement in branch.body:
                self._put(statement.lineno, self._guarded(statement, guard, fresh=not guards))
            guards.append(guard)
        self._lines[0] = self._lines[0].removeprefix(self._indent)
        end_column = len(self._source.encode().split(b"\n")[self._last - 1])
        start = (self._first, self._node.col_offset)
        if len(self._lines) != self._last - self._first + 1:
            return None
        return Edit(start, (self._last, end_column), "\n".join(self._lines), _NOTE)

    def _guard(self, branch: _Branch, before: list[str]) -> str:
        """Names the environments that take a branch, and writes that down on its header's line."""
        others = before[0] if before else ""
        for guard in before[1:]:
            others = f"np.logical_or({others}, {guard})"
        if branch.test is None:
            return f"np.logical_not({others})"
        name = f"{_WHEN}{self._next}"
        self._next += 1
        test = segment(self._source, branch.test)
        text = (
            f"np.logical_and(np.logical_not({others}), {test})"
            if before
            else bracketed(self._source, branch.test)
        )
        self._put(branch.line, f"{name} = {text}")
        return name

    def _guarded(self, statement: ast.stmt, guard: str, *, fresh: bool) -> str:
        target = _target_of(statement)
        if target is None:
            return "pass"
        assert isinstance(statement, ast.Assign | ast.AugAssign)
        name, value = ast.unparse(target), segment(self._source, statement.value)
        if isinstance(statement, ast.AugAssign):
            value = bracketed(self._source, statement.value)
            value = f"{name} {_OPERATORS[type(statement.op)]} {value}"
        elif _is_when(target) or (fresh and not _is_bound(name, self._bound)):
            self._bound.add(name)
            return f"{name} = {bracketed(self._source, statement.value)}"
        return f"{name} = np.where({guard}, {value}, {name})"

    def _put(self, line: int, text: str) -> None:
        for offset, piece in enumerate(text.split("\n")):
            at = line - self._first + offset
            there = self._lines[at]
            if offset:
                self._lines[at] = piece
            else:
                self._lines[at] = f"{there}; {piece}" if there else f"{self._indent}{piece}"
