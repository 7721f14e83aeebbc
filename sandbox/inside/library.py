"""What an array library is to the worker that evaluates with it; NumPy's own case is here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardsmith.sandbox.inside import namespace

Function = Callable[..., Any]


@dataclass(frozen=True)
class Library:
    """How programs get and compute arrays, and how errors speak of them.

    Attributes:
        names: makes what ``np`` stands for in a program.
        prepared: from a program's function to one that takes and returns NumPy arrays.
        described: the shape and type of an array of the library's, None for anything else.
        shortened: an error's text without what helps nobody who cannot see this process.
        by_row: whether a program may be called one row at a time.
    """

    names: Callable[[], namespace.ArrayNamespace]
    prepared: Callable[[Function], Function]
    described: Callable[[object], list[Any] | None]
    shortened: Callable[[str], str]
    by_row: bool


def _as_it_is(value: Any) -> Any:
    return value


def _described(value: object) -> list[Any] | None:
    if type(value) is not np.ndarray:
        return None
    return [list(value.shape), str(value.dtype)[:20]]


NUMPY = Library(
    names=namespace.numpy_namespace,
    prepared=_as_it_is,
    described=_described,
    shortened=_as_it_is,
    by_row=True,
)
