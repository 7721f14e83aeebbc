"""Environments side by side in this process, with a record of every step."""

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import DummyVecEnv

from rewardsmith.envs.collect import steps_of
from rewardsmith.envs.recorder import KEY, Row, make_env
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.runs.training.trainers.starts import first_seed


def flat_env(spec: EnvSpec) -> gym.Env[Any, Any]:
    """Returns the task's environment with observations as one vector."""
    env: gym.Env[Any, Any] = make_env(spec)
    space = env.observation_space
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return env
    return gym.wrappers.FlattenObservation(env)


class RecordingVecEnv(DummyVecEnv):
    """A ``DummyVecEnv`` that keeps each step's row until `take` is called.

    Never processes: on tasks of this size a ``SubprocVecEnv`` takes 2 to 5 times the work per step.
    """

    def __init__(self, spec: EnvSpec, num_envs: int) -> None:
        super().__init__([lambda: flat_env(spec)] * num_envs)
        self._spec = spec
        self._rows: list[Row] = []
        self._taken: list[npt.NDArray[Any]] = []
        self._terminated: list[bool] = []
        self._truncated: list[bool] = []

    def step_wait(self) -> Any:
        """Steps every environment; infos keep only what Stable-Baselines3 reads of them."""
        infos: list[dict[str, Any]] = []
        self._taken.append(np.array(self.actions))
        for i in range(self.num_envs):
            obs, reward, terminated, truncated, info = self.envs[i].step(self.actions[i])
            self._rows.append(info[KEY])
            self._terminated.append(terminated)
            self._truncated.append(truncated)
            self.buf_rews[i] = reward
            self.buf_dones[i] = terminated or truncated
            kept: dict[str, Any] = {"TimeLimit.truncated": truncated and not terminated}
            if self.buf_dones[i]:
                kept["terminal_observation"] = np.array(obs)
                obs, self.reset_infos[i] = self.envs[i].reset()
            self._save_obs(i, obs)
            infos.append(kept)
        return self._obs_from_buf(), self.buf_rews.copy(), self.buf_dones.copy(), infos

    def take(self) -> Steps:
        """Returns the steps since the last call, time-major, without hidden fields."""
        steps = steps_of(
            self._rows,
            self.num_envs,
            self._spec,
            action=np.concatenate(self._taken),
            terminated=self._terminated,
            truncated=self._truncated,
            hidden=False,
        )
        for record in (self._rows, self._taken, self._terminated, self._truncated):
            record.clear()
        return steps


def dones_of(steps: Steps) -> npt.NDArray[np.bool_]:
    """Returns (T, N): where an episode ended."""
    ended: npt.NDArray[np.bool_] = steps.terminated | steps.truncated
    return ended.reshape(-1, steps.num_envs)


def seeded(env: DummyVecEnv, seed: int) -> None:
    """Sets the reset seeds of a training far from those of any judged episode."""
    env.seed(first_seed(seed))
