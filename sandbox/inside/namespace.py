"""The names that a reward program finds: an array namespace, safe builtins, and nothing else.

This is courtesy, not a wall: it keeps honest programs honest with errors that say what to do. The
walls are the kernel's.
"""

import builtins
import dataclasses
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.fft
import numpy.linalg
import numpy.polynomial

_WITHHELD = frozenset(
    [
        "load",
        "save",
        "savez",
        "savez_compressed",
        "loadtxt",
        "savetxt",
        "genfromtxt",
        "fromfile",
        "fromregex",
        "memmap",
        "ctypeslib",
        "random",
        "testing",
        "f2py",
        "lib",
        "core",
        "char",
        "rec",
        "ma",
        "matlib",
        "show_config",
        "show_runtime",
        "info",
        "test",
        "get_include",
        "seterrcall",
        "geterrcall",
        "setbufsize",
        "getbufsize",
        "seterr",
    ]
)

_BUILTINS = [
    "abs",
    "all",
    "any",
    "bool",
    "bytes",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "format",
    "frozenset",
    "hasattr",
    "hash",
    "id",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "next",
    "object",
    "pow",
    "property",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "staticmethod",
    "classmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "type",
    "zip",
    "None",
    "True",
    "False",
    "NotImplemented",
    "Ellipsis",
    "__build_class__",
]

_ERRORS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}

_PRINTED_CHARACTERS = 2048  # with an error beside them still within a frame's header


class ArrayNamespace(types.SimpleNamespace):
    """What ``np`` means inside a program: the functions of one array library."""

    def __getattr__(self, name: str) -> typing.Any:
        """Explains a name that is not there."""
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "random":
            raise AttributeError(
                "np.random is not available: a reward is a pure function of the step"
            )
        if name in _WITHHELD:
            raise AttributeError(f"np.{name} is not available: a reward cannot read or write files")
        raise AttributeError(f"np has no function {name!r}")


def numpy_namespace() -> ArrayNamespace:
    """NumPy without files, randomness and internals."""
    return ArrayNamespace(**_NUMPY)


def public_names() -> list[str]:
    """The names of NumPy that a program may use."""
    return list(_NUMPY)


# Looked up while NumPy can still load what it loads late.
_NUMPY = {
    name: getattr(np, name)
    for name in dir(np)
    if not name.startswith("_") and name not in _WITHHELD
}


class Printer:
    """Collects what a program prints, up to a limit."""

    def __init__(self) -> None:
        self._text = ""

    def __call__(self, *values: object, sep: str = " ", end: str = "\n", **_: object) -> None:
        """Stands in for ``print``."""
        if len(self._text) < _PRINTED_CHARACTERS:
            piece = str(sep).join(str(value)[:_PRINTED_CHARACTERS] for value in values) + str(end)
            self._text = (self._text + piece)[:_PRINTED_CHARACTERS]

    def take(self) -> str:
        """Returns what was printed since the last call."""
        text, self._text = self._text, ""
        return text


def _importer(modules: Mapping[str, object]) -> Callable[..., object]:
    def load(
        name: str,
        _globals: object = None,
        _locals: object = None,
        _names: Sequence[str] = (),
        _level: int = 0,
    ) -> object:
        # The array methods of NumPy import their own parts with the program's builtins.
        if name.startswith("numpy._") and name in sys.modules:
            return sys.modules[name]
        if name not in modules:
            known = ", ".join(sorted(modules))
            raise ImportError(f"{name!r} cannot be imported in a reward; there are {known}")
        return modules[name]

    return load


def fresh(printer: Printer, array: ArrayNamespace | None = None) -> dict[str, typing.Any]:
    """Returns the global names for one program; ``array`` is NumPy's unless given."""
    array = array or numpy_namespace()
    modules = {"numpy": array, "math": math, "typing": typing, "dataclasses": dataclasses}
    names = {name: getattr(builtins, name) for name in _BUILTINS if hasattr(builtins, name)}
    names |= _ERRORS
    names |= {"print": printer, "__import__": _importer(modules)}
    return {"__builtins__": names, "__name__": "reward", "np": array, "numpy": array, "math": math}
