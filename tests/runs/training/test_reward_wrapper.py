from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.recorder import make_env
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.reward_wrapper import COMPONENTS, RewardWrapper
from rewardsmith.sandbox.failure import Failure

TASK = toy.tasks()[0]
BEST_SO_FAR = """
MEMORY = {"best": 9.0}

def compute_reward(distance, memory):
    gain = np.maximum(memory["best"] - distance, 0.0)
    memory["best"] = np.minimum(memory["best"], distance)
    return gain, {"gain": gain}
"""


def plain() -> gym.Env[Any, Any]:
    return make_env(TASK.env).unwrapped


def test_each_step_is_rewarded_by_the_source_with_its_components(rule_reward: Any) -> None:
    source = rule_reward(lambda columns, action: columns["position"] + action[:, 0])
    with RewardWrapper(plain(), source, TASK) as env:
        env.reset(seed=1)
        for push in (0.5, -1.0):
            observation, reward, _, _, info = env.step(np.array([push], np.float32))
            assert reward == pytest.approx(float(observation[0]) + push, abs=1e-6)
            assert info[COMPONENTS] == {"all": reward, "half": reward / 2}


def test_the_card_alone_is_enough_and_a_recorder_is_not_doubled(rule_reward: Any) -> None:
    env = make_env(TASK.env)
    wrapped = RewardWrapper(
        env, rule_reward(lambda columns, action: -columns["distance"]), TASK.env
    )
    assert wrapped.env is env
    wrapped.reset(seed=0)
    assert wrapped.step(np.zeros(1, np.float32))[1] < 0


@pytest.mark.slow
def test_a_program_with_memory_starts_anew_with_each_episode(tmp_path: Path) -> None:
    path = tmp_path / "reward.py"
    path.write_text(BEST_SO_FAR)
    rewards = []
    with RewardWrapper(plain(), path, TASK) as env:
        for _ in range(2):
            env.reset(seed=3)
            rewards.append([env.step(np.ones(1, np.float32))[1] for _ in range(4)])
    assert rewards[0] == rewards[1]
    assert rewards[0][0] > 5.0  # from the 9 declared down to the first distance
    assert all(0 <= gain < 0.1 for gain in rewards[0][1:])


def test_a_failing_program_stops_the_training_with_its_words(rule_reward: Any) -> None:
    failure = Failure(kind="reward_error", text="division by zero in line 3")
    source = rule_reward(lambda columns, action: columns["position"], failure=failure)
    with RewardWrapper(plain(), source, TASK) as env:
        env.reset(seed=1)
        with pytest.raises(TrainingError, match="division by zero in line 3"):
            env.step(np.zeros(1, np.float32))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.py"):
        RewardWrapper(plain(), tmp_path / "nowhere.py", TASK)


TWO_PARTS = """
def compute_reward(distance):
    return 9.0 + distance, {"near": 0.0 - distance}


def subgoals(distance):
    return {"close": distance < 1.5}
"""


def first_step(path: Path, mark: str, **options: Any) -> tuple[float, float, float]:
    """The reward of a first step, and how far from the target it began and ended."""
    path.write_text(f"{TWO_PARTS}\n\n# rewardsmith: {mark}\n")
    with RewardWrapper(plain(), path, TASK, **options) as env:
        before, _ = env.reset(seed=3)
        after, reward, _, _, info = env.step(np.ones(1, np.float32))
    away = [abs(float(seen[0] - seen[2])) for seen in (before, after)]
    assert info[COMPONENTS]["near"] == pytest.approx(-away[1], abs=1e-5)
    return float(reward), away[0], away[1]


def test_a_program_s_own_shaping_holds_in_somebody_s_own_training_too(tmp_path: Path) -> None:
    path = tmp_path / "reward.py"
    assert first_step(path, "combine=sum,squash=clip(-0.5,0.5)")[0] == -0.5
    shaping = "squash=clip(0,0.25),subgoals=potential(4)"
    paid, began, ended = first_step(path, shaping, gamma=0.5)
    assert paid == pytest.approx(0.25 + 4 * (0.5 * (ended < 1.5) - (began < 1.5)))


@pytest.mark.parametrize("mark", ["combine=logsigmoid", "squash=par", "combine=sum,gate=near(1,0)"])
def test_a_shaping_that_needs_a_training_of_ours_is_refused_there(
    tmp_path: Path, mark: str
) -> None:
    with pytest.raises(ConfigError, match="only a training knows"):
        first_step(tmp_path / "reward.py", mark)
