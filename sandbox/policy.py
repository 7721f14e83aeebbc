"""Rules about a program's text: size, characters, imports, names. Friendly, no security."""

import ast
import difflib
from collections.abc import Iterator

from rewardsmith.envs.task import EnvSpec
from rewardsmith.sandbox.failure import Problem
from rewardsmith.sandbox.look_alikes import character_problems, look_alike_problems
from rewardsmith.sandbox.policy_flow import flow_problems

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
# What a named tuple of the program's own offers under such names.
_TUPLE_METHODS = frozenset({"_replace", "_asdict", "_fields", "_make"})
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
    lines = lines_of(source)
    yield from _long_lines(lines)
    yield from character_problems(lines)
    deep = too_deep(tree)
    if deep is not None:
        text = f"the program is nested deeper than {MOST_DEPTH} levels here; use several statements"
        yield Problem(getattr(deep, "lineno", None), text)
    yield from _import_problems(tree)
    yield from look_alike_problems(lines, tree)
    yield from _name_problems(tree)
    if deep is None:
        yield from flow_problems(tree)
    yield from _top_level_problems(tree)


def _long_lines(lines: list[str]) -> Iterator[Problem]:
    for number, line in enumerate(lines, start=1):
        if len(line) > _MOST_LINE:
            text = f"the line has {len(line)} characters; keep it under {_MOST_LINE}"
            yield Problem(number, text)


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
    own = _own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield from _attribute_problems(node, own)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in own:
            yield from _plain_name_problems(node)


def _own_names(tree: ast.Module) -> frozenset[str]:
    """Every name and attribute that the program itself gives a value."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.alias(name=name, asname=given):
                found.add(given or name)
    return frozenset(found)


def _is_dunder(name: str) -> bool:
    ends = name.startswith("__") and name.endswith("__")
    return ends and name.strip("_") != "" and name not in _ALLOWED_DUNDERS


def _attribute_problems(node: ast.Attribute, own: frozenset[str]) -> Iterator[Problem]:
    name = node.attr
    if _is_dunder(name):
        yield Problem(node.lineno, f"`.{name}` is internal to Python; a reward has no use for it")
    elif name.startswith("_") and name not in own | _ALLOWED_DUNDERS | _TUPLE_METHODS:
        text = (
            f"`.{name[:60]}` begins with an underscore, so it is internal to a library; use what "
            "np and math offer by public names"
        )
        yield Problem(node.lineno, text)
    if isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"):
        reason = _FORBIDDEN_ARRAY_NAMES.get(name)
        if reason is not None:
            yield Problem(node.lineno, f"`np.{name}` is not available: {reason}")


def _plain_name_problems(node: ast.Name) -> Iterator[Problem]:
    if node.id in _FORBIDDEN_CALLS:
        yield Problem(node.lineno, f"`{node.id}` is not available: {_FORBIDDEN_CALLS[node.id]}")
    elif _is_dunder(node.id):
        yield Problem(node.lineno, f"`{node.id}` is internal to Python; a reward has no use for it")


def _top_level_problems(tree: ast.Module) -> Iterator[Problem]:
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            text = "the program calls something at its top level; keep functions and constants only"
            yield Problem(node.lineno, text)
        elif isinstance(node, ast.For | ast.While | ast.With | ast.AsyncFor | ast.AsyncWith):
            what = "`with` does" if isinstance(node, ast.With | ast.AsyncWith) else "loops do"
            text = f"{what} not belong at the top level; keep functions and constants only"
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
    meant = f"; did you mean {' or '.join(f'`{match}`' for match in nearest)}?" if nearest else "."
    return f"`{name[:60]}` is not a field of {spec.id}{meant} The fields are: {fields}"
