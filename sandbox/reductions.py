"""Reductions without an axis, found in a program's text: they take all environments together."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from rewardsmith.envs.task import EnvSpec
from rewardsmith.sandbox.arrayness import Scope, parameters, scope_of

# Of one number per environment these say something only where they speak of all environments.
_STATISTICS = frozenset(
    ["mean", "average", "median", "std", "var", "max", "min", "amax", "amin", "ptp", "argmax"]
)
_REDUCTIONS = _STATISTICS | {"sum", "prod", "norm", "any", "all", "argmin", "nansum", "nanmean"}


@dataclass(frozen=True)
class Reduction:
    """A call over every axis: where it stands and how it is written."""

    line: int
    text: str


def _without_axis(function: ast.FunctionDef, scope: Scope) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of_module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "numpy")
        of_linalg = isinstance(node.func.value, ast.Attribute)
        given = len(node.args) - (1 if of_module or of_linalg else 0)
        has_axis = given > 0 or any(keyword.arg == "axis" for keyword in node.keywords)
        if node.func.attr in _REDUCTIONS and not has_axis and scope.is_array(node):
            yield node, node.func.attr


def _functions(source: str) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]


def first_reduction(source: str) -> Reduction | None:
    """Returns the first call of mean, sum, norm... over every axis of an array."""
    for function in _functions(source):
        for node, _ in _without_axis(function, scope_of(function)):
            return Reduction(node.lineno, ast.unparse(node)[:100])
    return None


def _vectors(spec: EnvSpec) -> set[str]:
    names = {field.name for field in spec.fields if field.shape}
    names |= {f"prev_{name}" for name in names}
    return names | ({"action"} if spec.action.shape else set())


def speaks_of_the_batch(source: str, spec: EnvSpec) -> bool:
    """Whether a program takes a statistic of what is one number for each environment.

    ``np.mean(speed)`` of a scalar field means the mean of all environments, whoever runs it; given
    one environment it would be that environment's own speed, and ``speed - np.mean(speed)`` zero.
    """
    for function in _functions(source):
        own = {argument.arg for argument in parameters(function)}
        if not own <= _every_name(spec):  # a function of the program's own: its shapes are unknown
            continue
        of_vectors = scope_of(function, _vectors(spec))
        for node, name in _without_axis(function, scope_of(function)):
            if name in _STATISTICS and not of_vectors.is_array(node):
                return True
    return False


def _every_name(spec: EnvSpec) -> set[str]:
    fields = {field.name for field in spec.fields}
    return fields | {f"prev_{name}" for name in fields} | {"action", "terminated", "memory"}
