"""A card bound to many simulations: which readings it needs, and their flat rows."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardsmith.envs.columns import Slot, function_of, layout
from rewardsmith.envs.sources import PLACES, checked
from rewardsmith.envs.task import EnvSpec, Field, FloatArray
from rewardsmith.envs.vector.exact import FUNCTIONS
from rewardsmith.envs.vector.expressions import NUMBER, VECTOR, NotVectorised, Part, vectorised
from rewardsmith.envs.vector.worlds import Moment
from rewardsmith.errors import ConfigError

_MJDATA = {
    "xpos": ("xpos", 3),
    "xquat": ("xquat", 4),
    "xmat": ("xmat", 9),
    "site": ("site_xpos", 3),
    "geom": ("geom_xpos", 3),
}
Infos = Mapping[str, FloatArray]
Compute = Callable[..., Any]


class Unsupported(Exception):
    """The card needs what simulations side by side do not show; the text says what."""


@dataclass(frozen=True)
class _Place:
    """Columns of an MjData field: ``now.fields[field][:, start:stop]``, ``touch`` as 0 or 1."""

    field: str
    start: int
    stop: int
    touch: bool = False

    def values(self, now: Moment) -> Any:
        columns = now.fields[self.field][:, self.start : self.stop]
        return (columns[:, 0] > 0).astype(np.float64) if self.touch else columns


@dataclass(frozen=True)
class _Source:
    """One field of the card: where it goes in the row, and the code that computes it."""

    item: Field
    target: int | slice
    compute: Compute
    places: tuple[_Place, ...]
    by_rows: bool

    def fill(self, out: FloatArray, now: Moment, obs: FloatArray, info: Infos) -> None:
        places = [place.values(now) for place in self.places]
        readings = (obs, info, now.qpos, now.qvel, now.ctrl, *places)
        if self.by_rows:
            for row in range(len(out)):
                one = {key: values[row] for key, values in info.items()}
                rest = (values[row] for values in readings[2:])
                value = self.compute(obs[row], one, *rest)
                out[row, self.target] = value if isinstance(self.target, int) else np.ravel(value)
        else:
            out[:, self.target] = self.compute(*readings)


class BatchCard:
    """The card of ``spec`` over simulations of ``model``; see `rows`.

    ``fields`` are the MjData fields that it reads; ``contacts`` the pairs of geoms or bodies of
    which ``sensordata`` must tell, after the model's own sensors, whether they touch.
    """

    def __init__(self, spec: EnvSpec, model: Any, infos: frozenset[str]) -> None:
        self._spec = spec
        self._model = model
        self._infos = infos
        self._layout = layout(spec)
        self.contacts: list[tuple[str, str]] = []
        self._sources: list[_Source] = []
        for item in (*spec.fields, *spec.hidden):
            self._sources += self._compiled(item, self._layout.slots[item.name])
        self.fields = frozenset(p.field for s in self._sources for p in s.places)

    @property
    def row_by_row(self) -> tuple[str, ...]:
        """Names of the fields that have no form over arrays."""
        return tuple(source.item.name for source in self._sources if source.by_rows)

    def rows(self, now: Moment, obs: FloatArray, info: Infos) -> FloatArray:
        """Returns (n, width) flat rows of the state now.

        Raises:
            ConfigError: a source cannot be evaluated; the message names the field.
        """
        out = np.empty((len(obs), self._layout.width))
        for source in self._sources:
            try:
                source.fill(out, now, obs, info)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                item = source.item
                raise ConfigError(
                    f"card of {self._spec.id}, field {item.name!r}, source {item.source!r}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return out

    def _compiled(self, item: Field, slot: Slot) -> list[_Source]:
        tree, places, names = self._resolved(item)
        parts: list[tuple[ast.expr, int | slice]] = [(tree, slice(slot.start, slot.stop))]
        if item.shape == ():
            parts = [(tree, slot.start)]
        elif isinstance(tree, ast.List | ast.Tuple) and len(tree.elts) == item.size:
            parts = [(element, slot.start + i) for i, element in enumerate(tree.elts)]
        compiled = []
        for part, target in parts:
            rank = NUMBER if isinstance(target, int) else VECTOR
            unused = {f"_k{i}" for i in range(len(places))} - _names_in(part)
            known = {name: kind for name, kind in names.items() if name not in unused}
            compute, by_rows = self._form(part, known, rank)
            read = tuple(place for i, place in enumerate(places) if f"_k{i}" in known)
            compiled.append(_Source(item, target, compute, read, by_rows))
        return compiled

    def _form(self, tree: ast.expr, names: dict[str, int], wanted: int) -> tuple[Compute, bool]:
        try:
            part = vectorised(tree, names, self._infos)
        except NotVectorised:
            part = Part(tree, -1)
        fits = part.rank in (0, wanted)
        return function_of(part.code if fits else tree, tuple(names), FUNCTIONS), not fits

    def _resolved(self, item: Field) -> tuple[ast.expr, tuple[_Place, ...], dict[str, int]]:
        finder = _Finder(self._model, self._infos, self.contacts)
        tree = finder.visit(checked(item.source))
        ranks = {"obs": VECTOR, "info": -1, "qpos": VECTOR, "qvel": VECTOR, "ctrl": VECTOR}
        ranks |= {f"_k{i}": NUMBER if p.touch else VECTOR for i, p in enumerate(finder.places)}
        return tree, tuple(finder.places), ranks


def _names_in(tree: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


class _Finder(ast.NodeTransformer):
    """Replaces ``xpos('torso')`` and ``touching('a', 'b')`` by names of columns."""

    def __init__(self, model: Any, infos: frozenset[str], contacts: list[tuple[str, str]]) -> None:
        self.model = model
        self.infos = infos
        self.contacts = contacts
        self.places: list[_Place] = []

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "env":
            raise Unsupported("a source reads attributes of the environment")
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "info":
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if key not in self.infos:
                raise Unsupported(f"info has no number {key!r} here")
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "touching":
            first, second = (a.value for a in node.args)  # type: ignore[attr-defined]
            return self._place(self._contact(first, second))
        if name == "sensor":
            raise Unsupported("a source reads a sensor of the model")
        if name in _MJDATA:
            field, size = _MJDATA[name]
            kind, _ = PLACES[name]
            wanted = node.args[0].value  # type: ignore[attr-defined]
            start = int(getattr(self.model, kind)(wanted).id) * size
            return self._place(_Place(field, start, start + size))
        return self.generic_visit(node)

    def _contact(self, first: str, second: str) -> _Place:
        pair = (first, second)
        if pair not in self.contacts:
            self.contacts.append(pair)
        column = int(self.model.nsensordata) + self.contacts.index(pair)
        return _Place("sensordata", column, column + 1, touch=True)

    def _place(self, place: _Place) -> ast.expr:
        self.places.append(place)
        return ast.Name(f"_k{len(self.places) - 1}", ast.Load())
