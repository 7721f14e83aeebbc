"""The networks of PPO as one flat vector, in NumPy for rollouts and in JAX for updates.

Layout, names and initial values are those of Stable-Baselines3's ``MlpPolicy``; a `PolicySpec` of
kind "ppo" says which arrays there are. All functions take weights of one policy or of K stacked
ones: every leading axis is carried along.
"""

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from rewardsmith.runs.training.policy import Float32Array, PolicySpec, shapes

Weights = Mapping[str, Any]  # name -> array of NumPy or of JAX, (..., *shape)
LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
SDE_EPSILON = 1e-6  # beneath the variance of state-dependent exploration, as in Stable-Baselines3


def size(spec: PolicySpec) -> int:
    """Returns the number of weights of one policy."""
    return sum(math.prod(shape) for shape in shapes(spec).values())


def unpacked(spec: PolicySpec, flat: Any) -> dict[str, Any]:
    """Returns the named arrays in ``flat`` (..., size), views where NumPy can."""
    wanted = shapes(spec)
    edges = accumulate((math.prod(shape) for shape in wanted.values()), initial=0)
    return {
        name: flat[..., start:stop].reshape(*flat.shape[:-1], *shape)
        for (name, shape), (start, stop) in zip(wanted.items(), pairwise(edges), strict=True)
    }


def packed(spec: PolicySpec, weights: Weights) -> Float32Array:
    """Returns the arrays of one policy as a flat vector, float32 (size,)."""
    parts = [np.asarray(weights[name], dtype=np.float32).reshape(-1) for name in shapes(spec)]
    return np.concatenate(parts)


def initial(spec: PolicySpec, log_std: float, rng: np.random.Generator) -> Float32Array:
    """Returns fresh weights as a flat vector: orthogonal matrices, biases of zero.

    Source: the gains are Stable-Baselines3's, sqrt(2) for hidden layers, 1 for the value and 0.01
    for the action; the draw is that of Saxe et al. 2013.
    """
    gains = {"action_net.weight": 0.01, "value_net.weight": 1.0}
    weights: dict[str, Any] = {}
    for name, shape in shapes(spec).items():
        if name == "log_std":
            weights[name] = np.full(shape, log_std)
        elif name.endswith("bias"):
            weights[name] = np.zeros(shape)
        else:
            weights[name] = gains.get(name, math.sqrt(2)) * _orthogonal(shape, rng)
    return packed(spec, weights)


def _orthogonal(shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    rows, columns = shape
    tall = rng.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diagonal(r))  # else the draw is not uniform over orthogonal matrices
    return q if rows >= columns else q.T


def latent(xp: Any, spec: PolicySpec, weights: Weights, net: str, x: Any) -> Any:
    """Returns the last hidden layer, (..., rows, width), of ``net``: "policy" or "value".

    Args:
        xp: ``numpy`` or ``jax.numpy``.
        spec: the layout.
        weights: named arrays, (..., *shape).
        net: which of the two.
        x: normalised observations, (..., rows, D).
    """
    for i in range(len(spec.hidden)):
        x = affine(xp, weights, f"mlp_extractor.{net}_net.{2 * i}", x)
        x = xp.tanh(x) if spec.activation == "tanh" else xp.maximum(x, 0.0)
    return x


def affine(xp: Any, weights: Weights, name: str, x: Any) -> Any:
    """Returns ``x`` (..., rows, in) through one affine map: (..., rows, out)."""
    matrix, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return xp.matmul(x, matrix.swapaxes(-1, -2)) + bias[..., None, :]


def values(xp: Any, spec: PolicySpec, weights: Weights, x: Any) -> Any:
    """Returns the values of observations: (..., rows, D) to (..., rows)."""
    return affine(xp, weights, "value_net", latent(xp, spec, weights, "value", x))[..., 0]


def gaussian_log_prob(xp: Any, action: Any, mean: Any, log_std: Any) -> Any:
    """Returns log densities (..., rows) of actions (..., rows, A).

    Args:
        xp: ``numpy`` or ``jax.numpy``.
        action: what was drawn.
        mean: of the same shape.
        log_std: broadcast against both.
    """
    variance = xp.exp(log_std) ** 2
    return (-((action - mean) ** 2) / (2 * variance) - log_std - LOG_SQRT_TAU).sum(-1)


def log_softmax(xp: Any, logits: Any) -> Any:
    """Returns normalised log probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(-1, keepdims=True))


def sde_log_std(xp: Any, hidden: Any, log_std: Any) -> Any:
    """Returns log deviations (..., rows, A) of state-dependent exploration.

    Args:
        xp: ``numpy`` or ``jax.numpy``.
        hidden: last hidden layer of the policy, (..., rows, width).
        log_std: of the exploration matrix, (..., width, A).

    Source: Raffin et al. 2021, as in Stable-Baselines3 with ``full_std``.
    """
    variance = xp.matmul(hidden**2, xp.exp(log_std) ** 2)
    return 0.5 * xp.log(variance + SDE_EPSILON)
