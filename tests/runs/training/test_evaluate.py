import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.evaluate import evaluate
from rewardsmith.runs.training.judging import Judgement, Judging
from rewardsmith.runs.training.policy import (
    SPEC_FILE,
    WEIGHTS_FILE,
    PolicySpec,
    checked,
    save_policy,
    shapes,
)
from rewardsmith.runs.training.trajectories import load_episodes
from rewardsmith.runs.whole import write_whole

CONTINUOUS, DISCRETE = toy.tasks()
PROGRAM = "def compute_reward(distance):\n    return -distance, {}\n"


def folder_with(
    folder: Path, task: Any = CONTINUOUS, size: int = 3, shape: tuple[int, ...] = (1,)
) -> Path:
    """Makes what the evaluator needs: weights and the order to judge them."""
    count = task.env.action.count
    action: dict[str, Any] = {"action_shape": shape, "low": (-1.0,), "high": (1.0,)}
    if count is not None:
        action = {"action_shape": (), "count": count}
    spec = PolicySpec(kind="linear", observation_size=size, **action)
    rng = np.random.default_rng(2)
    weights = {k: rng.normal(size=s).astype(np.float32) for k, s in shapes(spec).items()}
    save_policy(checked(spec, weights), folder)
    ask(folder, task=task)
    return folder


def ask(folder: Path, **changes: Any) -> None:
    judging = Judging(**({"task": CONTINUOUS, "eval_seeds": (4, 5, 6)} | changes))
    write_whole(folder / files.JUDGING, judging.model_dump_json().encode())


def found(folder: Path) -> Judgement:
    return Judgement.model_validate_json((folder / files.EVALUATION).read_bytes())


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "rewardsmith.runs.training.evaluate", str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("task", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_judging_twice_gives_the_same_judgement_to_the_byte(task: Any, tmp_path: Path) -> None:
    folder_with(tmp_path, task)
    evaluate(tmp_path)
    first = (tmp_path / files.EVALUATION).read_bytes()
    (tmp_path / files.EVALUATION).unlink()
    evaluate(tmp_path)
    assert (tmp_path / files.EVALUATION).read_bytes() == first


def test_the_judgement_is_the_fitness_of_the_stored_episodes(tmp_path: Path) -> None:
    evaluate(folder_with(tmp_path))
    judged, stored = found(tmp_path), load_episodes(tmp_path / files.TRAJECTORIES)
    assert [e.fitness for e in judged.episodes] == [toy.fitness(e).fitness for e in stored]
    assert judged.fitness == pytest.approx(np.mean([e.fitness for e in judged.episodes]))
    assert all(e.reward_return is None for e in judged.episodes)
    assert all(e.component_returns == {} for e in judged.episodes)


def test_fitness_sees_hidden_fields_that_no_reward_does(tmp_path: Path) -> None:
    evaluate(folder_with(tmp_path))
    (episode, *_) = load_episodes(tmp_path / files.TRAJECTORIES)
    assert "out" in episode.steps.after


WATCHED = """
import json, sys
from pathlib import Path

opened = []
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])
sys.addaudithook(note)
from rewardsmith.runs.training import evaluate
evaluate.evaluate(Path(sys.argv[1]))
names = [name for name in sys.modules if name.startswith("rewardsmith")]
print(json.dumps({"modules": names, "opened": opened}))
"""


def test_the_evaluator_never_loads_what_runs_rewards_nor_opens_the_unit(tmp_path: Path) -> None:
    folder_with(tmp_path)
    unit = Unit(
        id="u", task=CONTINUOUS, program=PROGRAM, trainer="toy", hyperparams={}, seed=1, steps=1,
        eval_seeds=(1,),
    )  # fmt: skip
    files.write_unit(tmp_path, unit)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    walls = ("sandbox.client", "sandbox.process", "sandbox.program", "sandbox.inside", ".agent")
    assert not [name for name in told["modules"] if any(wall in name for wall in walls)]
    assert "rewardsmith.runs.training.judging" in told["modules"]
    assert "torch" not in told["modules"]
    inside = {Path(path).name for path in told["opened"] if str(tmp_path) in path}
    assert {files.JUDGING, SPEC_FILE, WEIGHTS_FILE} <= inside
    assert files.UNIT not in inside


def test_the_order_to_judge_holds_no_program(tmp_path: Path) -> None:
    folder_with(tmp_path)
    assert "compute_reward" not in (tmp_path / files.JUDGING).read_text()
    assert set(Judging.model_fields) == {"task", "eval_seeds", "random_seed"}


def test_a_folder_without_weights_is_told_by_exit_code_and_in_words(tmp_path: Path) -> None:
    ask(tmp_path)
    done = start(tmp_path)
    assert done.returncode == TrainingError.exit_code
    assert files.read_json(tmp_path / files.ERROR) is not None
    told = json.loads((tmp_path / files.ERROR).read_text())
    assert told["error"] == "TrainingError"
    assert "no readable policy" in told["text"]
    assert not (tmp_path / files.EVALUATION).exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return Score(float('nan'), None, 'odd')", "nan"),
        ("    return Score(float('inf'), None, 'odd')", "inf"),
        ("    return 'good'", "good|str"),
        ("    return None", "None"),
        ("    raise KeyError('torso')", "torso"),
        ("    return 1 / 0", "division"),
    ],
)
def test_a_fitness_that_gives_no_number_ends_without_a_judgement(
    body: str, message: str, tmp_path: Path
) -> None:
    fitness = tmp_path / "my_fitness.py"
    fitness.write_text(f"from rewardsmith.envs.task import Score\ndef fitness(episode):\n{body}\n")
    ask(folder_with(tmp_path), task=replace(CONTINUOUS, fitness=str(fitness)))
    with pytest.raises(TrainingError, match=message):
        evaluate(tmp_path)
    assert not (tmp_path / files.EVALUATION).exists()


def test_a_fitness_that_cannot_be_loaded_is_the_callers_error(tmp_path: Path) -> None:
    fitness = tmp_path / "broken.py"
    fitness.write_text("def fitness(episode:\n")
    ask(folder_with(tmp_path), task=replace(CONTINUOUS, fitness=str(fitness)))
    with pytest.raises(ConfigError, match=r"broken\.py"):
        evaluate(tmp_path)


def test_the_random_policy_is_judged_without_any_weights(tmp_path: Path) -> None:
    ask(tmp_path, random_seed=3)
    evaluate(tmp_path)
    assert len(found(tmp_path).episodes) == 3


def test_no_more_than_ten_episodes_are_kept_and_all_are_judged(tmp_path: Path) -> None:
    ask(tmp_path, random_seed=3, eval_seeds=tuple(range(14)))
    evaluate(tmp_path)
    assert len(found(tmp_path).episodes) == 14
    assert len(load_episodes(tmp_path / files.TRAJECTORIES)) == 10


@pytest.mark.parametrize(("size", "shape"), [(5, (1,)), (3, (2,))], ids=["observation", "action"])
def test_weights_for_another_environment_are_refused_in_words(
    size: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    spec = PolicySpec(kind="linear", observation_size=size, action_shape=shape)
    weights = {k: np.zeros(s, np.float32) for k, s in shapes(spec).items()}
    save_policy(checked(spec, weights), tmp_path)
    ask(tmp_path)
    with pytest.raises(TrainingError, match="does not fit"):
        evaluate(tmp_path)


def test_a_damaged_order_to_judge_is_an_error_in_words(tmp_path: Path) -> None:
    folder_with(tmp_path)
    (tmp_path / files.JUDGING).write_text('{"task": 3}')
    with pytest.raises(TrainingError, match=files.JUDGING):
        evaluate(tmp_path)
