import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from rewardsmith.envs.registry import find_task, suites, task_ids
from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError

_CARD = """
text: Balance the pole.
fields:
  angle: {unit: rad, meaning: angle of the pole, source: "obs[2]"}
hidden:
  cart: {unit: m, meaning: position of the cart, source: "obs[0]"}
fitness: judge.py
fitness_unit: s
"""


def _card(folder: Path) -> Path:
    (folder / "judge.py").write_text("def fitness(e):\n    return e.length * e.dt\n", "utf-8")
    path = folder / "card.yaml"
    path.write_text(_CARD, "utf-8")
    return path


def test_the_built_in_tasks_are_listed() -> None:
    wanted = {
        "Hopper-v5",
        "HalfCheetah-v5",
        "Walker2d-v5",
        "Ant-v5",
        "InvertedDoublePendulum-v5",
        "Reacher-v5",
        "LunarLander-v3",
        "LunarLander-v3-continuous",
        "BipedalWalker-v3",
        "MountainCarContinuous-v0",
        "rewardsmith/Point-v0",
    }
    assert wanted <= set(task_ids())
    assert suites()["toy"] == "rewardsmith.envs.toy:tasks"


def test_listing_imports_no_simulator_and_no_gymnasium() -> None:
    look = (
        "import sys; from rewardsmith.envs.registry import task_ids; task_ids();"
        "print([m for m in ('gymnasium', 'mujoco', 'torch', 'Box2D') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_environment_brings_the_nearest_names() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown environment 'Hoper-v5'; nearest names: Hopper-v5"
    ):
        find_task("Hoper-v5")


def test_an_old_version_brings_the_newest() -> None:
    with pytest.raises(ConfigError, match="Hopper-v5"):
        find_task("Hopper-v9")


def test_a_text_of_ones_own_replaces_the_tasks() -> None:
    assert find_task("Hopper-v5", text="Stand still.").text == "Stand still."


def test_arguments_choose_the_card_of_the_variant() -> None:
    task = find_task("LunarLander-v3", env_kwargs={"continuous": True})
    assert task.env.action.count is None
    assert task.env.action.meaning == find_task("LunarLander-v3-continuous").env.action.meaning
    assert task.env.kwargs == {"continuous": True}


def test_other_arguments_are_added_to_the_cards() -> None:
    task = find_task("LunarLander-v3-continuous", env_kwargs={"gravity": -5.0})
    assert task.env.kwargs == {"continuous": True, "gravity": -5.0}


def test_an_environment_without_a_card_gets_one_from_its_spaces() -> None:
    task = find_task("CartPole-v1", text="Balance.")
    assert [f.name for f in task.env.fields] == ["obs_0", "obs_1", "obs_2", "obs_3"]
    assert task.env.max_steps == 500
    assert task.fitness_unit == "return"
    assert "own reward" in task.fitness_meaning


def test_a_card_file_brings_fields_fitness_and_text(tmp_path: Path) -> None:
    task = find_task("CartPole-v1", card=_card(tmp_path))
    assert [f.name for f in task.env.fields] == ["angle"]
    assert [f.name for f in task.env.hidden] == ["cart"]
    assert task.text == "Balance the pole."
    assert task.fitness == str(tmp_path / "judge.py")


def test_a_fitness_file_is_stored_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _card(tmp_path)
    monkeypatch.chdir(tmp_path)
    task = find_task("Hopper-v5", fitness="judge.py")
    assert task.fitness == str(tmp_path / "judge.py")
    assert find_task("Hopper-v5", fitness="judge.py:fitness").fitness == f"{task.fitness}:fitness"
    assert task.solved_at is None


def test_a_missing_fitness_file_is_an_error_at_once() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        find_task("Hopper-v5", fitness="nowhere.py")


def test_a_task_survives_the_way_to_a_child_process(tmp_path: Path) -> None:
    adapter = TypeAdapter(Task)
    for task in (find_task("CartPole-v1", card=_card(tmp_path)), find_task("Ant-v5")):
        assert adapter.validate_json(adapter.dump_json(task)) == task


def test_a_wrapper_is_named_and_applied() -> None:
    task = find_task(
        "CartPole-v1", wrappers=("gymnasium.wrappers:FlattenObservation",), text="Balance."
    )
    assert task.env.wrappers == ("gymnasium.wrappers:FlattenObservation",)


def test_a_package_prefix_works() -> None:
    task = find_task("gymnasium.envs.classic_control:Pendulum-v1", text="Swing up.")
    assert task.env.action.low == (-2.0,)
