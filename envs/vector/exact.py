"""Functions of arrays that round as their counterparts of single numbers do."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rewardsmith.envs.task import FloatArray


def each(function: Callable[..., Any], *columns: Any) -> FloatArray:
    """Returns (n,) values of a function of numbers; a column is (n,) or one number for all."""
    count = max(len(c) for c in columns if isinstance(c, np.ndarray))
    lists = [c.tolist() if isinstance(c, np.ndarray) else [c] * count for c in columns]
    return np.array([function(*values) for values in zip(*lists, strict=True)], dtype=np.float64)


def power(base: FloatArray, exponent: int) -> FloatArray:
    """Returns (n,) powers as of numbers, one by one: ``x ** 2`` may differ from ``x * x``."""
    return np.array([value**exponent for value in base.tolist()], dtype=np.float64)


def norm(vectors: FloatArray) -> FloatArray:
    """Returns (n,) lengths, as ``np.linalg.norm`` of each: it takes a dot product, not a sum."""
    lengths: FloatArray = np.sqrt(np.vecdot(vectors, vectors))
    return lengths


# Under the names by which `expressions` calls them.
FUNCTIONS = {"_each": each, "_power": power, "_norm": norm}
