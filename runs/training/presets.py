"""Hyperparameters: what suits an environment, and what a caller changes of it."""

import difflib
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.trainers import TRAINERS

# Known beside what a preset sets, each with a value of its kind.
_EXTRA: dict[str, dict[str, Any]] = {
    "ppo": {"use_sde": True, "sde_sample_freq": 4, "log_std_init": -1.0, "target_kl": 0.02,
            "normalize_advantage": True},
    "sac": {"use_sde": True, "sde_sample_freq": 4, "log_std_init": -1.0, "target_entropy": "auto"},
}  # fmt: skip
_EXTRA["a2c"] = {**_EXTRA["ppo"], "use_rms_prop": True, "rms_prop_eps": 1e-5}
del _EXTRA["a2c"]["target_kl"]
# Of MuJoCo's solver where MJX steps the physics, on a GPU: changed, it makes another task.
_EXTRA["fast"] = {
    **_EXTRA["ppo"], "mjx_solver": "newton", "mjx_iterations": 4, "mjx_ls_iterations": 8,
}  # fmt: skip
_OFF_POLICY = ("sac", "td3", "ddpg", "dqn")
_CHOICES = {
    "activation": ("tanh", "relu"),
    "schedule": ("constant", "linear"),
    "mjx_solver": ("given", "newton", "cg"),
}
_SHARES = ("gamma", "gae_lambda", "tau", "exploration_fraction", "exploration_initial_eps",
           "exploration_final_eps")  # fmt: skip
_RANGES = {
    **dict.fromkeys(_SHARES, (0, 1)),
    "log_std_init": (-math.inf, math.inf),
    "sde_sample_freq": (-1, math.inf),
    "learning_starts": (0, math.inf),
    "gradient_steps": (-1, math.inf),
}


@cache
def _presets() -> dict[str, dict[str, Any]]:
    import yaml

    text = files("rewardsmith.runs.training").joinpath("presets.yaml").read_text(encoding="utf-8")
    return cast(dict[str, dict[str, Any]], yaml.safe_load(text))


def default_trainer(env_id: str) -> str:
    """Returns the trainer that suits an environment: "ppo" unless its preset says otherwise."""
    return str(_presets()["trainer"].get(env_id, "ppo"))


def hyperparams(
    trainer: str, env_id: str, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the preset of ``trainer`` for an environment, with ``changes`` on top.

    Applying it to its own result changes nothing. A trainer of somebody else's gets ``changes``
    alone.

    Raises:
        ConfigError: ``changes`` has a name that the trainer does not know, or an unfit value.
    """
    changed = dict(changes or {})
    if trainer not in TRAINERS:
        return changed
    defaults = _presets()[trainer]["default"]
    for name, value in changed.items():
        _check(trainer, name, value, defaults)
    resolved = _preset(trainer, env_id) | changed
    return {name: value for name, value in resolved.items() if name != "steps"}


def default_steps(env_id: str, trainer: str) -> int:
    """Returns the env steps after which a sound reward has shown itself, on a laptop in minutes."""
    return int(_preset(trainer, env_id)["steps"]) if trainer in TRAINERS else 100_000


def _preset(trainer: str, env_id: str) -> dict[str, Any]:
    presets = _presets()[trainer]
    return {**presets["default"], **presets.get(env_id, {})}


def _check(trainer: str, name: str, value: Any, defaults: Mapping[str, Any]) -> None:
    known = set(defaults) - {"steps"} | set(_EXTRA.get(trainer, {}))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = (
            f"; did you mean {' or '.join(near)}?"
            if near
            else f"; known: {', '.join(sorted(known))}"
        )
        raise ConfigError(f"{trainer} has no hyperparameter {name!r}; {hint}")
    wanted = defaults.get(name, _EXTRA.get(trainer, {}).get(name))
    if isinstance(wanted, bool) != isinstance(value, bool):
        raise ConfigError(f"{trainer}: {name} is {value!r}, e.g. {wanted!r} is wanted")
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        _check_number(trainer, name, value, wanted)
    if name == "net_arch" and not _sizes(value):
        raise ConfigError(
            f"{trainer}: {name} is {value!r}, a list of layer sizes such as {wanted!r} is wanted"
        )
    choices = _CHOICES.get(name)
    if choices and value not in choices:
        raise ConfigError(f"{trainer}: {name} is {value!r}, one of {', '.join(choices)} is wanted")
    if trainer in _OFF_POLICY and name == "normalize_reward" and value:
        raise ConfigError(f"{trainer} learns from rewards as they are: normalize_reward is for ppo")


def _check_number(trainer: str, name: str, value: Any, wanted: int | float) -> None:
    low, high = _RANGES.get(name, (1 if isinstance(wanted, int) else 0, math.inf))
    number = isinstance(value, int | float) and math.isfinite(value) and low <= value <= high
    if not number or (isinstance(wanted, int) and not isinstance(value, int)):
        kind = "a whole number" if isinstance(wanted, int) else "a number"
        most = "" if math.isinf(high) else f" to {high}"
        least = "" if math.isinf(low) else f" from {low}{most}"
        raise ConfigError(
            f"{trainer}: {name} is {value!r}, {kind}{least} such as {wanted!r} is wanted"
        )


def _sizes(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in value
    )
