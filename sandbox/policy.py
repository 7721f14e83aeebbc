"""Rules about a program's text: size, characters, imports, names. Friendly, no security."""

import ast
import difflib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from rewardsmith.envs.task import EnvSpec

MOST_BYTES = 64 * 1024
MOST_DEPTH = 100
_MOST_LINE = 2000
_MODULES = frozenset({"numpy", "math", "typing", "dataclasses", "__future__"})
_FORBIDDEN_CALLS = {
    "open": "a reward cannot read or write files",
    "exec": "a reward cannot run text as code",
    "eval": "a reward cannot run text as code",
    "compile": "a reward cannot run text as code",
    "__import__": "only numpy and math are there",
    "input": "nobody answers",
    "getattr": "write the attribute by name",
    "setattr": "a reward changes nothing outside itself",
    "delattr": "a reward changes nothing outside itself",
    "globals": "use parameters; declare MEMORY for what must be remembered",
    "locals": "use the names themselves",
    "vars": "use the names themselves",
    "breakpoint": "there is no debugger",
    "exit": "return the reward instead",
    "quit": "return the reward instead",
}
# Attributes of `np` that a worker does not have.
_FORBIDDEN_ARRAY_NAMES = {
    "random": "a reward is a pure function of the step: no randomness",
    "load": "a reward cannot read files",
    "save": "a reward cannot write files",
    "savez": "a reward cannot write files",
    "loadtxt": "a reward cannot read files",
    "savetxt": "a reward cannot write files",
    "genfromtxt": "a reward cannot read files",
    "fromfile": "a reward cannot read files",
    "memmap": "a reward cannot read files",
    "ctypeslib": "it is no part of the array functions",
}
_ALLOWED_DUNDERS = frozenset({"__init__", "__post_init__", "__call__", "__name__", "__doc__"})
_NEVER_SHOWN = ("fitness", "success", "is_success", "human_reward", "native_reward", "env_reward")
_USUAL_ARGUMENTS = {
    "obs": "there is no observation vector",
    "observation": "there is no observation vector",
    "state": "there is no state vector",
    "next_obs": "there is no observation vector",
    "info": "there is no info dict",
    "env": "the environment itself is not passed",
    "reward": "the environment's own reward is not passed",
    "done": "use `terminated`, which is true where the task ended the episode",
    "truncated": "time limits are not part of a reward; `terminated` is",
    "np": "`np` is already there; it is no parameter",
    "actions": "it is called `action`",
    "dt": "write the number of the card as a constant",
}


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a program, phrased for its author to act on."""

    line: int | None
    text: str


def lines_of(source: str) -> list[str]:
    """Splits a text as Python's own line numbers do."""
    return source.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def too_deep(tree: ast.Module) -> ast.AST | None:
    """Returns the first node below ``MOST_DEPTH`` levels: recursion over the tree ends there."""
    level: list[ast.AST] = [tree]
    for _ in range(MOST_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return None
    return next((node for node in level if hasattr(node, "lineno")), level[0])


def policy_problems(source: str, tree: ast.Module) -> Iterator[Problem]:
    """Yields what the text breaks, in order of importance."""
    yield from _character_problems(source)
    deep = too_deep(tree)
    if deep is not None:
        text = f"the program is nested deeper than {MOST_DEPTH} levels here; use several statements"
        yield Problem(getattr(deep, "lineno", None), text)
    yield from _import_problems(tree)
    yield from _name_problems(tree)
    yield from _top_level_problems(tree)


def _character_problems(source: str) -> Iterator[Problem]:
    for number, line in enumerate(lines_of(source), start=1):
        if len(line) > _MOST_LINE:
            yield Problem(
                number, f"the line has {len(line)} characters; keep it under {_MOST_LINE}"
            )
        for character in line:
            if character != "\t" and unicodedata.category(character) in ("Cf", "Cc"):
                name = unicodedata.name(character, f"U+{ord(character):04X}")
                yield Problem(number, f"there is an invisible character ({name}); remove it")
                break


def _import_problems(tree: ast.Module) -> Iterator[Problem]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        for name in names:
            if name.split(".")[0] not in _MODULES:
                cure = (
                    "np.random is not available either: a reward is deterministic"
                    if name == "random"
                    else ("use the array functions of np; numpy and math need no import")
                )
                yield Problem(node.lineno, f"`{name[:60]}` cannot be imported; {cure}")  # type: ignore[attr-defined]


def _name_problems(tree: ast.Module) -> Iterator[Problem]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", None)
        for name in _identifiers(node):
            if not name.isascii():
                yield Problem(
                    line, f"the name {name!a} has letters outside ASCII; use a-z, 0-9 and _"
                )
        if isinstance(node, ast.Attribute):
            yield from _attribute_problems(node)
        elif isinstance(node, ast.Name):
            yield from _plain_name_problems(node)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield Problem(
                line,
                "a reward keeps nothing between calls; declare MEMORY and take `memory` for "
                "what must be "
                "remembered within an episode",
            )
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Yield | ast.YieldFrom):
            yield Problem(line, "a reward is a plain function: no async, no yield")


def _identifiers(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.arg):
        return (node.arg,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return (node.name,)
    return ()


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _ALLOWED_DUNDERS


def _attribute_problems(node: ast.Attribute) -> Iterator[Problem]:
    if _is_dunder(node.attr):
        yield Problem(
            node.lineno, f"`.{node.attr}` is internal to Python; a reward has no use for it"
        )
    if isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"):
        reason = _FORBIDDEN_ARRAY_NAMES.get(node.attr)
        if reason is not None:
            yield Problem(node.lineno, f"`np.{node.attr}` is not available: {reason}")


def _plain_name_problems(node: ast.Name) -> Iterator[Problem]:
    if isinstance(node.ctx, ast.Load) and node.id in _FORBIDDEN_CALLS:
        yield Problem(node.lineno, f"`{node.id}` is not available: {_FORBIDDEN_CALLS[node.id]}")
    elif _is_dunder(node.id):
        yield Problem(node.lineno, f"`{node.id}` is internal to Python; a reward has no use for it")


def _top_level_problems(tree: ast.Module) -> Iterator[Problem]:
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            text = "the program calls something at its top level; keep functions and constants only"
            yield Problem(node.lineno, text)
        elif isinstance(node, ast.For | ast.While | ast.With | ast.AsyncFor | ast.AsyncWith):
            text = "loops do not belong at the top level; keep functions and constants only"
            yield Problem(node.lineno, text)


def known_parameters(spec: EnvSpec) -> tuple[str, ...]:
    """Every name that a program for ``spec`` may ask for."""
    fields = [field.name for field in spec.fields]
    before = [f"prev_{name}" for name in fields]
    return (*fields, *before, "action", "terminated", "memory")


def unknown_parameter(name: str, spec: EnvSpec) -> str | None:
    """Returns what is wrong with a parameter's name, or None if the environment has it."""
    known = known_parameters(spec)
    if name in known:
        return None
    fields = ", ".join(field.name for field in spec.fields)
    hidden = {field.name for field in spec.hidden}
    if name in _NEVER_SHOWN or name in hidden or name.removeprefix("prev_") in hidden:
        return f"`{name}` is not available to a reward; use the fields: {fields}"
    if name in _USUAL_ARGUMENTS and name not in known:
        reason = _USUAL_ARGUMENTS[name]
        return f"`{name}` is not available: {reason}; name the fields you need: {fields}"
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    meant = f"; did you mean {' or '.join(f'`{match}`' for match in nearest)}?" if nearest else ""
    return f"`{name[:60]}` is not a field of {spec.id}{meant} The fields are: {fields}"
