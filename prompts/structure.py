"""A program within a stretch of text, found by Python's structure and never by trial and cut."""

import ast
import builtins
import re
import symtable
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_OPENERS, _CLOSERS = "([{", ")]}"
_TRIPLE = re.compile(r'"""|\'\'\'')
_STRING = re.compile(r"""[rbfuRBFU]{0,2}("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_AMBIENT = frozenset(dir(builtins)) | {"np", "numpy", "math"}
# A model that repeats itself writes the same line over and over; its last attempts are enough.
_MOST_ATTEMPTS = 12
PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


@dataclass(frozen=True)
class Statement:
    """One module-level statement: its lines, the comments above it, what it binds and uses."""

    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    changes: frozenset[str]  # names that exist before and are altered, as in ``WEIGHTS["run"] = 2``


@dataclass(frozen=True)
class Definition:
    """The wanted function, dedented, with the module-level statements around it."""

    text: str
    uses: frozenset[str]
    complete: bool  # returns a value somewhere; a signature sketch or a cut-off body does not
    ends_block: bool
    around: tuple[Statement, ...]
    position: int  # how many of ``around`` stand before it


def parsed(source: str) -> ast.Module | None:
    """The syntax tree of ``source``, or None where Python would refuse to compile it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(source, "<reward>", "exec", dont_inherit=True)
    except PARSE_ERRORS:
        return None
    return tree


def syntax_error(source: str) -> tuple[int | None, str]:
    """The line and the message with which Python refuses ``source``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "<reward>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno, error.msg
    except PARSE_ERRORS as error:
        return None, f"{type(error).__name__}: {error}"
    return None, ""


def definition(text: str, function: str) -> Definition | None:
    """The last definition of ``function`` in ``text`` that parses, or None.

    A text that parses as a whole is taken as it is. Where it does not (prose around the code, a
    method of an unfinished class), the function is delimited by its indentation, and each other
    stretch that starts at the margin counts on its own.
    """
    source = textwrap.dedent(text)
    tree = parsed(source)
    if tree is not None:
        return _from_tree(source, tree, function)
    return _from_layout(source, function)


def bare_body(text: str, function: str) -> Definition | None:
    """A block that is only the body of the function, ``return total, components`` at the margin.

    It gets a ``def`` line whose parameters are the names that it reads and nothing binds.
    """
    source = textwrap.dedent(text).strip("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            last = ast.parse(source).body[-1:]
    except PARSE_ERRORS:
        return None
    answers = [
        n.value for n in last if isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple)
    ]
    if not answers or len(answers[0].elts) != 2 or function in source or '"""' in source:
        return None
    body = f"def {function}():\n" + textwrap.indent(source, "    ") + "\n"
    names = sorted(_uses(body) - {function} - _AMBIENT, key=lambda name: source.find(name))
    whole = body.replace("()", f"({', '.join(names)})", 1)
    return _definition(whole, (), position=0, ends_block=True)


def attempts(text: str, function: str) -> list[str]:
    """The stretches of ``text`` that start to define ``function``, dedented, parsing or not."""
    lines = textwrap.dedent(text).split("\n")
    return [_dedented(lines[start:end]) for start, end in _spans(lines, function)]


def _from_tree(source: str, tree: ast.Module, function: str) -> Definition | None:
    found = [
        node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _defines(node, function)
    ]
    if not found:
        return None
    lines = source.split("\n")
    top = [node for node in tree.body if _defines(node, function)]
    node = (top or found)[-1]
    owner = next(n for n in reversed(tree.body) if n.lineno <= node.lineno)
    first = _first_line(lines, node, decorated=bool(top))
    others = [n for n in tree.body if n is not owner and not _defines(n, function)]
    around = tuple(_statement(lines, n) for n in others)
    return _definition(
        _dedented(lines[first : node.end_lineno]),
        around,
        position=sum(n.lineno < owner.lineno for n in others),
        ends_block=not "".join(lines[node.end_lineno :]).strip(),
    )


def _from_layout(source: str, function: str) -> Definition | None:
    lines = source.split("\n")
    best: Definition | None = None
    for start, end in _spans(lines, function):
        text = _dedented(lines[start:end])
        if parsed(text) is None:
            continue
        before = tuple(_margin_statements(lines[:start], function))
        around = before + tuple(_margin_statements(lines[end:], function))
        ends_block = not "".join(lines[end:]).strip()
        found = _definition(text, around, position=len(before), ends_block=ends_block)
        if found is not None and (best is None or found.complete or not best.complete):
            best = found
    return best


def _definition(
    text: str, around: tuple[Statement, ...], *, position: int, ends_block: bool
) -> Definition | None:
    tree = parsed(text)
    if tree is None:  # a method that only parsed inside its class
        return None
    complete = any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(tree))
    return Definition(text, _uses(text), complete, ends_block, around, position)


def _spans(lines: list[str], function: str) -> Iterator[tuple[int, int]]:
    """Yields first and last line (exclusive) of each definition, by brackets and indentation."""
    header = re.compile(rf"[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(function)}[ \t]*\(")
    starts = [start for start, line in enumerate(lines) if header.match(line)]
    for start in starts[-_MOST_ATTEMPTS:]:
        ends = {_end(lines, start, brackets=True), _end(lines, start, brackets=False)}
        yield from ((start, end) for end in sorted(ends))


def _end(lines: list[str], start: int, *, brackets: bool) -> int:
    """The line after the block at ``start``: the next one at its margin or left of it."""
    margin = _indent(lines[start])
    depth, quote = _scan(lines[start], 0, "")
    end = start + 1
    for at in range(start + 1, len(lines)):
        line = lines[at]
        inside = bool(quote) or (brackets and depth > 0)
        blank = not line.strip() or line.lstrip().startswith("#")
        if not inside and not blank and _indent(line) <= margin:
            break
        if not blank or inside:
            end = at + 1
        depth, quote = _scan(line, depth, quote)
    return end


def _scan(line: str, depth: int, quote: str) -> tuple[int, str]:
    """Bracket depth and open triple quote after ``line``, given both before it."""
    if quote:
        head, closed, line = line.partition(quote)
        if not closed:
            return depth, quote
    while match := _TRIPLE.search(_STRING.sub(_masked, line)):
        head, rest = line[: match.start()], line[match.end() :]
        inner, closed, after = rest.partition(match.group())
        if not closed:
            return _balance(head, depth), match.group()
        line = head + " " * len(inner) + after
    return _balance(line, depth), ""


def _masked(match: re.Match[str]) -> str:
    # Two quotes in a row start a triple quote or are an empty string; neither hides a bracket.
    return match.group() if len(match.group(1)) == 2 else "_" * len(match.group())


def _balance(line: str, depth: int) -> int:
    code = _STRING.sub("", line).partition("#")[0]
    for char in code:
        depth += (char in _OPENERS) - (char in _CLOSERS)
    return max(depth, 0)


def _margin_statements(lines: list[str], function: str) -> Iterator[Statement]:
    """Yields the statements at the margin that parse; what does not parse is prose."""
    at = 0
    while at < len(lines):
        end = max(_end(lines, at, brackets=True), at + 1) if lines[at].strip() else at + 1
        tree = parsed("\n".join(lines[at:end])) if _indent(lines[at]) == 0 else None
        for node in tree.body if tree else ():
            if not _defines(node, function):
                yield _statement(lines[at:end], node)
        at = end


def _statement(lines: list[str], node: ast.stmt) -> Statement:
    first = _first_line(lines, node, decorated=True)
    text = "\n".join(lines[first : node.end_lineno])
    return Statement(text, frozenset(_binds(node)), _uses(text), frozenset(_changes(node)))


def _binds(node: ast.stmt) -> Iterator[str]:
    """Yields the module-level names that a statement gives a value."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            if not (isinstance(node, ast.AnnAssign) and node.value is None):
                yield part.id
        elif isinstance(part, ast.alias):
            yield (part.asname or part.name).partition(".")[0]


def _changes(node: ast.stmt) -> Iterator[str]:
    """Yields the names whose values a statement alters in place: by item, attribute or method."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        targets: Iterable[ast.expr] = [node.value.func]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign):
        targets = [node.target]
    else:
        return
    for target in targets:
        if isinstance(target, ast.Attribute | ast.Subscript):
            root: ast.expr = target
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if isinstance(root, ast.Name):
                yield root.id


def _uses(text: str) -> frozenset[str]:
    """The module-level names that a stretch of code reads, at any depth."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tables = [symtable.symtable(textwrap.dedent(text), "<reward>", "exec")]
    except PARSE_ERRORS:
        return frozenset()
    names: set[str] = set()
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        top = table.get_type() == "module"
        symbols = table.get_symbols()
        names |= {s.get_name() for s in symbols if (s.is_referenced() if top else s.is_global())}
    return frozenset(names)


def _defines(node: ast.AST, function: str) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function


def _first_line(lines: list[str], node: ast.stmt, *, decorated: bool) -> int:
    """Index of the statement's first line, with the comments directly above it."""
    first = node.lineno - 1
    decorators = getattr(node, "decorator_list", [])
    if decorated and decorators:
        first = decorators[0].lineno - 1
    while decorated and first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return first


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _dedented(lines: list[str]) -> str:
    """The lines at the margin, as a method out of its class."""
    return textwrap.dedent("\n".join(lines)).strip("\n") + "\n"
