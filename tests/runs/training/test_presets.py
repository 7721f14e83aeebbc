from importlib.resources import files

import pytest
import yaml

from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.presets import default_steps, default_trainer, hyperparams
from rewardsmith.runs.training.trainers import TRAINERS, find_trainer


def test_every_trainer_has_a_preset_with_steps_for_any_environment() -> None:
    for trainer in TRAINERS:
        assert default_steps("Unheard-v0", trainer) > 0
        assert hyperparams(trainer, "Unheard-v0")


def test_an_environment_changes_only_what_its_entry_says() -> None:
    plain, lander = (hyperparams("ppo", name) for name in ("Unheard-v0", "LunarLander-v3"))
    assert lander["ent_coef"] == 0.01
    assert {k for k in plain if plain[k] != lander[k]} <= {
        "n_epochs", "gamma", "gae_lambda", "ent_coef"
    }  # fmt: skip


def test_changes_lie_on_top_and_resolving_twice_changes_nothing() -> None:
    once = hyperparams("ppo", "Hopper-v5", {"learning_rate": 1e-3, "target_kl": 0.02})
    assert (once["learning_rate"], once["target_kl"]) == (1e-3, 0.02)
    assert hyperparams("ppo", "Hopper-v5", once) == once


def test_steps_are_no_hyperparameter() -> None:
    assert "steps" not in hyperparams("ppo", "Hopper-v5")
    with pytest.raises(ConfigError, match="'steps'"):
        hyperparams("ppo", "Hopper-v5", {"steps": 5})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rat": 1.0}, "did you mean learning_rate"),
        ({"normalize_obs": 3}, "True is wanted"),
        ({"n_steps": "many"}, "a number"),
        ({"gamma": -1}, "a number"),
        ({"n_envs": True}, "wanted"),
        ({"activation": "gelu"}, "tanh, relu"),
        ({"schedule": "cosine"}, "constant, linear"),
    ],
)
def test_a_wrong_change_is_refused_with_what_is_wanted(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        hyperparams("ppo", "Hopper-v5", changes)


def test_rollouts_are_whole_minibatches() -> None:
    text = files("rewardsmith.runs.training").joinpath("presets.yaml").read_text()
    for env_id in yaml.safe_load(text)["ppo"]:
        found = hyperparams("ppo", env_id)
        assert found["n_envs"] * found["n_steps"] % found["batch_size"] == 0, env_id


def test_ppo_is_the_default_and_the_toy_has_its_own() -> None:
    assert default_trainer("Hopper-v5") == "ppo"
    assert default_trainer("rewardsmith/Point-v0") == "toy"


def test_somebody_elses_trainer_gets_the_changes_alone() -> None:
    assert hyperparams("their_package:trainer", "Hopper-v5", {"depth": 3}) == {"depth": 3}
    assert default_steps("Hopper-v5", "their_package:trainer") > 0


def test_trainers_are_found_by_short_name_or_reference() -> None:
    toy = find_trainer("toy")
    assert find_trainer("rewardsmith.runs.training.trainers.toy:search") is toy


@pytest.mark.parametrize("name", ["a2c", "no_such_module:x", "json:no_such_name"])
def test_an_unknown_trainer_is_an_error_of_the_callers(name: str) -> None:
    with pytest.raises(ConfigError, match=name.split(":", maxsplit=1)[0]):
        find_trainer(name)
