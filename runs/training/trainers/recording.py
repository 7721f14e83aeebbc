"""Environments side by side in this process, with a record of every step."""

from collections.abc import Mapping
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


class Underway:
    """The latest steps, as far back as the oldest episode that is still under way.

    A reward's memory within these episodes follows from them: it is rebuilt by asking for their
    rewards again, in order of time.
    """

    def __init__(self) -> None:
        self._num_envs = 0
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def add(self, steps: Steps) -> None:
        """Takes the steps that follow, and lets go of those of episodes that have ended."""
        self._num_envs, new = steps.num_envs, _columns(steps)
        if self._columns:
            new = {name: np.concatenate([self._columns[name], new[name]]) for name in new}
        first = _oldest(new, steps.num_envs) * steps.num_envs
        # Copied: a view would keep all that it was cut from.
        self._columns = {name: column[first:].copy() for name, column in new.items()}

    @property
    def steps(self) -> Steps | None:
        """The steps kept, None if no episode is under way."""
        if not self._columns or not len(self._columns["starts"]):
            return None
        plain = {name: column for name, column in self._columns.items() if "/" not in name}
        return Steps(
            num_envs=self._num_envs,
            after=_below("after/", self._columns),
            before=_below("before/", self._columns),
            **plain,
        )

    def kept(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the steps as named arrays."""
        return dict(self._columns)

    def put_back(self, columns: Mapping[str, npt.NDArray[Any]], num_envs: int) -> None:
        """Takes what `kept` returned."""
        self._columns, self._num_envs = dict(columns), num_envs


_PLAIN = ("action", "terminated", "truncated", "starts", "native_reward")


def _columns(steps: Steps) -> dict[str, npt.NDArray[Any]]:
    plain: dict[str, npt.NDArray[Any]] = {name: getattr(steps, name) for name in _PLAIN}
    plain |= {f"after/{name}": values for name, values in steps.after.items()}
    return plain | {f"before/{name}": values for name, values in steps.before.items()}


def _below(prefix: str, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {k.removeprefix(prefix): v for k, v in columns.items() if k.startswith(prefix)}


def _oldest(columns: Mapping[str, npt.NDArray[Any]], num_envs: int) -> int:
    """Returns the time at which the oldest episode began that has not ended; T if all have."""
    starts = columns["starts"].reshape(-1, num_envs)
    ended = (columns["terminated"] | columns["truncated"]).reshape(-1, num_envs)[-1]
    times = len(starts) - 1 - np.argmax(starts[::-1], axis=0)
    times[~starts.any(axis=0)] = 0
    return int(np.where(ended, len(starts), times).min())


def dones_of(steps: Steps) -> npt.NDArray[np.bool_]:
    """Returns (T, N): where an episode ended."""
    ended: npt.NDArray[np.bool_] = steps.terminated | steps.truncated
    return ended.reshape(-1, steps.num_envs)


def seeded(env: DummyVecEnv, seed: int) -> None:
    """Sets the reset seeds of a training far from those of any judged episode."""
    env.seed(first_seed(seed))
