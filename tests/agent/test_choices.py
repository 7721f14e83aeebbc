from dataclasses import dataclass
from pathlib import Path

import pytest

from rewardsmith.agent.choices import (
    critic_rounds,
    executor_of,
    model_spec,
    recipe_of,
    task_of,
    worker_count,
)
from rewardsmith.agent.config import RunConfig
from rewardsmith.errors import ConfigError
from rewardsmith.runs.executors.local import Local
from rewardsmith.runs.executors.serial import Serial

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


def test_the_executor_is_a_pool_of_this_machine_unless_said_otherwise() -> None:
    assert executor_of(RunConfig(env=POINT)) == Local(workers=worker_count(RunConfig(env=POINT)))
    several = RunConfig(env=POINT, workers=3, executor_args={"stack": 2, "wall_s": 9.5})
    assert executor_of(several) == Local(workers=3, stack=2, wall_s=9.5)
    assert executor_of(RunConfig(env=POINT, executor="serial", workers=3)) == Serial()


@dataclass(frozen=True)
class Elsewhere:
    """An executor of somebody else's."""

    where: str
    nodes: int = 1


def test_an_executor_of_ones_own_gets_its_arguments_and_no_others() -> None:
    config = RunConfig(
        env=POINT, executor=f"{__name__}:Elsewhere", workers=2, executor_args={"where": "here"}
    )
    found: object = executor_of(config)
    assert found == Elsewhere("here")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [("cloud", {}, "unknown"), ("local", {"wokers": 3}, "refused"), ("serial", {"stack": 3}, "re")],
)
def test_an_executor_that_does_not_exist_or_fit_is_an_error(
    name: str, arguments: dict[str, str | int | float | bool | None], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        executor_of(RunConfig(env=POINT, executor=name, executor_args=arguments))


def test_the_fast_trainer_has_the_presets_of_ppo() -> None:
    task = task_of(RunConfig(env="Hopper-v5"))
    fast, slow = (recipe_of(task, RunConfig(env="Hopper-v5", algo=a)) for a in ("fast", "ppo"))
    assert fast.trainer == "fast"
    assert (fast.hyperparams, fast.steps) == (slow.hyperparams, slow.steps)


def test_the_fast_trainer_without_jax_is_refused_before_anything_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'rewardsmith\[fast\]'"):
        recipe_of(task_of(RunConfig(env="Hopper-v5")), RunConfig(env="Hopper-v5", algo="fast"))
