from pathlib import Path

import pytest

from rewardsmith.agent.choices import (
    critic_rounds,
    model_spec,
    recipe_of,
    task_of,
    worker_count,
)
from rewardsmith.agent.config import RunConfig
from rewardsmith.errors import ConfigError

POINT = "rewardsmith/Point-v0"


def test_the_task_carries_its_own_text_until_another_is_given() -> None:
    assert task_of(RunConfig(env="Hopper-v5")).text.startswith("Hop forward")
    assert task_of(RunConfig(env="Hopper-v5", text="stand")).text == "stand"


def test_an_environment_without_a_text_wants_one() -> None:
    with pytest.raises(ConfigError, match=r"say what CartPole-v1 should learn|fitness"):
        task_of(RunConfig(env="CartPole-v1"))


def test_a_recipe_is_the_preset_with_what_was_changed(tmp_path: Path) -> None:
    task = task_of(RunConfig(env="Hopper-v5"))
    preset = recipe_of(task, RunConfig(env="Hopper-v5"))
    assert (preset.trainer, preset.steps) == ("ppo", 200_000)
    (tmp_path / "own.yaml").write_text("learning_rate: 1.0e-4\n")
    config = RunConfig(
        env="Hopper-v5", algo="ppo", steps=5, hyperparams=tmp_path / "own.yaml", seed=3
    )
    own = recipe_of(task, config)
    assert own.steps == 5
    assert own.run_seed == 3
    assert own.hyperparams == {**preset.hyperparams, "learning_rate": 1.0e-4}


def test_an_unknown_hyperparameter_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("learning_rat: 1.0e-4\n")
    config = RunConfig(env="Hopper-v5", hyperparams=tmp_path / "own.yaml")
    with pytest.raises(ConfigError, match="learning_rate"):
        recipe_of(task_of(config), config)


def test_a_role_may_have_a_model_of_its_own() -> None:
    config = RunConfig(env=POINT, llm="openai:a", roles={"critic": "openai:b"})
    assert model_spec(config, "critic") == "openai:b"
    assert model_spec(config, "designer") == "openai:a"


def test_without_a_key_the_embedded_model_is_meant_and_needs_no_critic() -> None:
    config = RunConfig(env=POINT)
    assert model_spec(config, "designer").startswith("local")
    assert critic_rounds(config) == 0
    assert critic_rounds(RunConfig(env=POINT, llm="openai:a")) == 1
    assert critic_rounds(RunConfig(env=POINT, critic_rounds=3)) == 3


def test_trainings_run_one_per_core_unless_said_otherwise() -> None:
    assert worker_count(RunConfig(env=POINT)) >= 1
    assert worker_count(RunConfig(env=POINT, workers=7)) == 7
