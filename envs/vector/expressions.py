"""A card's sources over many simulations at once, with the numbers of one at a time.

A part is a constant, one number per simulation (n,), or one vector per simulation (n, k). What has
no such form here (conditions, indices that are computed, most of NumPy) runs row by row instead.
"""

import ast
import math
from dataclasses import dataclass, replace

import numpy as np

CONSTANT, NUMBER, VECTOR = 0, 1, 2
# Correctly rounded or exact, so that arrays and numbers give the same bits.
_EXACT = {"abs", "absolute", "sqrt", "square", "sign", "minimum", "maximum", "negative", "fabs"}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


class NotVectorised(Exception):
    """An expression that has no form over many simulations here; it runs row by row."""


@dataclass(frozen=True)
class Part:
    """A piece of code and its rank; ``truth`` marks comparisons, which only floats may become."""

    code: ast.expr
    rank: int
    truth: bool = False


def vectorised(tree: ast.expr, names: dict[str, int], infos: frozenset[str]) -> Part:
    """Returns the code of a resolved source over arrays, one row per simulation.

    Args:
        tree: a source whose places and contacts were replaced by names.
        names: rank of each name that stands for an array.
        infos: keys of ``info``, one number per simulation each.

    Raises:
        NotVectorised: there is none.
    """
    return _Form(names, infos).of(tree)


class _Form:
    def __init__(self, names: dict[str, int], infos: frozenset[str]) -> None:
        self._names = names
        self._infos = infos

    def of(self, node: ast.expr) -> Part:
        """Returns the form of one node."""
        match node:
            case ast.Subscript():
                return self._subscript(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                inner = self._plain(node.operand)
                return replace(inner, code=ast.UnaryOp(node.op, inner.code))
            case ast.BinOp():
                return self._operation(node)
            case ast.Compare(ops=[op], comparators=[right]) if isinstance(op, _COMPARISONS):
                return self._comparison(node, op, right)
            case ast.Call(func=function, keywords=[]):
                return self._call(function, node.args)
        return self._leaf(node)

    def _leaf(self, node: ast.expr) -> Part:
        match node:
            case ast.Constant(value=int() | float()):
                return Part(node, CONSTANT)
            case ast.Name(id=name) if name in self._names:
                return Part(node, self._names[name])
            case ast.Attribute(value=ast.Name(id="math" | "np"), attr="pi" | "e" | "inf" | "tau"):
                return Part(node, CONSTANT)
        raise NotVectorised(ast.dump(node))

    def _plain(self, node: ast.expr) -> Part:
        part = self.of(node)
        if part.truth:
            # Python's truth values add up, NumPy's do not: which one it was is not known here.
            raise NotVectorised("arithmetic on comparisons")
        return part

    def _subscript(self, node: ast.Subscript) -> Part:
        match node.value, node.slice:
            case ast.Name(id="info"), ast.Constant(value=str(key)) if key in self._infos:
                return Part(node, NUMBER)
        inner = self.of(node.value)
        every = ast.Slice()
        if inner.rank == VECTOR and _whole(node.slice):
            index = ast.Tuple([every, node.slice], ast.Load())
            return Part(ast.Subscript(inner.code, index, ast.Load()), NUMBER)
        if inner.rank == VECTOR and isinstance(node.slice, ast.Slice):
            ends = (node.slice.lower, node.slice.upper, node.slice.step)
            if all(end is None or _whole(end) for end in ends):
                index = ast.Tuple([every, node.slice], ast.Load())
                return Part(ast.Subscript(inner.code, index, ast.Load()), VECTOR)
        raise NotVectorised("an index that is computed")

    def _operation(self, node: ast.BinOp) -> Part:
        left, right = self._plain(node.left), self._plain(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if not isinstance(node.op, _OPERATORS):
            raise NotVectorised("an operator of integers")
        rank = max(left.rank, right.rank)
        ends = [_stretched(part, rank) for part in (left, right)]
        return Part(ast.BinOp(ends[0], node.op, ends[1]), rank)

    def _comparison(self, node: ast.Compare, op: ast.cmpop, right: ast.expr) -> Part:
        left, other = self._plain(node.left), self._plain(right)
        if max(left.rank, other.rank) != NUMBER:
            raise NotVectorised("a comparison of vectors")
        return Part(ast.Compare(left.code, [op], [other.code]), NUMBER, truth=True)

    def _call(self, function: ast.expr, arguments: list[ast.expr]) -> Part:
        if isinstance(function, ast.Name) and function.id == "float" and len(arguments) == 1:
            return _each(function, [self.of(arguments[0])], known=True)
        parts = [self._plain(argument) for argument in arguments]
        rank = max((part.rank for part in parts), default=CONSTANT)
        match function:
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if rank <= NUMBER:
                return _each(function, parts, callable(getattr(math, name, None)))
            case ast.Attribute(value=ast.Name(id="np"), attr=name):
                return _of_numpy(function, name, parts, rank)
            case ast.Attribute(
                value=ast.Attribute(value=ast.Name(id="np"), attr="linalg"), attr="norm"
            ) if rank == VECTOR and len(parts) == 1:
                return Part(_calling("_norm", [parts[0].code]), NUMBER)
            case ast.Name(id="abs") if len(parts) == 1:
                return Part(ast.Call(function, [parts[0].code], []), rank)
            case ast.Name(id="min" | "max") if rank == NUMBER and len(parts) > 1:
                return _each(function, parts, known=True)
        raise NotVectorised("a function without a form over arrays")


def _of_numpy(function: ast.expr, name: str, parts: list[Part], rank: int) -> Part:
    if name in _EXACT and rank > CONSTANT:
        codes = [_stretched(part, rank) for part in parts]
        return Part(ast.Call(function, codes, []), rank)
    # Other functions of NumPy may round arrays and numbers differently.
    return _each(function, parts, rank <= NUMBER and isinstance(getattr(np, name, None), np.ufunc))


def _each(function: ast.expr, parts: list[Part], known: bool) -> Part:
    """Applies a function of numbers to each simulation's: arrays may round in other ways."""
    if not known or max((part.rank for part in parts), default=CONSTANT) > NUMBER:
        raise NotVectorised("a function without a form over arrays")
    if all(part.rank == CONSTANT for part in parts):
        return Part(ast.Call(function, [part.code for part in parts], []), CONSTANT)
    return Part(_calling("_each", [function, *(part.code for part in parts)]), NUMBER)


def _power(left: Part, right: Part) -> Part:
    if right.rank != CONSTANT or not _whole(right.code):
        raise NotVectorised("a power that is no whole number")
    if left.rank == VECTOR and ast.unparse(right.code) != "2":
        raise NotVectorised("a power of vectors other than the square")
    if left.rank == NUMBER:
        return Part(_calling("_power", [left.code, right.code]), NUMBER)
    return Part(ast.BinOp(left.code, ast.Pow(), right.code), left.rank)


def _whole(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) is int


def _stretched(part: Part, rank: int) -> ast.expr:
    if part.rank != NUMBER or rank != VECTOR:
        return part.code
    index = ast.Tuple([ast.Slice(), ast.Constant(None)], ast.Load())
    return ast.Subscript(part.code, index, ast.Load())


def _calling(name: str, arguments: list[ast.expr]) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), arguments, [])
