"""Which of many episodes a bank of limited size holds: the best, the worst and some between."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


def spread_order(fitness: npt.ArrayLike) -> list[int]:
    """Returns all positions: the best, the worst, the middle one, and ever finer between them.

    Any beginning of it is spread evenly over the ranks. Equal fitness keeps its order.

    Args:
        fitness: (n,) of each item, finite.
    """
    ranked = np.argsort(-np.asarray(fitness, dtype=np.float64), kind="stable").tolist()
    found: dict[int, None] = {}
    parts = 1
    while len(found) < len(ranked):
        marks = np.linspace(0, len(ranked) - 1, parts + 1).round().astype(int)
        found |= dict.fromkeys(marks.tolist())
        parts *= 2
    return [ranked[place] for place in found]


def within(order: Iterable[int], lengths: Sequence[int], rows: int) -> list[int]:
    """Returns the items of ``order`` that fit into ``rows``, passing over those that are too long.

    The first is taken in any case.
    """
    taken: list[int] = []
    for item in order:
        if not taken or lengths[item] <= rows:
            taken.append(item)
            rows -= lengths[item]
    return taken
