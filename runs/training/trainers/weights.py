"""Between Stable-Baselines3's modules and plain arrays."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecNormalize

from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.policy import Normalisation, Policy, PolicySpec, checked, shapes


def finite(policy: BasePolicy) -> bool:
    """Says whether every weight is finite."""
    with torch.no_grad():
        # One sum instead of a test per value: a NaN or an infinity anywhere survives into it.
        return bool(torch.isfinite(sum(p.sum() for p in policy.parameters())).item())  # type: ignore[arg-type]


def spread(model: BaseAlgorithm) -> float | None:
    """Returns the mean action standard deviation of a Gaussian policy; None of any other.

    State-dependent exploration has none of its own: its deviation differs from state to state.
    """
    log_std = getattr(model.policy, "log_std", None)
    if not isinstance(log_std, torch.Tensor) or model.use_sde:
        return None
    return float(log_std.detach().exp().mean())


def policy_of(model: BaseAlgorithm) -> Policy:
    """Returns a copy of the model's policy as arrays, with the observation statistics it needs.

    Raises:
        TrainingError: the weights are not finite.
    """
    spec = _spec(model)
    state = model.policy.state_dict()
    weights = {n: state[n].detach().cpu().numpy().astype(np.float32) for n in shapes(spec)}
    return checked(spec, weights)


def _spec(model: BaseAlgorithm) -> PolicySpec:
    policy: Any = model.policy
    activation = "relu" if policy.activation_fn is torch.nn.ReLU else "tanh"
    hidden = policy.net_arch["pi"] if isinstance(policy.net_arch, dict) else policy.net_arch
    assert model.observation_space.shape is not None
    return PolicySpec(
        kind=cast(Any, type(model).__name__.lower()),
        observation_size=int(np.prod(model.observation_space.shape)),
        hidden=tuple(hidden),
        activation=activation,
        use_sde=bool(getattr(model, "use_sde", False)),
        normalisation=_normalisation(model.get_vec_normalize_env()),
        **_action_part(model.action_space),
    )


def _normalisation(env: VecNormalize | None) -> Normalisation | None:
    if env is None or not env.norm_obs:
        return None
    statistics: Any = env.obs_rms
    return Normalisation(
        mean=tuple(statistics.mean.tolist()),
        var=tuple(statistics.var.tolist()),
        clip=float(env.clip_obs),
        epsilon=float(env.epsilon),
    )


def _action_part(space: gym.Space[Any]) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        return {"action_shape": (), "count": int(space.n)}
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(f"action space {space}: a Box or a Discrete space is wanted")
    return {
        "action_shape": space.shape,
        "low": tuple(float(x) if np.isfinite(x) else None for x in space.low.reshape(-1)),
        "high": tuple(float(x) if np.isfinite(x) else None for x in space.high.reshape(-1)),
    }
