"""What small models get wrong in batch code, found in the text of a failed program."""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass

_AMBIENT = {*dir(builtins), "np", "numpy", "math"}
_OVER_ALL = frozenset(
    {"sum", "mean", "max", "min", "std", "var", "any", "all", "prod", "median", "norm"}
)
_FOR_ONE = frozenset({"float", "int", "bool", "sum", "min", "max", "any", "all", "sorted", "len"})
_REDUCES = "works on all N environments at once: leave it out on (N,), write axis=-1 on (N, k)"
_ONE_ROW = "is one environment, not a coordinate: write x[:, 0] on (N, k), x itself on (N,)"
_BRANCH = "needs one truth value, arrays have N: write np.where(condition, a, b), `&`, `|`, `~`"
_BUILTIN = "takes one number, not an array: use the function of np, or leave it out"
_UNKNOWN = "is not among the parameters: add it to them if it is listed above, else do without it"
_MODULE_MEMORY = "is only the value at the start: take the parameter `memory` and use it instead"


@dataclass(frozen=True)
class Mistake:
    """A line of a program and what is wrong with it."""

    line: int
    code: str
    advice: str


def mistakes(program: str, *, limit: int = 4) -> tuple[Mistake, ...]:
    """The likely mistakes of a program, one per line, at most ``limit``; none if it does not parse.

    These are suspicions for a repair turn, not verdicts: the contract check decides.
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    found: dict[int, Mistake] = {}
    for function in functions:
        names = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
        unknown = _unknown(function, _bound(tree) | _AMBIENT)
        for node, advice in (*_suspects(function, names), *unknown):
            code = ast.unparse(node)
            short = code if len(code) <= 80 else code[:77] + "..."
            found.setdefault(node.lineno, Mistake(node.lineno, short, advice))
    return tuple(found[line] for line in sorted(found))[:limit]


def _suspects(function: ast.FunctionDef, names: set[str]) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            yield from ((node, advice) for advice in _call(node))
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node.test, _BRANCH
        elif isinstance(node, ast.BoolOp) or _is_not(node):
            assert isinstance(node, ast.expr)
            yield node, _BRANCH
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            yield from ((node, advice) for advice in _subscript(node, node.value.id, names))


def _bound(tree: ast.AST) -> set[str]:
    """Every name that is given a value anywhere within ``tree``."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not _is_read(n)}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return names | {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def _unknown(function: ast.FunctionDef, known: set[str]) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and _is_read(node) and node.id not in known:
            yield node, _UNKNOWN


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _call(node: ast.Call) -> Iterator[str]:
    called = node.func
    axis = any(k.arg == "axis" for k in node.keywords)
    if isinstance(called, ast.Attribute) and called.attr in _OVER_ALL and not axis:
        by_function = isinstance(called.value, ast.Name) and called.value.id in {"np", "numpy"}
        nested = isinstance(called.value, ast.Attribute) and called.value.attr == "linalg"
        if len(node.args) <= (1 if by_function or nested else 0):
            yield _REDUCES
    if isinstance(called, ast.Name) and called.id in _FOR_ONE:
        yield _BUILTIN


def _subscript(node: ast.Subscript, name: str, names: set[str]) -> Iterator[str]:
    if name == "MEMORY":
        yield _MODULE_MEMORY
    elif name in names and name != "memory" and _is_number(node.slice):
        yield _ONE_ROW


def _is_number(node: ast.expr) -> bool:
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(inner, ast.Constant) and isinstance(inner.value, int)


def _is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
