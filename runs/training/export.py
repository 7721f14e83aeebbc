"""A trained policy as files that Stable-Baselines3 loads by itself."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardsmith.errors import TrainingError
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training.files import read_unit
from rewardsmith.runs.training.policy import Normalisation, Policy, load_policy
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.trainers import TRAINERS

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


def statistics_path(out: Path) -> Path:
    """Returns where the observation statistics of the model at ``out`` lie."""
    return out.with_name(out.stem + ".vecnormalize.pkl")


def export_sb3(folder: Path, out: Path) -> tuple[Path, ...]:
    """Writes the policy of a job's folder as a model that ``PPO.load`` (or its algorithm's) opens.

    Weights of the critics come along, so that the model can be trained further. Where observations
    were normalised, their statistics are written beside it, as ``VecNormalize.load`` reads them.

    Args:
        folder: a job's folder, with ``unit.json`` and the policy's files.
        out: the ``.zip`` to write.

    Returns:
        The files written: the model, and the statistics if there are any.

    Raises:
        TrainingError: there is no policy, or one that Stable-Baselines3 has no form for.
    """
    unit, policy = read_unit(folder), load_policy(folder)
    if policy.spec.kind == "linear":
        raise TrainingError(
            f"{folder}: a linear policy of the toy trainer; Stable-Baselines3 has no form for it. "
            "Train with ppo or sac for a model file."
        )
    model, env = _model(unit, policy)
    out.parent.mkdir(parents=True, exist_ok=True)
    model.save(out)
    written = [out]
    if policy.spec.normalisation is not None:
        env.save(str(statistics_path(out)))
        written.append(statistics_path(out))
    env.close()
    return tuple(written)


def _model(unit: Unit, policy: Policy) -> tuple[Any, Any]:
    """Returns a model with the policy's weights, and its environment with the statistics."""
    import torch
    from stable_baselines3.common.vec_env import DummyVecEnv

    from rewardsmith.runs.training.trainers.recording import flat_env
    from rewardsmith.runs.training.trainers.sb3 import new_model, normalised

    spec = policy.spec
    # Hyperparameters of somebody else's trainer are no business of Stable-Baselines3.
    changes = dict(unit.hyperparams) if unit.trainer in TRAINERS else {}
    # Constant, since a schedule of ours could not be loaded without this package.
    changes |= {"schedule": "constant", "net_arch": list(spec.hidden)}
    changes |= {"use_sde": True} if spec.use_sde else {}
    changes |= {"activation": spec.activation, "normalize_obs": spec.normalisation is not None}
    params = hyperparams(spec.kind, unit.task.env.id, changes)
    env: VecEnv = normalised(DummyVecEnv([lambda: flat_env(unit.task.env)]), params)
    with warnings.catch_warnings():
        # With one environment a minibatch may be more than a rollout; nothing is trained here.
        warnings.simplefilter("ignore", UserWarning)
        model = new_model(policy.spec.kind, env, params, seed=unit.seed, device="cpu")
    state = model.policy.state_dict()
    state |= {name: torch.from_numpy(array) for name, array in policy.weights.items()}
    model.policy.load_state_dict(state)
    if policy.spec.normalisation is not None:
        _restore(env, policy.spec.normalisation)
    return model, env


def _restore(env: Any, norm: Normalisation) -> None:
    import numpy as np

    env.obs_rms.mean, env.obs_rms.var = np.array(norm.mean), np.array(norm.var)
    env.clip_obs, env.epsilon = norm.clip, norm.epsilon
    env.training, env.norm_reward = False, False


def loading_lines(folder: Path, out: Path) -> str:
    """Returns the lines of Python that load what `export_sb3` wrote, and act with it."""
    unit, spec = read_unit(folder), load_policy(folder).spec
    algorithm = spec.kind.upper()
    arguments = "".join(f", {name}={value!r}" for name, value in unit.task.env.kwargs.items())
    make = f"gym.make({json.dumps(unit.task.env.id)}{arguments})"
    normalises = spec.normalisation is not None
    classes = "DummyVecEnv, VecNormalize" if normalises else "DummyVecEnv"
    wrappers = [reference.split(":") for reference in unit.task.env.wrappers]
    for _, name in wrappers:
        make = f"{name}({make})"
    lines = [
        "import gymnasium as gym",
        *(f"from {module} import {name}" for module, name in wrappers),
        f"from stable_baselines3 import {algorithm}",
        f"from stable_baselines3.common.vec_env import {classes}",
        "",
        f"env = DummyVecEnv([lambda: {make}])",
    ]
    if normalises:
        lines.append(f"env = VecNormalize.load({json.dumps(str(statistics_path(out)))}, env)")
    lines += [
        f"model = {algorithm}.load({json.dumps(str(out))}, env=env)",
        "observation = env.reset()",
        "action, _ = model.predict(observation, deterministic=True)",
    ]
    return "\n".join(lines)
