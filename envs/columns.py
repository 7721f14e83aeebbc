"""The flat row of a card: where each field lies in it, and the compiled code that fills it."""

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.sources import BOUND, SourceError, checked, resolved
from rewardsmith.envs.task import EnvSpec, Field, FloatArray
from rewardsmith.errors import ConfigError


@dataclass(frozen=True)
class Slot:
    """Where a field lies in the flat row, and the shape it has when taken out."""

    start: int
    stop: int
    shape: tuple[int, ...]
    hidden: bool


@dataclass(frozen=True)
class Layout:
    """The flat row of a spec: fields, then hidden fields, in the card's order."""

    slots: Mapping[str, Slot]
    width: int

    def split(self, flat: FloatArray, *, hidden: bool = True) -> dict[str, FloatArray]:
        """Returns name -> (rows, *shape), C-contiguous, from flat rows (rows, width)."""
        rows = len(flat)
        return {
            name: np.ascontiguousarray(flat[:, slot.start : slot.stop]).reshape(rows, *slot.shape)
            for name, slot in self.slots.items()
            if hidden or not slot.hidden
        }

    def owner(self, column: int) -> str:
        """Returns the name of the field to which a column of the flat row belongs."""
        return next(n for n, s in self.slots.items() if s.start <= column < s.stop)


def layout(spec: EnvSpec) -> Layout:
    """Returns where each field and hidden field of ``spec`` lies in the flat row."""
    slots: dict[str, Slot] = {}
    start = 0
    for hidden, group in ((False, spec.fields), (True, spec.hidden)):
        for item in group:
            slots[item.name] = Slot(start, start + item.size, item.shape, hidden)
            start += item.size
    return Layout(slots, start)


@dataclass(frozen=True)
class Columns:
    """The card of one environment, bound to it: ``row(obs, info)`` is its state as a flat row."""

    spec: EnvSpec
    env: Any
    fill: Callable[[FloatArray, Any, Mapping[str, Any]], None]
    width: int

    def row(self, obs: Any, info: Mapping[str, Any]) -> FloatArray:
        """Returns the state now, (width,) float64, read-only.

        Raises:
            ConfigError: a source cannot be evaluated; the message names the field.
        """
        out = np.empty(self.width)
        try:
            self.fill(out, obs, info)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            explain(self.spec, self.env, obs, info)
            raise
        out.flags.writeable = False
        return out


def bind(spec: EnvSpec, env: Any) -> Columns:
    """Compiles the sources of ``spec`` into one function over the state of ``env``.

    Args:
        spec: its fields' sources are expressions (see ``sources.NAMES``).
        env: the environment, wrapped or not; simulator names refer to ``env.unwrapped``.

    Raises:
        ConfigError: a source is no expression, uses an unknown name, or names a sensor, body or
            geom that the simulator does not have.
    """
    bare = env.unwrapped
    names: dict[str, Any] = {}
    body: list[ast.stmt] = []
    places = layout(spec)
    for item in (*spec.fields, *spec.hidden):
        tree = _prepared(item, bare, names, spec.id)
        body += _assignments(item, tree, places.slots[item.name])
    return Columns(spec, bare, _function(body, names), places.width)


def _prepared(item: Field, bare: Any, names: dict[str, Any], env_id: str) -> ast.expr:
    try:
        return resolved(checked(item.source), bare, names)
    except SourceError as error:
        raise ConfigError(
            f"card of {env_id}, field {item.name!r}, source {item.source!r}: {error}"
        ) from error


def _assignments(item: Field, tree: ast.expr, slot: Slot) -> list[ast.stmt]:
    if item.shape == ():
        return [_assign(slot.start, None, tree)]
    literal = isinstance(tree, ast.Tuple | ast.List)
    if literal and len(item.shape) == 1 and len(tree.elts) == item.size:  # type: ignore[attr-defined]
        # A literal of n numbers is filled one by one, without a temporary array.
        return [_assign(slot.start + i, None, e) for i, e in enumerate(tree.elts)]  # type: ignore[attr-defined]
    if len(item.shape) > 1:
        tree = _call("_ravel", tree)
    return [_assign(slot.start, slot.stop, tree)]


def _assign(start: int, stop: int | None, value: ast.expr) -> ast.stmt:
    index: ast.expr = ast.Constant(start)
    if stop is not None:
        index = ast.Slice(ast.Constant(start), ast.Constant(stop))
    target = ast.Subscript(ast.Name("_out", ast.Load()), index, ast.Store())
    return ast.Assign([target], value)


def _call(name: str, argument: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), [argument], [])


def _function(
    body: list[ast.stmt], names: dict[str, Any]
) -> Callable[[FloatArray, Any, Mapping[str, Any]], None]:
    if "_contacts" in names:
        pairs = ast.Call(ast.Name("_contacts", ast.Load()), [], [])
        body = [ast.Assign([ast.Name("_pairs", ast.Store())], pairs), *body]
    module = ast.parse("def fill(_out, obs, info): pass")
    module.body[0].body = body or [ast.Pass()]  # type: ignore[attr-defined]
    ast.fix_missing_locations(module)
    namespace: dict[str, Any] = {**names, "_ravel": np.ravel, "__builtins__": {}}
    code: CodeType = compile(module, "<environment card>", "exec")
    # Trusted: cards are the user's own data, and their names and attributes were checked.
    exec(code, namespace)  # noqa: S102
    fill: Callable[[FloatArray, Any, Mapping[str, Any]], None] = namespace["fill"]
    return fill


def function_of(
    tree: ast.expr, parameters: tuple[str, ...], names: Mapping[str, Any]
) -> Callable[..., Any]:
    """Compiles one checked expression into a function of ``parameters``.

    Args:
        tree: an expression over the parameters, ``names`` and what every source may use.
        parameters: names of the arguments, in order.
        names: further names.
    """
    arguments = ast.arguments([], [ast.arg(name) for name in parameters], None, [], [], None, [])
    expression = ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, tree)))
    code: CodeType = compile(expression, "<environment card>", "eval")
    # Trusted, as above.
    made: Callable[..., Any] = eval(code, {**BOUND, **names, "__builtins__": {}})  # noqa: S307
    return made


def explain(spec: EnvSpec, env: Any, obs: Any, info: Mapping[str, Any]) -> None:
    """Evaluates every source by itself and raises for the first wrong one; slow, for messages.

    Raises:
        ConfigError: names the field, its source, what was found and what exists.
    """
    for item in (*spec.fields, *spec.hidden):
        _explain_one(item, spec, env, obs, info)


def _explain_one(item: Field, spec: EnvSpec, env: Any, obs: Any, info: Mapping[str, Any]) -> None:
    where = f"card of {spec.id}, field {item.name!r}, source {item.source!r}"
    try:
        value = np.asarray(_value(item, env, obs, info), dtype=np.float64)
    except KeyError as error:
        raise ConfigError(f"{where}: {_missing_key(error.args[0], obs, info)}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        shape = getattr(obs, "shape", None)
        found = "" if shape is None else f" (the observation has shape {shape})"
        raise ConfigError(f"{where}: {type(error).__name__}: {error}{found}") from error
    if value.shape != item.shape and not isinstance(_value(item, env, obs, info), Absent):
        raise ConfigError(
            f"{where}: the value has shape {value.shape}, the card declares {item.shape}"
        )
    if not np.isfinite(value).all():
        raise ConfigError(f"{where}: the value is {value}, finite numbers are wanted")


def _value(item: Field, env: Any, obs: Any, info: Mapping[str, Any]) -> Any:
    names: dict[str, Any] = {}
    tree = _prepared(item, env, names, "?")
    body: list[ast.stmt] = [
        ast.Assign(
            [ast.Subscript(ast.Name("_out", ast.Load()), ast.Constant(0), ast.Store())], tree
        )
    ]
    out: list[Any] = [None]
    _function(body, names)(out, obs, info)  # type: ignore[arg-type]
    return out[0]


def _missing_key(key: object, obs: Any, info: Mapping[str, Any]) -> str:
    known = sorted(k for k in info if k != "rewardsmith")
    text = f"there is no key {key!r}; info has {known or 'no keys'}"
    return f"{text}, the observation has {sorted(obs)}" if isinstance(obs, Mapping) else text


class Absent(float):
    """Zero of every shape: what an info key reads as at a reset that does not give it."""

    def __getitem__(self, key: object) -> "Absent":
        return self


class ResetInfo(dict[str, Any]):
    """The info of a reset: a key that only steps give reads as zero."""

    def __missing__(self, key: str) -> Absent:
        return Absent(0.0)


def nonfinite(flat: npt.NDArray[np.float64], names: Layout) -> Iterable[str]:
    """Returns the fields that hold NaN or infinity anywhere in the flat rows."""
    columns = np.flatnonzero(~np.isfinite(flat).all(axis=0))
    return sorted({names.owner(int(c)) for c in columns})
