"""Rewrites of expressions: single-value idioms to their array forms, innermost first."""

import ast
from collections.abc import Callable, Iterator

from rewardsmith.sandbox.arrayness import Scope, scope_of
from rewardsmith.sandbox.edits import Edit, bracketed, edit_of, segment

_MATH_NAMES = {
    name: name
    for name in [
        "exp",
        "sin",
        "cos",
        "tan",
        "sqrt",
        "log",
        "log10",
        "log2",
        "log1p",
        "expm1",
        "tanh",
        "sinh",
        "cosh",
        "fabs",
        "hypot",
        "degrees",
        "radians",
        "copysign",
        "isnan",
        "isfinite",
        "isinf",
        "isclose",
        "fmod",
        "cbrt",
        "exp2",
        "pi",
        "e",
        "inf",
        "nan",
    ]
} | {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "pow": "power",
}
_ROUNDING = {
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
}  # whole numbers of math, floats of np
_PLAIN = ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq | ast.NotEq


def expressions(source: str, tree: ast.Module) -> Iterator[Edit]:
    """Yields the rewrites of expressions; only the first is sure to fit the text."""
    yield from _math(source, tree)
    shadowed = _bound_names(tree)
    for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
        scope = scope_of(function)
        tests = _in_test_position(function)
        naming = _around_named(function)
        for node in _inner_first(function):
            if node in naming or not scope.is_array(node):
                continue
            edit = _edit(source, node, scope, tests, shadowed)
            if edit is not None:
                yield edit


def _inner_first(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        yield from _inner_first(child)
    if isinstance(node, ast.expr):
        yield node


def _around_named(function: ast.FunctionDef) -> set[ast.AST]:
    """Every node that holds an assignment within an expression, or is one."""
    found: set[ast.AST] = set()
    for node in reversed([*ast.walk(function)]):  # children come before their parents
        children = ast.iter_child_nodes(node)
        if isinstance(node, ast.NamedExpr) or any(child in found for child in children):
            found.add(node)
    return found


def _bound_names(tree: ast.Module) -> set[str]:
    names = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    names |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return names | {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}


def _in_test_position(function: ast.FunctionDef) -> set[int]:
    """Ids of expressions of which only the truth matters."""
    tests: set[int] = set()
    for node in ast.walk(function):  # parents come before their children
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            tests.add(id(node.test))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            tests.add(id(node.operand))
        elif isinstance(node, ast.BoolOp) and id(node) in tests:
            tests |= {id(value) for value in node.values}
        elif isinstance(node, ast.Call) and node.args and _np_name(node.func) == "where":
            tests.add(id(node.args[0]))
    return tests


def _np_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id in ("np", "numpy") else None
    return None


def _edit(
    source: str, node: ast.expr, scope: Scope, tests: set[int], shadowed: set[str]
) -> Edit | None:
    if isinstance(node, ast.IfExp):
        return _ternary(source, node, scope)
    if isinstance(node, ast.BoolOp):
        return _bool_op(source, node, scope, id(node) in tests)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        note = "`not x` became np.logical_not(x)"
        return edit_of(node, f"np.logical_not({segment(source, node.operand)})", note)
    if isinstance(node, ast.Compare):
        return _chain(source, node)
    if isinstance(node, ast.Call):
        return _call(source, node, scope, shadowed)
    return None


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    return not isinstance(
        node, ast.Tuple | ast.List | ast.Dict | ast.Set | ast.JoinedStr | ast.Lambda
    )


def _ternary(source: str, node: ast.IfExp, scope: Scope) -> Edit | None:
    if not scope.is_array(node.test) or not (_is_number(node.body) and _is_number(node.orelse)):
        return None
    parts = ", ".join(segment(source, part) for part in (node.test, node.body, node.orelse))
    return edit_of(node, f"np.where({parts})", "`a if c else b` became np.where(c, a, b)")


def _nested(function: str, parts: list[str]) -> str:
    text = parts[0]
    for part in parts[1:]:
        text = f"{function}({text}, {part})"
    return text


def _bool_op(source: str, node: ast.BoolOp, scope: Scope, is_test: bool) -> Edit | None:
    if not is_test and not scope.is_truth(node):
        return None
    word = "and" if isinstance(node.op, ast.And) else "or"
    text = _nested(f"np.logical_{word}", [segment(source, value) for value in node.values])
    return edit_of(node, text, f"`a {word} b` became np.logical_{word}(a, b)")


_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


def _chain(source: str, node: ast.Compare) -> Edit | None:
    if len(node.ops) < 2 or not all(type(op) in _SIGNS for op in node.ops):
        return None
    values = [bracketed(source, value) for value in (node.left, *node.comparators)]
    pairs = zip(values, node.ops, values[1:], strict=False)
    parts = [f"{left} {_SIGNS[type(op)]} {right}" for left, op, right in pairs]
    text = _nested("np.logical_and", parts)
    if "\n" in text:  # a repeated middle would add lines
        text = ast.unparse(ast.parse(f"({text})", mode="eval"))
    return edit_of(node, text, "`a < b < c` became np.logical_and(a < b, b < c)")


def _call(source: str, node: ast.Call, scope: Scope, shadowed: set[str]) -> Edit | None:
    if isinstance(node.func, ast.Attribute):
        if node.func.attr == "item" and not node.args and scope.is_array(node.func.value):
            text = bracketed(source, node.func.value)
            return edit_of(node, text, "`x.item()` became x")
        return None
    if not isinstance(node.func, ast.Name) or node.func.id in shadowed or node.keywords:
        return None
    rewriters: dict[str, Callable[[str, ast.Call, Scope], Edit | None]] = {
        "max": _extreme,
        "min": _extreme,
        "float": _conversion,
        "int": _conversion,
        "bool": _conversion,
    }
    rewriter = rewriters.get(node.func.id)
    return rewriter(source, node, scope) if rewriter is not None else None


def _extreme(source: str, node: ast.Call, scope: Scope) -> Edit | None:
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    values = list(node.args)
    if len(values) == 1 and isinstance(values[0], ast.List | ast.Tuple):
        values = list(values[0].elts)
    if len(values) < 2 or any(isinstance(value, ast.Starred) for value in values):
        return None
    function = f"np.{name}imum"
    text = _nested(function, [segment(source, value) for value in values])
    return edit_of(node, text, f"`{name}(a, b)` became {function}(a, b)")


def _conversion(source: str, node: ast.Call, scope: Scope) -> Edit | None:
    assert isinstance(node.func, ast.Name)
    if len(node.args) != 1 or not scope.is_array(node.args[0]):
        return None
    name, value = node.func.id, node.args[0]
    text = segment(source, value)
    if name == "float" and not scope.is_truth(value):
        return edit_of(node, bracketed(source, value), "`float(x)` became x: it is an array")
    if not scope.is_truth(value):
        return None
    if name == "bool":
        return edit_of(node, bracketed(source, value), "`bool(x)` became x: it is an array")
    return edit_of(node, f"np.where({text}, 1.0, 0.0)", f"`{name}(c)` became np.where(c, 1.0, 0.0)")


def _math(source: str, tree: ast.Module) -> Iterator[Edit]:
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "math"
    } | {"math"}
    scopes = [scope_of(node) for node in tree.body if isinstance(node, ast.FunctionDef)]
    rounded = {
        id(call.func)
        for scope in scopes
        for call in ast.walk(scope.function)
        if isinstance(call, ast.Call) and any(scope.is_array(value) for value in call.args)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not _is_math(node.value, aliases):
            continue
        names = _MATH_NAMES | (_ROUNDING if id(node) in rounded else {})
        if node.attr in names:
            note = f"`math.{node.attr}` became np.{names[node.attr]}"
            yield edit_of(node, f"np.{names[node.attr]}", note)


def _is_math(node: ast.expr, aliases: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in aliases
    return isinstance(node, ast.Attribute) and node.attr == "math" and _np_name(node) == "math"
