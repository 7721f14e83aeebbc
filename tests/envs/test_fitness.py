from dataclasses import replace
from pathlib import Path

import pytest

from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.fitness import judge, load_fitness
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score
from rewardsmith.errors import ConfigError, TrainingError


@pytest.fixture(scope="module")
def episode() -> Episode:
    spec = find_task("rewardsmith/Point-v0").env
    return rollout(spec, random_act(spec, 0), [4])[0]


def _file(folder: Path, body: str, name: str = "fitness") -> str:
    path = folder / "judge.py"
    path.write_text(f"def {name}(episode):\n    {body}\n", encoding="utf-8")
    return str(path)


def test_a_file_gives_its_function_fitness(tmp_path: Path, episode: Episode) -> None:
    reference = _file(tmp_path, "return float(episode.length)")
    assert load_fitness(reference)(episode) == Score(40.0, None, "time limit")


def test_a_file_and_a_name_give_that_function(tmp_path: Path, episode: Episode) -> None:
    reference = _file(tmp_path, "return 2", name="other")
    assert load_fitness(f"{reference}:other")(episode).fitness == 2.0


def test_a_module_and_a_name_give_that_function(episode: Episode) -> None:
    assert load_fitness("rewardsmith.envs.toy:fitness")(episode).outcome == "time limit"


def test_a_score_is_handed_on_whole(tmp_path: Path, episode: Episode) -> None:
    body = "from rewardsmith.envs.task import Score; return Score(1.5, True, 'held')"
    assert load_fitness(_file(tmp_path, body))(episode) == Score(1.5, True, "held")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing.py", r"nothing\.py: there is no such file"),
        ("just_a_word", "FILE.py, FILE.py:function or module:function"),
        ("no_such_module:fitness", "no_such_module"),
        ("math:fitness", "has no 'fitness'"),
        ("math:pi", "is a float, not a function"),
    ],
)
def test_what_cannot_be_loaded_is_named(reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_fitness(reference)


def test_a_file_without_the_function_says_which_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no function 'fitness' in it"):
        load_fitness(_file(tmp_path, "return 1.0", name="score"))


def test_a_file_that_does_not_load_says_why(tmp_path: Path) -> None:
    path = tmp_path / "judge.py"
    path.write_text("import no_such_module\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"judge\.py: ModuleNotFoundError"):
        load_fitness(str(path))


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
def test_a_value_that_is_not_finite_is_named_with_its_file(
    tmp_path: Path, episode: Episode, value: str
) -> None:
    with pytest.raises(TrainingError, match=r"judge\.py returned (nan|inf) .*seed 4"):
        load_fitness(_file(tmp_path, f"return {value}"))(episode)


def test_a_value_of_another_kind_is_named(tmp_path: Path, episode: Episode) -> None:
    with pytest.raises(TrainingError, match="returned a str; a number or a Score"):
        load_fitness(_file(tmp_path, "return 'good'"))(episode)


def test_an_exception_is_named_with_its_episode(tmp_path: Path, episode: Episode) -> None:
    with pytest.raises(TrainingError, match=r"raised ZeroDivisionError.*seed 4, 40 steps"):
        load_fitness(_file(tmp_path, "return 1 / 0"))(episode)


def test_a_missing_field_lists_those_that_exist(tmp_path: Path, episode: Episode) -> None:
    with pytest.raises(TrainingError, match=r"no field 'speed'.*distance, out, position"):
        load_fitness(_file(tmp_path, "return episode.steps.after['speed'][0]"))(episode)


def test_a_task_judges_all_its_episodes(tmp_path: Path, episode: Episode) -> None:
    task = replace(
        find_task("rewardsmith/Point-v0"), fitness=_file(tmp_path, "return episode.seed")
    )
    assert [s.fitness for s in judge(task, [episode, episode])] == [4.0, 4.0]
