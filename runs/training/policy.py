"""A policy as plain arrays: saved, checked, and run again without the library that trained it.

Between the process that trains and the process that judges stand two files: ``policy.safetensors``
(named float32 arrays, no pickle) and ``policy.json`` (`PolicySpec`). Names and shapes of the arrays
follow from the spec; what does not match is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from rewardsmith.envs.task import ActionSpec
from rewardsmith.errors import TrainingError
from rewardsmith.runs.whole import write_whole

Float32Array = npt.NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]

WEIGHTS_FILE = "policy.safetensors"
SPEC_FILE = "policy.json"
_BOUNDED = ("sac", "td3", "ddpg")  # whose last layer passes a tanh
_SDE_CLIP = 2.0  # ``clip_mean`` of Stable-Baselines3's SAC
MOST_BYTES = 1 << 28  # of either file; the largest preset has less than a megabyte


class Normalisation(BaseModel):
    """Statistics of observations: ``clip((x - mean) / sqrt(var + epsilon), -clip, clip)``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...]
    var: tuple[float, ...]
    clip: float
    epsilon: float


class PolicySpec(BaseModel):
    """All of a policy but its weights.

    ``kind`` fixes the layout: "linear" is one affine map, all others are Stable-Baselines3's
    ``MlpPolicy`` of that algorithm. ``low`` and ``high`` are the bounds of each action value,
    None where there is none; ``count`` is the number of choices of a discrete action, else None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["ppo", "a2c", "sac", "td3", "ddpg", "dqn", "linear"]
    observation_size: int
    action_shape: tuple[int, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    count: int | None = None
    hidden: tuple[int, ...] = ()
    activation: Literal["tanh", "relu"] = "tanh"
    use_sde: bool = False
    normalisation: Normalisation | None = None

    @property
    def outputs(self) -> int:
        """Width of the last layer: choices, or values of one action."""
        return self.count if self.count is not None else int(np.prod(self.action_shape, dtype=int))


def action_part(action: ActionSpec) -> dict[str, Any]:
    """Returns the fields of a `PolicySpec` that describe the action."""
    return {
        "action_shape": action.shape,
        "low": tuple(x if np.isfinite(x) else None for x in action.low),
        "high": tuple(x if np.isfinite(x) else None for x in action.high),
        "count": action.count,
    }


def _layers(prefix: str, sizes: tuple[int, ...]) -> Shapes:
    """Weights and biases of a fully connected net; every second module is the activation."""
    shapes: Shapes = {}
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        shapes |= _affine(f"{prefix}.{2 * i}", fan_in, fan_out)
    return shapes


def _affine(name: str, fan_in: int, fan_out: int) -> Shapes:
    return {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}


def _ppo_shapes(spec: PolicySpec) -> Shapes:
    sizes = (spec.observation_size, *spec.hidden)
    shapes = _layers("mlp_extractor.policy_net", sizes) | _layers("mlp_extractor.value_net", sizes)
    shapes |= _affine("action_net", sizes[-1], spec.outputs) | _affine("value_net", sizes[-1], 1)
    if spec.count is None:
        shapes["log_std"] = (sizes[-1], spec.outputs) if spec.use_sde else (spec.outputs,)
    return shapes


def _mu(spec: PolicySpec) -> str:
    """With state-dependent exploration the means pass a clip, and the map is the first of two."""
    return "actor.mu.0" if spec.use_sde else "actor.mu"


def _sac_shapes(spec: PolicySpec) -> Shapes:
    sizes = (spec.observation_size, *spec.hidden)
    shapes = _layers("actor.latent_pi", sizes)
    shapes |= _affine(_mu(spec), sizes[-1], spec.outputs)
    if spec.use_sde:
        shapes["actor.log_std"] = (sizes[-1], spec.outputs)
    else:
        shapes |= _affine("actor.log_std", sizes[-1], spec.outputs)
    inputs = spec.observation_size + spec.outputs
    for net in ("critic.qf0", "critic.qf1", "critic_target.qf0", "critic_target.qf1"):
        shapes |= _layers(net, (inputs, *spec.hidden, 1))
    return shapes


def _td3_shapes(spec: PolicySpec) -> Shapes:
    sizes = (spec.observation_size, *spec.hidden, spec.outputs)
    inputs = spec.observation_size + spec.outputs
    shapes = _layers("actor.mu", sizes) | _layers("actor_target.mu", sizes)
    for i in range(1 if spec.kind == "ddpg" else 2):
        for net in (f"critic.qf{i}", f"critic_target.qf{i}"):
            shapes |= _layers(net, (inputs, *spec.hidden, 1))
    return shapes


def _dqn_shapes(spec: PolicySpec) -> Shapes:
    sizes = (spec.observation_size, *spec.hidden, spec.outputs)
    return _layers("q_net.q_net", sizes) | _layers("q_net_target.q_net", sizes)


_SHAPES = {"ppo": _ppo_shapes, "a2c": _ppo_shapes, "sac": _sac_shapes, "td3": _td3_shapes,
           "ddpg": _td3_shapes, "dqn": _dqn_shapes}  # fmt: skip


def shapes(spec: PolicySpec) -> Shapes:
    """Returns name -> shape of every array that a policy of this spec consists of."""
    if spec.kind in _SHAPES:
        return _SHAPES[spec.kind](spec)
    return _affine("action_net", spec.observation_size, spec.outputs)


def _actor_names(spec: PolicySpec) -> tuple[str, ...]:
    """The affine maps from observation to action, in order."""
    if spec.kind == "sac":
        return (*(f"actor.latent_pi.{2 * i}" for i in range(len(spec.hidden))), _mu(spec))
    if spec.kind in ("td3", "ddpg", "dqn"):
        net = "q_net.q_net" if spec.kind == "dqn" else "actor.mu"
        return tuple(f"{net}.{2 * i}" for i in range(len(spec.hidden) + 1))
    trunk = (f"mlp_extractor.policy_net.{2 * i}" for i in range(len(spec.hidden)))
    return (*trunk, "action_net")


def _limits(bounds: tuple[float | None, ...], missing: float, size: int) -> Float32Array:
    values = [missing if x is None else x for x in bounds] or [missing] * size
    return np.asarray(values, dtype=np.float32)


@dataclass(frozen=True)
class Policy:
    """A deterministic map from one observation to one action; ``weights`` as in `shapes`."""

    spec: PolicySpec
    weights: Mapping[str, Float32Array]
    _maps: tuple[tuple[Float32Array, Float32Array], ...] = field(init=False, repr=False)
    _low: Float32Array = field(init=False, repr=False)
    _high: Float32Array = field(init=False, repr=False)
    _centre: npt.NDArray[np.float64] | None = field(init=False, repr=False, default=None)
    _spread: npt.NDArray[np.float64] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        spec, keep = self.spec, object.__setattr__
        maps = tuple(
            (self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])
            for name in _actor_names(spec)
        )
        keep(self, "_maps", maps)
        keep(self, "_low", _limits(spec.low, -np.inf, spec.outputs))
        keep(self, "_high", _limits(spec.high, np.inf, spec.outputs))
        if spec.normalisation is not None:
            keep(self, "_centre", np.asarray(spec.normalisation.mean))
            variance = np.asarray(spec.normalisation.var)
            keep(self, "_spread", np.sqrt(variance + spec.normalisation.epsilon))

    def _normalised(self, observation: npt.ArrayLike) -> Float32Array:
        flat = np.asarray(observation).reshape(-1)
        if self.spec.normalisation is None or self._spread is None:
            return flat.astype(np.float32)
        clip = self.spec.normalisation.clip
        return np.clip((flat - self._centre) / self._spread, -clip, clip).astype(np.float32)

    def __call__(self, observation: npt.ArrayLike) -> Any:
        """Returns the action for one observation: an array of the action's shape, or an int64."""
        x = self._normalised(observation)
        for weight, bias in self._maps[:-1]:
            x = weight @ x + bias
            x = np.tanh(x) if self.spec.activation == "tanh" else np.maximum(x, 0.0)
        weight, bias = self._maps[-1]
        return self._action(weight @ x + bias)

    def _action(self, out: Float32Array) -> Any:
        spec = self.spec
        if spec.count is not None:
            return np.int64(np.argmax(out))
        if spec.kind in _BOUNDED:
            out = np.clip(out, -_SDE_CLIP, _SDE_CLIP) if spec.use_sde else out
            out = self._low + np.float32(0.5) * (np.tanh(out) + np.float32(1)) * (
                self._high - self._low
            )
        return np.clip(out, self._low, self._high).reshape(spec.action_shape)


def checked(spec: PolicySpec, weights: Mapping[str, npt.NDArray[Any]]) -> Policy:
    """Returns the policy, once every array is there with its shape, float32 and finite.

    Raises:
        TrainingError: an array is missing, unknown, of another shape or type, or not finite.
    """
    _check_spec(spec)
    wanted = shapes(spec)
    if set(weights) != set(wanted):
        missing, extra = sorted(set(wanted) - set(weights)), sorted(set(weights) - set(wanted))
        raise TrainingError(f"policy weights: missing {missing}, unknown {extra}")
    for name, array in weights.items():
        if array.shape != wanted[name] or array.dtype != np.float32:
            found = f"{array.dtype}{list(array.shape)}"
            raise TrainingError(
                f"policy weights: {name} is {found}, float32{list(wanted[name])} is wanted"
            )
        if not np.isfinite(array).all():
            raise TrainingError(f"policy weights: {name} holds values that are not finite")
    _check_normalisation(spec)
    return Policy(spec, dict(weights))


def _check_spec(spec: PolicySpec) -> None:
    sizes = (spec.observation_size, *spec.hidden, *spec.action_shape, spec.outputs)
    if min(sizes) < 1 or (spec.count is not None and spec.action_shape):
        raise TrainingError(
            f"policy spec: sizes {list(sizes)}; whole numbers from 1 on are wanted, and no shape "
            "for discrete actions"
        )
    for bounds in (spec.low, spec.high):
        if len(bounds) not in (0, spec.outputs):
            raise TrainingError(
                f"policy spec: {len(bounds)} bounds for an action of {spec.outputs} values"
            )
    if spec.kind in _BOUNDED and (spec.count is not None or None in (*spec.low, *spec.high)):
        name = spec.kind.upper()
        raise TrainingError(f"policy spec: {name} acts within finite bounds, and these are not")
    if spec.kind == "dqn" and spec.count is None:
        raise TrainingError("policy spec: DQN chooses among discrete actions, and these are not")


def _check_normalisation(spec: PolicySpec) -> None:
    norm = spec.normalisation
    if norm is None:
        return
    if {len(norm.mean), len(norm.var)} != {spec.observation_size}:
        raise TrainingError(
            f"policy spec: {len(norm.mean)} means and {len(norm.var)} variances for observations "
            f"of {spec.observation_size} values"
        )
    if min(norm.var) < 0 or norm.epsilon <= 0 or norm.clip <= 0:
        raise TrainingError("policy spec: variance >= 0, epsilon > 0 and clip > 0 are wanted")


def save_policy(policy: Policy, folder: Path) -> None:
    """Writes ``policy.safetensors`` and, after it, ``policy.json`` into ``folder``."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in policy.weights.items()}
    write_whole(folder / WEIGHTS_FILE, save(arrays))
    write_whole(folder / SPEC_FILE, policy.spec.model_dump_json(indent=1).encode())


def load_policy(folder: Path) -> Policy:
    """Returns the policy stored in ``folder``; it maps one observation to one action.

    Raises:
        TrainingError: a file is missing or damaged, or the arrays are not what the spec wants.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        spec = PolicySpec.model_validate_json(_content(folder / SPEC_FILE))
        weights = load(_content(folder / WEIGHTS_FILE))
    # A type that NumPy has no word for is a KeyError of safetensors.
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise TrainingError(
            f"{folder}: no readable policy ({SPEC_FILE}, {WEIGHTS_FILE}): {error}"
        ) from error
    return checked(spec, weights)


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path.name} has {size:,} bytes, at most {MOST_BYTES:,} are wanted")
    return path.read_bytes()
