"""Stored steps with one value changed: what a reward makes of each field by itself.

Source: Crome (2025) tells causal from spurious properties by edits; here the edit is of a field.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.stored import Edit, Stored
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray

SPREADS = (-0.5, 0.5)  # standard deviations
MOST_STEPS = 200
_Element = tuple[str, tuple[int, ...], float]


def edits_of(
    stored: Stored, spec: EnvSpec, *, rows: int, seed: int
) -> tuple[Steps, tuple[Edit, ...]]:
    """Returns simulated steps, each value of each field after the action shifted up and down.

    Hidden fields are left alone, and so are values that never change in the bank. ``Edit.row``
    counts on from the rows of ``stored``.

    Args:
        stored: a bank without edits.
        spec: whose card says which fields there are.
        rows: how many edits there may be; with many fields fewer steps are edited, at least one.
        seed: of which steps are taken.
    """
    simulated = stored.rows_of(stored.simulated)
    elements = list(_elements(stored, spec, simulated))
    blocks = [(element, spreads) for element in elements for spreads in SPREADS]
    count = min(MOST_STEPS, len(simulated), max(1, rows // max(1, len(blocks))))
    rng = np.random.default_rng([seed, 29])
    of = np.sort(rng.choice(simulated, size=count, replace=False))
    changed = stored.steps.take(np.tile(of, len(blocks)))
    edits: list[Edit] = []
    for number, ((field, index, std), spreads) in enumerate(blocks):
        first = number * count
        # Rows that ``take`` has just copied: nobody else has them.
        place: tuple[Any, ...] = (slice(first, first + count), *index)
        changed.after[field][place] += spreads * std
        edits += [
            Edit(stored.steps.rows + first + nth, row, field, index, spreads * std, spreads)
            for nth, row in enumerate(of.tolist())
        ]
    return changed, tuple(edits)


def _elements(stored: Stored, spec: EnvSpec, rows: npt.NDArray[np.int64]) -> Iterator[_Element]:
    """Yields (field, index, standard deviation) of every value that changes."""
    for item in spec.fields:
        values = stored.steps.after[item.name][rows]
        spread: FloatArray = np.asarray(values.std(axis=0))
        # Rounding alone gives a constant a spread.
        least = 1e-9 * np.abs(values).max(axis=0, initial=0.0)
        for index in np.argwhere(spread > least).tolist():
            yield item.name, tuple(index), float(spread[tuple(index)])
