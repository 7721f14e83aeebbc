"""What K stacked policies of PPO do on the way: actions and their log probabilities, in NumPy.

NumPy because a step of a few dozen environments is over before a program of JAX has been called;
and matrix by matrix, so that no lane's numbers depend on how many lanes there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.runs.training.policy import Float32Array, PolicySpec
from rewardsmith.runs.training.trainers import fast_network as network


def noise(
    spec: PolicySpec, rng: np.random.Generator, steps: int, num_envs: int, sde_every: int
) -> Float32Array:
    """Draws all that one lane's exploration in a rollout needs.

    Returns:
        (T, N, A) standard normal for Gaussian actions, (T, N, C) Gumbel for discrete ones; with
        state-dependent exploration (T', N, width, A) standard normal, one for every ``sde_every``
        steps, or for the whole rollout where that is below 1.
    """
    if spec.count is not None:
        uniform = rng.random((steps, num_envs, spec.count), dtype=np.float32)
        return -np.log(-np.log(np.maximum(uniform, np.finfo(np.float32).tiny)))
    shape: tuple[int, ...] = (steps, num_envs, spec.outputs)
    if spec.use_sde:
        draws = 1 if sde_every < 1 else -(-steps // sde_every)
        shape = (draws, num_envs, spec.hidden[-1], spec.outputs)
    return rng.standard_normal(shape, dtype=np.float32)


class Actors:
    """K policies for the time of one rollout.

    ``weights`` is (K, size); ``noises`` has an array of `noise` per lane.
    """

    def __init__(
        self,
        spec: PolicySpec,
        weights: Float32Array,
        noises: Sequence[Float32Array],
        sde_every: int,
    ) -> None:
        self._spec = spec
        self._weights = network.unpacked(spec, weights)
        names = [*(f"mlp_extractor.policy_net.{2 * i}" for i in range(len(spec.hidden)))]
        self._maps = [self._map(name) for name in [*names, "action_net"]]
        self._noise = np.stack(noises, axis=1)
        self._every = sde_every
        if spec.count is None:
            self._std = np.exp(self._weights["log_std"])
            if not spec.use_sde:
                self._noise *= self._std[:, None]

    def _map(self, name: str) -> tuple[Float32Array, Float32Array]:
        matrix, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return np.ascontiguousarray(matrix.swapaxes(-1, -2)), bias[:, None].copy()

    def act(self, t: int, seen: Float32Array) -> tuple[Any, Float32Array, Float32Array | None]:
        """Returns actions, what they were drawn around, and the last hidden layer if that counts.

        Args:
            t: step within the rollout.
            seen: (K, N, D) normalised observations.

        Returns:
            (K, N, A) float32 or (K, N) int32 actions; (K, N, A or C) means or logits; with
            state-dependent exploration (K, N, width), else None.
        """
        x = seen
        for matrix, bias in self._maps[:-1]:
            x = np.matmul(x, matrix)
            x += bias
            x = self._activated(x)
        matrix, bias = self._maps[-1]
        out = np.matmul(x, matrix)
        out += bias
        if self._spec.count is not None:
            return (out + self._noise[t]).argmax(-1).astype(np.int32), out, None
        if not self._spec.use_sde:
            return out + self._noise[t], out, None
        drawn = self._noise[t // self._every if self._every > 0 else 0] * self._std[:, None]
        return out + np.matmul(x[..., None, :], drawn)[..., 0, :], out, x

    def _activated(self, x: Float32Array) -> Float32Array:
        if self._spec.activation == "tanh":
            return np.tanh(x, out=x)
        return np.maximum(x, np.float32(0), out=x)

    def log_probs(
        self, actions: npt.NDArray[Any], outs: Float32Array, hidden: Float32Array | None
    ) -> Float32Array:
        """Returns (T, K, N) log probabilities of what `act` returned over T steps."""
        if self._spec.count is not None:
            logits = network.log_softmax(np, outs)
            taken: Float32Array = np.take_along_axis(logits, actions[..., None], axis=-1)[..., 0]
            return taken
        log_std = self._weights["log_std"]
        if hidden is not None:
            log_std = network.sde_log_std(np, hidden, log_std)
        else:
            log_std = log_std[:, None]
        found: Float32Array = network.gaussian_log_prob(np, actions, outs, log_std)
        return found

    def values(self, seen: Float32Array) -> Float32Array:
        """Returns (K, rows) values of (K, rows, D) normalised observations."""
        found: Float32Array = network.values(np, self._spec, self._weights, seen)
        return found

    def value_of(self, lane: int, seen: Float32Array) -> Float32Array:
        """Returns one lane's (rows,) values of (rows, D) normalised observations."""
        weights = {name: array[lane] for name, array in self._weights.items()}
        found: Float32Array = network.values(np, self._spec, weights, seen)
        return found
