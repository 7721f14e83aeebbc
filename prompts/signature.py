"""The parameters that a program forgot: names of the card that it reads and did not ask for."""

import ast

from rewardsmith.envs.task import EnvSpec
from rewardsmith.prompts.structure import definition


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
