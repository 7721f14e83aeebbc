"""Rules about what a program's statements do: loops without end, state between calls, inputs."""

import ast
from collections.abc import Iterator

from rewardsmith.envs.task import EnvSpec
from rewardsmith.sandbox.failure import Problem

_KEPT = (
    "a reward keeps nothing between calls; declare MEMORY and take `memory` for what must be "
    "remembered within an episode"
)
_PLAIN = "a reward is a plain function: no async, no yield"
_ENDLESS = (
    "this loop has no end: there is no `break` or `return` in it; count steps with "
    "`for i in range(...)`, or compute on whole arrays without a loop"
)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_CHANGING_METHODS = frozenset({"sort", "partition"})


def flow_problems(tree: ast.Module) -> Iterator[Problem]:
    """Yields what keeps state, never ends, or is no plain function."""
    yield from _state_problems(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield Problem(node.lineno, _PLAIN)
    yield from _endless(tree)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Everything in a function but what belongs to functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _own(child)


def _state_problems(tree: ast.Module) -> Iterator[Problem]:
    # A value of an enclosing function outlives a call only if that function was called at the top.
    at_the_top = {
        call.func.id
        for statement in tree.body
        if not isinstance(statement, _SCOPES)
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    for outer in tree.body:
        survives = isinstance(outer, ast.FunctionDef) and outer.name in at_the_top
        for function in ast.walk(outer):
            if isinstance(function, ast.FunctionDef):
                yield from _changes_outside(function, survives)


def _changes_outside(function: ast.FunctionDef, survives: bool) -> Iterator[Problem]:
    inner = list(_own(function))
    changed = {
        node.id
        for node in inner
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
    }
    for node in inner:
        outlives = isinstance(node, ast.Global) or (isinstance(node, ast.Nonlocal) and survives)
        # Saying `global WEIGHT` and only reading it keeps nothing.
        if outlives and changed.intersection(node.names):  # type: ignore[attr-defined]
            yield Problem(node.lineno, _KEPT)  # type: ignore[attr-defined]


def yield_problems(function: ast.FunctionDef) -> Iterator[Problem]:
    """Yields where the reward itself is a generator; its own helpers may be some."""
    for node in _own(function):
        if isinstance(node, ast.Yield | ast.YieldFrom):
            yield Problem(node.lineno, _PLAIN)


def _endless(node: ast.AST) -> Iterator[Problem]:
    """Yields `while True` without a way out that is reached; an error may be one inside `try`."""
    if isinstance(node, ast.Try):
        return
    if isinstance(node, ast.While) and _is_true(node.test) and not any(map(_leaves, _own(node))):
        yield Problem(node.lineno, _ENDLESS)
    for _, part in ast.iter_fields(node):
        for statement in part if isinstance(part, list) else ():
            if isinstance(statement, ast.AST):  # names, where the list is of `global`
                yield from _endless(statement)
            if isinstance(statement, ast.Return | ast.Raise):
                break


def _is_true(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def _leaves(node: ast.AST) -> bool:
    # A `break` of a loop further in counts as well: better to say nothing than something false.
    return isinstance(
        node, ast.Break | ast.Return | ast.Raise | ast.Yield | ast.YieldFrom | ast.Assert
    )


def in_place_problems(function: ast.FunctionDef, spec: EnvSpec) -> Iterator[Problem]:
    """Yields changes in place of inputs that are one number per environment.

    These fail whether a program is called with arrays or row by row. (A vector's row may be changed
    by a program that is called row by row.)
    """
    numbers = {field.name for field in spec.fields if field.shape == ()}
    numbers |= {f"prev_{name}" for name in numbers} | {"terminated"}
    if spec.action.shape == ():
        numbers.add("action")
    arguments = function.args
    inputs = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    bound = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in _own(function):
        name = _changed(node)
        if name in (inputs & numbers) - bound:
            text = (
                f"`{name}` is an input and must not be changed in place; make a new array, e.g. "
                f"`np.where({name} > 0, {name}, 0.0)`"
            )
            yield Problem(node.lineno, text)  # type: ignore[attr-defined]


def _changed(node: ast.AST) -> str | None:
    """The name that a subscript or a method changes in place."""
    target: ast.AST | None = None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        target = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        target = node.func.value if node.func.attr in _CHANGING_METHODS else None
    return target.id if isinstance(target, ast.Name) else None
