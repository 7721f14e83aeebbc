"""Hyperparameters: what suits an environment, and what a caller changes of it."""

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.trainers import TRAINERS

_EXTRA = {
    "ppo": {"use_sde", "sde_sample_freq", "log_std_init", "target_kl", "normalize_advantage"},
    "sac": {"use_sde", "sde_sample_freq", "log_std_init", "target_entropy"},
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
    known = set(defaults) - {"steps"} | _EXTRA.get(trainer, set())
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = (
            f"; did you mean {' or '.join(near)}?"
            if near
            else f"; known: {', '.join(sorted(known))}"
        )
        raise ConfigError(f"{trainer} has no hyperparameter {name!r}; {hint}")
    wanted = defaults.get(name)
    if isinstance(wanted, bool) != isinstance(value, bool) and name in defaults:
        raise ConfigError(f"{trainer}: {name} is {value!r}, e.g. {wanted!r} is wanted")
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if number and (not isinstance(value, int | float) or value < 0):
        raise ConfigError(f"{trainer}: {name} is {value!r}, a number such as {wanted!r} is wanted")
    choices = {"activation": ("tanh", "relu"), "schedule": ("constant", "linear")}.get(name)
    if choices and value not in choices:
        raise ConfigError(f"{trainer}: {name} is {value!r}, one of {', '.join(choices)} is wanted")
