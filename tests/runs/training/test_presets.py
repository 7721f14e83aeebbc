from importlib.resources import files

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

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
        ({"n_steps": "many"}, "a whole number from 1"),
        ({"n_steps": 0}, "a whole number from 1"),
        ({"n_envs": 2.5}, "a whole number from 1"),
        ({"batch_size": 64.0}, "a whole number from 1"),
        ({"n_epochs": None}, "a whole number from 1"),
        ({"learning_rate": float("nan")}, "a number from 0"),
        ({"learning_rate": float("inf")}, "a number from 0"),
        ({"learning_rate": [3e-4]}, "a number from 0"),
        ({"gamma": 1.5}, "a number from 0 to 1"),
        ({"gae_lambda": -0.1}, "a number from 0 to 1"),
        ({"net_arch": 64}, "a list of layer sizes"),
        ({"net_arch": "64"}, "a list of layer sizes"),
        ({"net_arch": [64, 0]}, "a list of layer sizes"),
        ({"net_arch": [True]}, "a list of layer sizes"),
        ({"net_arch": {"pi": [64]}}, "a list of layer sizes"),
        ({"use_sde": "no"}, "True is wanted"),
        ({"log_std_init": "low"}, "a number such as"),
        ({"target_kl": -0.1}, "a number from 0"),
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


@pytest.mark.parametrize(
    ("trainer", "changes"),
    [
        ("sac", {"normalize_reward": True}),
        ("sac", {"tau": 2.0}),
        ("sac", {"train_freq": 0}),
        ("sac", {"gradient_steps": -2}),
        ("td3", {"normalize_reward": True}),
        ("td3", {"use_sde": True}),
        ("ddpg", {"noise_std": -0.1}),
        ("dqn", {"exploration_fraction": 1.5}),
        ("dqn", {"ent_coef": 0.1}),
        ("a2c", {"target_kl": 0.1}),
        ("toy", {"population": 0}),
        ("toy", {"episodes": 0}),
        ("toy", {"spread": -1.0}),
        ("toy", {"learning_rate": 0.1}),
    ],
)
def test_each_trainer_refuses_what_it_cannot_do(trainer: str, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        hyperparams(trainer, "rewardsmith/Point-v0", changes)


@pytest.mark.parametrize(
    ("trainer", "changes"),
    [
        ("ppo", {"net_arch": []}),
        ("ppo", {"net_arch": (8, 8)}),
        ("ppo", {"log_std_init": -2}),
        ("ppo", {"gamma": 1}),
        ("ppo", {"ent_coef": 0}),
        ("sac", {"ent_coef": "auto_0.1"}),
        ("sac", {"gradient_steps": -1}),
        ("sac", {"learning_starts": 0}),
        ("sac", {"sde_sample_freq": -1, "use_sde": True}),
        ("toy", {"elite": 1}),
        ("a2c", {"use_rms_prop": False, "n_steps": 1}),
        ("td3", {"noise_std": 0}),
        ("dqn", {"exploration_final_eps": 0.0, "gradient_steps": -1}),
    ],
)
def test_unusual_values_that_make_sense_are_taken(trainer: str, changes: dict[str, object]) -> None:
    found = hyperparams(trainer, "rewardsmith/Point-v0", changes)
    assert changes.items() <= found.items()


NAMES = st.sampled_from(["n_envs", "gamma", "learning_rate", "net_arch", "use_sde", "activation"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())
)


@given(changes=st.dictionaries(NAMES, VALUES))
def test_any_value_is_taken_as_it_is_or_refused_by_name(changes: dict[str, object]) -> None:
    try:
        found = hyperparams("ppo", "Hopper-v5", changes)
    except ConfigError:
        with pytest.raises(ConfigError, match="|".join(changes)):
            hyperparams("ppo", "Hopper-v5", changes)
    else:
        assert {name: found[name] for name in changes} == changes
        assert hyperparams("ppo", "Hopper-v5", found) == found


def test_presets_pass_their_own_checks() -> None:
    text = files("rewardsmith.runs.training").joinpath("presets.yaml").read_text()
    for trainer in TRAINERS:
        for env_id in yaml.safe_load(text)[trainer]:
            found = hyperparams(trainer, env_id)
            assert hyperparams(trainer, "Unheard-v0", found) == found, (trainer, env_id)


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


@pytest.mark.parametrize(
    "name", ["trpo", "no_such_module:x", "json:no_such_name", "json:loads", ":search", "json:", ""]
)
def test_an_unknown_trainer_is_an_error_of_the_callers(name: str) -> None:
    with pytest.raises(ConfigError, match=f"trainer {name!r}"):
        find_trainer(name)


@pytest.mark.parametrize("env_id", ["Hopper-v5", "LunarLander-v3", "Unheard-v0"])
def test_the_fast_trainer_has_the_numbers_of_ppo_and_knows_the_same_names(env_id: str) -> None:
    changes = {"target_kl": 0.1, "log_std_init": -1.0}
    assert hyperparams("fast", env_id, changes) == hyperparams("ppo", env_id, changes)
    assert default_steps(env_id, "fast") == default_steps(env_id, "ppo")
