"""Functions of a state whose sums are the potentials that a reward may be shaped by."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rewardsmith.envs.task import FloatArray

EXPONENTS = (0.25, 1.0)  # of a size's mean: how fast an exponential potential falls
_STILL = 1e-9  # a spread, relative to the value, below which a feature does not change


@dataclass(frozen=True)
class Basis:
    """1, z, z^2, tanh(z W + b), the sizes f of fields, and exp(-f / scale).

    z are the features, standardised. Each field's size is the length of a vector, or the absolute
    value of a number that changes its sign: a distance, an angle, a speed.

    ``centre`` and ``spread`` (features,) standardise; ``weights`` (features, directions) and
    ``biases`` (directions,) are W and b; ``scales`` (sizes,) are the sizes' means.
    """

    centre: FloatArray
    spread: FloatArray
    weights: FloatArray
    biases: FloatArray
    scales: FloatArray

    @classmethod
    def of(
        cls, features: FloatArray, sizes: FloatArray, directions: int, rng: np.random.Generator
    ) -> "Basis":
        """Returns a basis that suits these states.

        Args:
            features: (states, features), see `features_of`; those that do not change are nothing.
            sizes: (states, sizes), see `sizes_of`.
            directions: number of random directions.
            rng: draws them.
        """
        centre, spread = features.mean(axis=0), features.std(axis=0)
        still = spread <= _STILL * (1 + np.abs(centre))
        weights = rng.standard_normal((features.shape[1], directions))
        weights[still] = 0.0
        return cls(
            centre=centre,
            spread=np.where(still, np.inf, spread),
            weights=weights / max(1, int(np.count_nonzero(~still))) ** 0.5,
            biases=rng.uniform(-1.0, 1.0, directions),
            scales=np.maximum(sizes.mean(axis=0), 1e-12),
        )

    def potentials(self, features: FloatArray, sizes: FloatArray) -> FloatArray:
        """Returns the potentials of some states, (states, potentials); column 0 is 1."""
        z = (features - self.centre) / self.spread
        relative = sizes / self.scales
        parts = [np.ones((len(z), 1)), z, z * z, np.tanh(z @ self.weights + self.biases), relative]
        return np.hstack([*parts, *(np.exp(-relative / scale) for scale in EXPONENTS)])


def features_of(fields: Mapping[str, FloatArray]) -> FloatArray:
    """Returns the fields' numbers side by side, (rows, features)."""
    return np.hstack([column.reshape(len(column), -1) for column in fields.values()])


def sizes_of(fields: Mapping[str, FloatArray]) -> FloatArray:
    """Returns the length of every field's value, (rows, fields)."""
    return np.stack(
        [np.linalg.norm(column.reshape(len(column), -1), axis=1) for column in fields.values()],
        axis=1,
    )
