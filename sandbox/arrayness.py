"""Which expressions of a program hold one value per environment, judged from its text alone."""

import ast
from collections.abc import Collection
from dataclasses import dataclass, field

# Values assigned before they are computed need one pass for each step back; more is no program.
_MOST_PASSES = 30
_SHAPE_ONLY = frozenset({"shape", "ndim", "size", "dtype"})
_NEVER_ARRAYS = frozenset({"len", "isinstance", "range", "type", "hasattr", "str", "enumerate"})
_TRUTH_FUNCTIONS = frozenset(
    [
        "logical_and",
        "logical_or",
        "logical_not",
        "logical_xor",
        "isfinite",
        "isnan",
        "isinf",
        "isclose",
        "any",
        "all",
        "greater",
        "less",
        "greater_equal",
        "less_equal",
        "equal",
        "not_equal",
    ]
)


@dataclass
class Scope:
    """One function: the names that may hold arrays, and those that hold only truth values."""

    function: ast.FunctionDef
    arrays: set[str] = field(default_factory=set)
    truths: set[str] = field(default_factory=set)
    # Answers by node, once ``arrays`` is settled: else each would walk all below it.
    known: dict[ast.AST, bool] | None = field(default=None, repr=False)

    def is_array(self, node: ast.AST | None) -> bool:
        """Whether an expression may hold one value per environment."""
        if node is None or self.known is None:
            return self._is_array(node)
        if node not in self.known:
            self.known[node] = self._is_array(node)
        return self.known[node]

    def _is_array(self, node: ast.AST | None) -> bool:
        if node is None or isinstance(node, ast.Constant | ast.Lambda):
            return False
        if isinstance(node, ast.Name):
            return node.id in self.arrays
        if isinstance(node, ast.Attribute) and node.attr in _SHAPE_ONLY:
            return False
        if isinstance(node, ast.Compare) and _is_identity(node):
            return False
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in _NEVER_ARRAYS
        ):
            return False
        return any(self.is_array(child) for child in ast.iter_child_nodes(node))

    def is_truth(self, node: ast.AST) -> bool:
        """Whether an expression can only be true or false."""
        if isinstance(node, ast.Compare):
            return True
        if isinstance(node, ast.BoolOp):
            return all(self.is_truth(value) for value in node.values)
        if isinstance(node, ast.UnaryOp):
            negated = isinstance(node.op, ast.Not | ast.Invert)
            return negated and (isinstance(node.op, ast.Not) or self.is_truth(node.operand))
        if isinstance(node, ast.BinOp):
            both = isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor)
            return both and self.is_truth(node.left) and self.is_truth(node.right)
        if isinstance(node, ast.Name):
            return node.id in self.truths
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Attribute) and node.func.attr in _TRUTH_FUNCTIONS
        return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _is_identity(node: ast.Compare) -> bool:
    return any(isinstance(op, ast.Is | ast.IsNot | ast.In | ast.NotIn) for op in node.ops)


def parameters(function: ast.FunctionDef) -> list[ast.arg]:
    """Every named parameter of a function, in order."""
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _assignments(function: ast.FunctionDef) -> list[tuple[str, ast.AST]]:
    """Pairs of a name and what is put into it, wherever in the function."""
    found: list[tuple[str, ast.AST]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            targets: list[ast.expr] = node.targets
            value: ast.AST = node.value
        elif isinstance(node, ast.AugAssign | ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        elif isinstance(node, ast.For | ast.comprehension):
            targets, value = [node.target], node.iter
        else:
            continue
        names = (inner for target in targets for inner in ast.walk(target))
        found += [(n.id, value) for n in names if isinstance(n, ast.Name)]
    return found


def scope_of(function: ast.FunctionDef, among: Collection[str] | None = None) -> Scope:
    """Follows values from the parameters through the assignments of a function.

    Args:
        function: the function to judge.
        among: the only names to start from, for questions about some of the parameters.
    """
    names = {argument.arg for argument in parameters(function)}
    scope = Scope(function, names if among is None else names & set(among))
    assigned = _assignments(function)
    for _ in range(_MOST_PASSES):
        before = len(scope.arrays)
        scope.arrays |= {name for name, value in assigned if scope.is_array(value)}
        if len(scope.arrays) == before:
            break
    scope.known = {}
    scope.truths = {name for name, _ in assigned} | {"terminated"}
    for _ in range(_MOST_PASSES):
        before = len(scope.truths)
        scope.truths -= {name for name, value in assigned if not scope.is_truth(value)}
        if len(scope.truths) == before:
            return scope
    scope.truths = set()  # not settled: claim nothing
    return scope
