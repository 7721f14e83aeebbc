"""Environments side by side in this process, with a record of every step."""

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from rewardsmith.envs.collect import steps_of_columns
from rewardsmith.envs.recorder import make_env
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.envs.vector import Transition, make_batched
from rewardsmith.runs.training.trainers.starts import first_seed


def flat_env(spec: EnvSpec) -> gym.Env[Any, Any]:
    """Returns the task's environment with observations as one vector."""
    env: gym.Env[Any, Any] = make_env(spec)
    space = env.observation_space
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return env
    return gym.wrappers.FlattenObservation(env)


class RecordingVecEnv(VecEnv):
    """A batch of environments as Stable-Baselines3 has it, which keeps each step for `take`.

    It steps as a ``DummyVecEnv`` does, to the bit, with vectorised physics where there is any. One
    thread: each core has a training of its own. Never processes: on tasks of this size a
    ``SubprocVecEnv`` takes 2 to 5 times the work per step.
    """

    def __init__(self, spec: EnvSpec, num_envs: int, *, hidden: bool = False) -> None:
        one = flat_env(spec)
        try:
            spaces = one.observation_space, one.action_space
        finally:
            one.close()
        self.batch = make_batched(spec, num_envs)
        self._spec = spec
        self._hidden = hidden
        self._transitions: list[Transition] = []
        self._taken: list[npt.NDArray[Any]] = []
        super().__init__(num_envs, *spaces)

    def reset(self) -> npt.NDArray[Any]:
        """Begins episodes with the seeds that were set last, or else with fresh ones."""
        fresh = np.random.SeedSequence().generate_state(self.num_envs).tolist()
        pairs = zip(self._seeds, fresh, strict=True)
        seeds = [new if own is None else own for own, new in pairs]
        self._reset_seeds()
        return self._typed(self.batch.reset(seeds))

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Notes the actions; the caller keeps the array."""
        self._taken.append(np.array(actions))

    def step_wait(self) -> Any:
        """Steps every environment; infos hold only what Stable-Baselines3 reads of them."""
        step = self.batch.step(self._taken[-1])
        self._transitions.append(step)
        done = step.terminated | step.truncated
        late = (step.truncated & ~step.terminated).tolist()
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": only} for only in late]
        for i in np.flatnonzero(done):
            infos[i]["terminal_observation"] = self._typed(step.final_observation[i])
        nothing = np.zeros(self.num_envs, dtype=np.float32)
        return self._typed(step.observation), nothing, done, infos

    def take(self) -> Steps:
        """Returns the steps since the last call, time-major; hidden fields if so made."""
        steps = steps_of_columns(
            np.concatenate([step.before for step in self._transitions]),
            np.concatenate([step.after for step in self._transitions]),
            self.num_envs,
            self._spec,
            action=np.concatenate(self._taken),
            terminated=[step.terminated for step in self._transitions],
            truncated=[step.truncated for step in self._transitions],
            starts=[step.starts for step in self._transitions],
            native_reward=[step.native_reward for step in self._transitions],
            hidden=self._hidden,
        )
        self._transitions.clear()
        self._taken.clear()
        return steps

    def _typed(self, observation: FloatArray) -> npt.NDArray[Any]:
        return observation.astype(self.observation_space.dtype)

    def close(self) -> None:
        """Closes the environments."""
        self.batch.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Returns the one attribute that Stable-Baselines3 asks for.

        Raises:
            AttributeError: another one; the environments are not objects of their own.
        """
        if attr_name != "render_mode":
            raise AttributeError(f"environments of a batch have no attribute {attr_name!r}")
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuses.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"environments of a batch have no attribute {attr_name!r}")

    def env_method(
        self, method_name: str, *arguments: Any, indices: VecEnvIndices = None, **named: Any
    ) -> list[Any]:
        """Refuses.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"environments of a batch have no method {method_name!r}")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Returns False for each: what is wrapped is wrapped within."""
        return [False for _ in self._get_indices(indices)]


def dones_of(steps: Steps) -> npt.NDArray[np.bool_]:
    """Returns (T, N): where an episode ended."""
    ended: npt.NDArray[np.bool_] = steps.terminated | steps.truncated
    return ended.reshape(-1, steps.num_envs)


def seeded(env: VecEnv, seed: int) -> None:
    """Sets the reset seeds of a training far from those of any judged episode."""
    env.seed(first_seed(seed))
