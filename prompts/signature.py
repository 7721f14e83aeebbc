"""The parameters of a program: those that it forgot, and those that it names twice."""

import ast
import re
from itertools import accumulate

from rewardsmith.envs.task import EnvSpec
from rewardsmith.prompts.structure import PARSE_ERRORS, definition


def card_names(env: EnvSpec) -> frozenset[str]:
    """Every name that a program may take: fields, their ``prev_``, action, terminated."""
    fields = {field.name for field in env.fields}
    return frozenset(fields | {f"prev_{name}" for name in fields} | {"action", "terminated"})


def completed(
    program: str, names: frozenset[str], *, function: str = "compute_reward"
) -> tuple[str, tuple[str, ...]]:
    """The program with the names of ``names`` that it reads and nothing binds as parameters.

    Returns:
        the program, every line where it was, and the names that were added.
    """
    found = definition(program, function)
    tree = ast.parse(program) if found is not None else None
    if found is None or tree is None:
        return program, ()
    bound = {name for statement in found.around for name in statement.binds}
    missing = tuple(sorted((found.uses & names) - bound))
    last = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function][-1:]
    if not missing or not last or not _plain(last[0].args):
        return program, ()
    return _with(program, last[0], missing), missing


def _plain(arguments: ast.arguments) -> bool:
    """Whether a parameter may simply be added at the end."""
    rest = (arguments.posonlyargs, arguments.kwonlyargs, arguments.defaults)
    return not (any(rest) or arguments.vararg or arguments.kwarg)


def _with(program: str, node: ast.FunctionDef, names: tuple[str, ...]) -> str:
    """The program with ``names`` after the last parameter of ``node``, on the same line."""
    lines = program.split("\n")
    if node.args.args:
        last = node.args.args[-1]
        row, column = (last.end_lineno or 1) - 1, last.end_col_offset or 0
        text = "".join(f", {name}" for name in names)
    else:
        row = node.lineno - 1
        column = len(lines[row][: lines[row].index("(", node.col_offset) + 1].encode())
        text = ", ".join(names)
    line = lines[row].encode()
    lines[row] = (line[:column] + text.encode() + line[column:]).decode()
    return "\n".join(lines)


def distinct(text: str, function: str = "compute_reward") -> tuple[str, tuple[str, ...]]:
    """The text with every parameter of ``function`` once; parameters go by name, so the first does.

    Returns:
        the text, and the names of which a repeat was dropped; prose around the function stays.
    """
    names: list[str] = []
    for head in reversed(list(re.finditer(rf"\bdef[ \t]+{re.escape(function)}[ \t]*\(", text))):
        end = _parenthesis(text, head.end())
        kept, repeated = _once(text[head.end() : end])
        text = text[: head.end()] + kept + text[end:]
        names = [*repeated, *names]
    return text, tuple(dict.fromkeys(names))


def _parenthesis(text: str, start: int) -> int:
    """Index of what closes the parenthesis open before ``start``; ``start`` if nothing does."""
    depth = 1
    for match in re.compile(r"#[^\n]*|[()]").finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.start()
    return start


def _once(parameters: str) -> tuple[str, list[str]]:
    """What stands between the parentheses, from the end of a name on to that of its repeat cut."""
    source = f"def f({parameters}\n): ..."
    try:
        node = ast.parse(source).body[0]
    except PARSE_ERRORS:
        return parameters, []
    assert isinstance(node, ast.FunctionDef)
    rows = [0, *accumulate(len(line.encode()) + 1 for line in source.split("\n"))]
    code, kept, repeated, at = source.encode(), b"", [], 0
    seen: set[str] = set()
    for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        end = rows[(item.end_lineno or 1) - 1] + (item.end_col_offset or 0)
        if item.arg in seen:
            repeated.append(item.arg)
        else:
            kept += code[at:end]
        seen.add(item.arg)
        at = end
    return (kept + code[at:]).decode()[len("def f(") : -len("\n): ...")], repeated
