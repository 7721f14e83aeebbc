from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rewardsmith.envs import toy
from rewardsmith.envs.recorder import make_env
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_wrapper import RewardWrapper
from rewardsmith.runs.training.trainers import Order, Trained, Unwatched
from rewardsmith.runs.training.trainers.recording import seeded
from rewardsmith.runs.training.trainers.sb3 import new_model, ppo
from rewardsmith.runs.training.trainers.weights import policy_of
from rewardsmith.sandbox.client import RewardClient

SPEC = toy.tasks()[0].env
PARAMS = {"n_envs": 2, "n_steps": 48, "batch_size": 32, "n_epochs": 2, "net_arch": [8],
          "normalize_obs": True, "normalize_reward": True}  # fmt: skip
WITH_MATMUL = """
MIX = np.array([[0.3, -1.2, 0.7], [0.1, 0.9, -0.4], [1.1, 0.2, 0.5]])

def compute_reward(position, velocity, target, action):
    state = np.stack([position, velocity, target], axis=1)
    mixed = np.sum(np.tanh(state @ MIX), axis=-1)
    effort = 0.1 * np.sum(action**2, axis=-1)
    return mixed - effort, {"mixed": mixed, "effort": -effort}
"""
WITH_MEMORY = """
MEMORY = {"best": 5.0}

def compute_reward(position, target, memory):
    distance = np.abs(position - target)
    gain = np.maximum(memory["best"] - distance, 0.0)
    memory["best"] = np.minimum(memory["best"], distance)
    return gain, {"gain": gain}
"""


def in_loop(path: Path, params: dict[str, Any], steps: int) -> dict[str, Any]:
    """Stable-Baselines3 with a worker per environment, asked at every step."""
    torch.set_num_threads(1)

    def env() -> gym.Env[Any, Any]:
        return RewardWrapper(make_env(SPEC), path, SPEC)

    venv = VecNormalize(DummyVecEnv([env] * params["n_envs"]), gamma=params["gamma"])
    model = new_model("ppo", venv, params, seed=7, device="cpu")
    seeded(venv, 7)
    model.learn(steps)
    venv.close()
    return dict(policy_of(model).weights)


@pytest.mark.slow
@pytest.mark.parametrize("program", [WITH_MATMUL, WITH_MEMORY], ids=["matmul", "memory"])
def test_a_worker_asked_once_per_rollout_gives_the_weights_of_one_asked_every_step(
    program: str, tmp_path: Path
) -> None:
    path = tmp_path / "reward.py"
    path.write_text(program)
    params = hyperparams("ppo", SPEC.id, PARAMS)
    with RewardClient(program, SPEC) as source:
        deferred = ppo.train(Order(SPEC, params, seed=7, steps=288), source, Unwatched())
    assert isinstance(deferred, Trained), deferred
    for name, weights in in_loop(path, params, 288).items():
        assert np.array_equal(weights, deferred.policy.weights[name]), name
