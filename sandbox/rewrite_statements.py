"""Rewrites of statements: imports, signatures, in-place operations, and `if` on arrays."""

import ast
from collections.abc import Iterator

from rewardsmith.sandbox.arrayness import Scope, parameters, scope_of
from rewardsmith.sandbox.edits import Edit, bracketed, edit_of
from rewardsmith.sandbox.rewrite_conditions import converted

_BOUND = {"numpy": ("np", "numpy"), "math": ("math",)}
_FUNCTION = "compute_reward"


def line_ends(source: str, _: ast.Module) -> Iterator[Edit]:
    """Yields the edit that makes every line end a plain one."""
    if "\r" in source:
        plain = source.replace("\r\n", "\n").replace("\r", "\n")
        lines = source.encode().split(b"\n")
        yield Edit((1, 0), (len(lines), len(lines[-1])), plain, "line ends became plain")


def _loaded_names(tree: ast.Module) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def imports(_: str, tree: ast.Module) -> Iterator[Edit]:
    """Yields the removal of imports that the loader makes needless, or that nothing uses."""
    used = _loaded_names(tree)
    for parent in ast.walk(tree):
        body = getattr(parent, "body", None)
        for node in body if isinstance(body, list) else []:
            if isinstance(node, ast.Import | ast.ImportFrom) and _needless(node, used):
                text = "" if parent is tree else "pass"
                yield edit_of(node, text, f"`{ast.unparse(node)}` was dropped: it is not needed")


def _needless(node: ast.Import | ast.ImportFrom, used: set[str]) -> bool:
    if isinstance(node, ast.ImportFrom):
        if node.module == "__future__":
            return True
        unused = all((alias.asname or alias.name) not in used for alias in node.names)
        return unused and node.module in ("typing", "dataclasses", "numpy", "math", "numpy.typing")
    return all((alias.asname or alias.name) in _BOUND.get(alias.name, ()) for alias in node.names)


def signatures(source: str, tree: ast.Module) -> Iterator[Edit]:
    """Yields the removal of type annotations and of an unused `self`."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        if function in tree.body:
            yield from _unused_self(function)
        for argument in parameters(function):
            if argument.annotation is not None:
                yield edit_of(argument, argument.arg, "type annotations were dropped")
        yield from _return_annotation(source, function)
        for node in ast.walk(function):
            if isinstance(node, ast.AnnAssign):
                yield from _annotated_assignment(node)


def _unused_self(function: ast.FunctionDef) -> Iterator[Edit]:
    every = parameters(function)
    if function.name != _FUNCTION or not every or every[0].arg != "self":
        return
    names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    if "self" in names:
        return
    first = every[0]
    end = (first.end_lineno or first.lineno, first.end_col_offset or 0)
    if len(every) > 1 and every[1].lineno == first.lineno:
        end = (every[1].lineno, every[1].col_offset)
    if len(every) == 1 or every[1].lineno == first.lineno:
        start = (first.lineno, first.col_offset)
        yield Edit(start, end, "", "`self` was dropped: compute_reward is a plain function")


def _return_annotation(source: str, function: ast.FunctionDef) -> Iterator[Edit]:
    returns = function.returns
    if returns is None or returns.lineno != returns.end_lineno:
        return
    line = source.encode().split(b"\n")[returns.lineno - 1]
    arrow = line.rfind(b"->", 0, returns.col_offset)
    if arrow >= 0:
        colon = line.find(b":", returns.end_col_offset or 0)
        arrow = len(line[:arrow].rstrip())
        start, end = (returns.lineno, arrow), (returns.lineno, colon)
        yield Edit(start, end, "", "type annotations were dropped")


def _annotated_assignment(node: ast.AnnAssign) -> Iterator[Edit]:
    note = "type annotations were dropped"
    if node.lineno != node.annotation.end_lineno:
        return
    if node.value is None:
        yield edit_of(node, "pass", note)
        return
    start = (node.lineno, node.target.end_col_offset or 0)
    yield Edit(start, (node.lineno, node.annotation.end_col_offset or 0), "", note)


_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.Mod: "%",
    ast.FloorDiv: "//",
}


def _input_names(function: ast.FunctionDef) -> set[str]:
    """Names that are an input or a view of one: changing them in place would change the input."""
    inputs = {argument.arg for argument in parameters(function)} - {"memory"}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value: ast.expr = node.value
            while isinstance(value, ast.Subscript):
                value = value.value
            if isinstance(value, ast.Name) and value.id in inputs:
                inputs.add(node.targets[0].id)
    return inputs


def in_place_on_inputs(source: str, tree: ast.Module) -> Iterator[Edit]:
    """Yields `x = x + y` for `x += y` where x is an input, which cannot be changed in place."""
    for function in [
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == _FUNCTION
    ]:
        inputs = _input_names(function)
        for node in ast.walk(function):
            if not isinstance(node, ast.AugAssign) or not isinstance(node.target, ast.Name):
                continue
            sign = _OPERATORS.get(type(node.op))
            if node.target.id in inputs and sign is not None:
                name, value = node.target.id, bracketed(source, node.value)
                note = (
                    f"`{name} {sign}= y` became `{name} = {name} {sign} y`: inputs stay unchanged"
                )
                yield edit_of(node, f"{name} = {name} {sign} {value}", note)


def conditions(source: str, tree: ast.Module) -> Iterator[Edit]:
    """Yields `if` statements on arrays as guarded assignments, innermost first."""
    for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
        yield from _conditions_in(
            source, function, function.body, _first_bound(function), scope_of(function)
        )


def _first_bound(function: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in parameters(function)}


def _conditions_in(
    source: str, function: ast.FunctionDef, body: list[ast.stmt], bound: set[str], scope: Scope
) -> Iterator[Edit]:
    bound = set(bound)
    for node in body:
        for inner in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(inner, list) and not isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield from _conditions_in(source, function, inner, bound | _targets(node), scope)
        if isinstance(node, ast.If) and scope.is_array(node.test) and not _is_elif(source, node):
            edit = converted(source, node, bound)
            if edit is not None:
                yield edit
        bound |= _surely_bound(node)


def _is_elif(source: str, node: ast.If) -> bool:
    """An `elif` is converted with the `if` that it belongs to, never alone."""
    line = source.encode().split(b"\n")[node.lineno - 1]
    return line[node.col_offset :].startswith(b"elif")


def _targets(node: ast.stmt) -> set[str]:
    return (
        {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
        if isinstance(node, ast.For)
        else set()
    )


def _surely_bound(node: ast.stmt) -> set[str]:
    """What is certainly assigned after a statement: plain names and `name["key"]`."""
    if isinstance(node, ast.If):
        sides = [set().union(*map(_surely_bound, side)) for side in (node.body, node.orelse)]
        return sides[0] & sides[1]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AugAssign):
        targets = [node.target]
    found: set[str] = set()
    for target in targets:
        found |= {
            ast.unparse(leaf)
            for leaf in (target.elts if isinstance(target, ast.Tuple) else [target])
        }
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            keys = [key for key in node.value.keys if isinstance(key, ast.Constant)]
            found |= {f"{ast.unparse(target)}[{key.value!r}]" for key in keys}
    return found
