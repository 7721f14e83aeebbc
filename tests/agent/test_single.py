from pathlib import Path
from typing import Any

import pytest
from quick_crew import unwatched

from rewardsmith.agent.single import list_tasks, recorded_steps, show_card, train_file
from rewardsmith.envs.registry import find_task, task_ids

POINT = "rewardsmith/Point-v0"
GOOD = 'def compute_reward(distance):\n    near = -distance\n    return near, {"near": near}\n'


def test_training_a_reward_says_fitness_with_its_unit(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(GOOD)
    told: list[str] = []
    facts, text = train_file(
        tmp_path / "reward.py",
        {
            "env": POINT,
            "steps": 2000,
            "final_seeds": 2,
            "eval_episodes": 2,
            "sandbox": "none",
            "yes_run_unsandboxed": True,
        },
        view=lambda kind, **_: told.append(kind),
    )
    assert "warning" in told
    assert len(facts["fitness"]) == 2
    assert facts["interval"][0] <= facts["mean"] <= facts["interval"][1]
    assert find_task(POINT).fitness_unit in text
    assert "95 % interval" in text


def test_the_environments_own_reward_trains_too() -> None:
    options = {"env": POINT, "steps": 500, "final_seeds": 1, "eval_episodes": 1}
    facts, text = train_file(None, options, view=unwatched)
    assert facts["reward"] == "the environment's own"
    assert facts["interval"] is None
    assert "interval" not in text


def test_every_task_is_listed_with_its_words() -> None:
    facts, text = list_tasks()
    assert [row["id"] for row in facts["tasks"]] == list(task_ids())
    assert all(row["text"] and row["fitness"] for row in facts["tasks"])
    assert len(text.splitlines()) == len(facts["tasks"])


def test_a_shown_card_is_one_that_can_be_given_back(tmp_path: Path) -> None:
    _, text = show_card(POINT, None)
    (tmp_path / "card.yaml").write_text(text)
    facts, again = show_card(POINT, tmp_path / "card.yaml")
    assert again == text
    assert "distance" in {field["name"] for field in facts["fields"]}


def test_recorded_steps_are_the_same_each_time() -> None:
    task = find_task(POINT)
    one, two = recorded_steps(task), recorded_steps(task)
    assert (one.action == two.action).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # submitit leaves its processes' pipes open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("executor", "arguments"),
    [("serial", {}), ("slurm", {"cluster": "local", "poll_s": 0.1, "settle_s": 5.0})],
)
def test_training_comes_to_the_same_wherever_it_runs(
    executor: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    options = {"env": POINT, "steps": 400, "final_seeds": 2, "eval_episodes": 2}
    here, _ = train_file(None, options | {"out": tmp_path / "here"}, view=unwatched)
    there = options | {"out": tmp_path / "there", "executor": executor, "executor_args": arguments}
    found, _ = train_file(None, there, view=unwatched)
    assert found["fitness"] == here["fitness"]
    assert len(found["fitness"]) == 2
