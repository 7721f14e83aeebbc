"""The expressions by which a card says where a field's value comes from.

Cards are the user's own data, so this is no wall; it keeps sources readable and mistakes early.
"""

import ast
import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

NAMES = {
    "obs": "the observation, obs[0] or obs['key']",
    "info": "the info of the step, info['key']; a key that reset does not give reads 0 there",
    "env": "the unwrapped environment, env.attribute",
    "qpos": "MuJoCo joint positions",
    "qvel": "MuJoCo joint velocities",
    "ctrl": "MuJoCo actuator controls",
    "sensor": "sensor('name'): a MuJoCo sensor's values",
    "xpos": "xpos('body'): position of a MuJoCo body in the world, m",
    "xquat": "xquat('body'): orientation of a MuJoCo body, quaternion w x y z",
    "xmat": "xmat('body'): rotation matrix of a MuJoCo body, 9 values by rows",
    "site": "site('name'): position of a MuJoCo site in the world, m",
    "geom": "geom('name'): position of a MuJoCo geom in the world, m",
    "touching": "touching('a', 'b'): 1 while two MuJoCo geoms (or bodies) are in contact, else 0",
    "np": "NumPy",
    "math": "the math module, for scalars",
    "abs": "absolute value",
    "float": "conversion to a number",
    "len": "number of elements",
    "min": "smallest",
    "max": "largest",
    "sum": "sum",
}
_SIMULATOR = ("qpos", "qvel", "ctrl")
PLACES = {
    "sensor": ("sensor", "data"),
    "xpos": ("body", "xpos"),
    "xquat": ("body", "xquat"),
    "xmat": ("body", "xmat"),
    "site": ("site", "xpos"),
    "geom": ("geom", "xpos"),
}
BOUND = {"np": np, "math": math, "abs": abs, "float": float, "len": len, "min": min, "max": max}
BOUND["sum"] = sum


class SourceError(ValueError):
    """What is wrong with one source, without its place; the caller adds card and field."""


def checked(source: str) -> ast.expr:
    """Parses a source and checks its names.

    Raises:
        SourceError: it is no Python expression, or uses a name or attribute that cards do not have.
    """
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        raise SourceError(f"not a Python expression ({error.msg})") from error
    own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in NAMES and node.id not in own:
            raise SourceError(f"unknown name {node.id!r}{_near(node.id, NAMES)}; known: {_list()}")
        if isinstance(node, ast.Attribute) and node.attr.startswith("__"):
            raise SourceError(f"attribute {node.attr!r} is not for cards")
        if isinstance(node, ast.Lambda | ast.NamedExpr | ast.Await | ast.Yield):
            raise SourceError("only plain expressions are understood")
    return tree


def resolved(tree: ast.expr, bare: Any, names: dict[str, Any]) -> ast.expr:
    """Replaces what is known before the first step by constants, which it adds to ``names``.

    ``xpos('torso')`` becomes the simulator's own array for that body, looked up once.

    Args:
        tree: a checked source.
        bare: the unwrapped environment.
        names: the namespace in which the compiled card runs; added to.

    Raises:
        SourceError: the simulator has no such sensor, body, site or geom, or there is no simulator.
    """
    result: ast.expr = _Resolver(bare, names).visit(tree)
    return result


class _Resolver(ast.NodeTransformer):
    def __init__(self, bare: Any, names: dict[str, Any]) -> None:
        self.bare = bare
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in _SIMULATOR:
            self.names[node.id] = getattr(_data(self.bare, node.id), node.id)
        elif node.id == "env":
            self.names["env"] = self.bare
        elif node.id in BOUND:
            self.names[node.id] = BOUND[node.id]
        elif node.id in PLACES or node.id == "touching":
            raise SourceError(f"{node.id} wants names in quotes: {NAMES[node.id]}")
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in PLACES:
            (wanted,) = _literals(node, name, 1)
            return self._constant(_place(self.bare, name, wanted))
        if name == "touching":
            first, second = _literals(node, name, 2)
            return self._contact(first, second)
        return self.generic_visit(node)

    def _constant(self, value: Any) -> ast.expr:
        name = f"_k{len(self.names)}"
        self.names[name] = value
        return ast.Name(name, ast.Load())

    def _contact(self, first: str, second: str) -> ast.expr:
        data = _data(self.bare, "touching")
        model = self.bare.model
        self.names.setdefault("_contacts", _contact_reader(data, model.ngeom))
        ones, others = _geoms(model, first), _geoms(model, second)
        pairs = {a * model.ngeom + b for a in ones for b in others}
        pairs |= {b * model.ngeom + a for a in ones for b in others}
        test = ast.Call(
            ast.Attribute(ast.Name("_pairs", ast.Load()), "isdisjoint", ast.Load()),
            [self._constant(frozenset(pairs))],
            [],
        )
        return ast.IfExp(test, ast.Constant(0.0), ast.Constant(1.0))


def _contact_reader(data: Any, count: int) -> Callable[[], frozenset[int]]:
    none: frozenset[int] = frozenset()

    def now() -> frozenset[int]:
        if not data.ncon:
            return none
        return frozenset([a * count + b for a, b in data.contact.geom.tolist()])

    return now


def _literals(node: ast.Call, name: str, count: int) -> list[str]:
    values = [
        a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
    ]
    if len(values) != count or len(node.args) != count or node.keywords:
        raise SourceError(f"{name} wants {count} name(s) in quotes: {NAMES[name]}")
    return values


def _data(bare: Any, name: str) -> Any:
    data = getattr(bare, "data", None)
    if data is None or not hasattr(data, "qpos"):
        raise SourceError(f"{name} needs a MuJoCo simulation, {type(bare).__name__} has none")
    return data


def _place(bare: Any, name: str, wanted: str) -> Any:
    kind, attribute = PLACES[name]
    data = _data(bare, name)
    known = _names(bare.model, kind)
    if wanted not in known:
        raise SourceError(
            f"there is no {kind} {wanted!r}{_near(wanted, known)}; {_some(kind, known)}"
        )
    return getattr(getattr(data, kind)(wanted), attribute)


def _names(model: Any, kind: str) -> list[str]:
    count = {"sensor": "nsensor", "body": "nbody", "site": "nsite", "geom": "ngeom"}[kind]
    return [n for i in range(getattr(model, count)) if (n := getattr(model, kind)(i).name)]


def _geoms(model: Any, wanted: str) -> list[int]:
    geoms = _names(model, "geom")
    if wanted in geoms:
        return [int(model.geom(wanted).id)]
    bodies = _names(model, "body")
    if wanted not in bodies:
        near = _near(wanted, [*geoms, *bodies])
        raise SourceError(
            f"there is no geom or body {wanted!r}{near}; "
            f"{_some('geom', geoms)}, {_some('body', bodies)}"
        )
    owner = int(model.body(wanted).id)
    return [i for i in range(model.ngeom) if int(model.geom_bodyid[i]) == owner]


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _some(kind: str, known: list[str]) -> str:
    return f"{kind}s: {', '.join(known)}" if known else f"it has no named {kind}s"


def _list() -> str:
    return ", ".join(NAMES)
