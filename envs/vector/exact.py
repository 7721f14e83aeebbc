"""Functions of arrays that round as their counterparts of single numbers do."""

import operator
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np

from rewardsmith.envs.task import FloatArray


def each(function: Callable[..., Any], *columns: Any) -> FloatArray:
    """Returns (n,) values of a function of numbers; a column is (n,) or one number for all."""
    count = max(len(c) for c in columns if isinstance(c, np.ndarray))
    numbers = [c.tolist() if isinstance(c, np.ndarray) else repeat(c, count) for c in columns]
    return np.fromiter(map(function, *numbers), np.float64, count)


def power(base: FloatArray, exponent: int) -> FloatArray:
    """Returns (n,) powers as of numbers, one by one: ``x ** 2`` may differ from ``x * x``."""
    return np.fromiter(map(operator.pow, base.tolist(), repeat(exponent)), np.float64, len(base))


def norm(vectors: FloatArray) -> FloatArray:
    """Returns (n,) lengths, as ``np.linalg.norm`` of each: it takes a dot product, not a sum."""
    lengths: FloatArray = np.sqrt(np.vecdot(vectors, vectors))
    return lengths


# Under the names by which `expressions` calls them.
FUNCTIONS = {"_each": each, "_power": power, "_norm": norm}
