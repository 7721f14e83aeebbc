"""Any Gymnasium environment as a batch: one after the other, in this process."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rewardsmith.envs import whole_state
from rewardsmith.envs.columns import layout
from rewardsmith.envs.recorder import KEY, Recorder, make_env
from rewardsmith.envs.snapshots import capture, restore
from rewardsmith.envs.task import BoolArray, EnvSpec, FloatArray
from rewardsmith.envs.vector import Transition


class LoopEnv:
    """N environments stepped in a loop; see ``BatchedEnv``."""

    def __init__(self, spec: EnvSpec, num_envs: int) -> None:
        self._spec = spec
        self._envs = [make_env(spec) for _ in range(num_envs)]
        self._space: gymnasium.Space[Any] = self._envs[0].observation_space
        self._size = int(gymnasium.spaces.flatdim(self._space))
        self._width = layout(spec).width

    @property
    def spec(self) -> EnvSpec:
        """The environment and its card."""
        return self._spec

    @property
    def num_envs(self) -> int:
        """N."""
        return len(self._envs)

    @property
    def observation_size(self) -> int:
        """D: observations of other spaces than a vector are flattened."""
        return self._size

    def reset(self, seeds: Sequence[int]) -> FloatArray:
        """Begins an episode in every environment; returns (N, D) observations."""
        first = [env.reset(seed=int(seed))[0] for env, seed in zip(self._envs, seeds, strict=True)]
        return np.array([self._flat(observation) for observation in first])

    def step(self, actions: npt.NDArray[Any]) -> Transition:
        """Steps every environment; resets those that ended."""
        observation = np.empty((self.num_envs, self._size))
        final = np.empty_like(observation)
        before = np.empty((self.num_envs, self._width))
        after = np.empty_like(before)
        ended: BoolArray = np.zeros((2, self.num_envs), dtype=np.bool_)
        starts: BoolArray = np.zeros(self.num_envs, dtype=np.bool_)
        native = np.zeros(self.num_envs)
        for i, env in enumerate(self._envs):
            seen, _, terminated, truncated, info = env.step(actions[i])
            row = info[KEY]
            before[i], after[i], native[i] = row.before, row.after, row.native_reward
            ended[:, i], starts[i] = (terminated, truncated), row.starts
            final[i] = self._flat(seen)
            observation[i] = self._flat(env.reset()[0]) if terminated or truncated else final[i]
        return Transition(observation, final, before, after, ended[0], ended[1], starts, native)

    def capture(self, index: int) -> FloatArray | None:
        """Returns one environment's full state, None where its simulator has no such thing."""
        return capture(self._envs[index])

    def restore(self, index: int, state: FloatArray) -> FloatArray:
        """Puts one environment into a captured state; returns its observation (D,).

        Raises:
            ConfigError: the simulator cannot be restored, or the state is another model's.
        """
        env = self._envs[index]
        restore(env, state)
        return self._flat(_observation(env))

    def kept(self, index: int) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Returns all on which one environment's future depends; see `Keepable`."""
        return whole_state.kept(self._envs[index])

    def put_back(
        self, index: int, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
    ) -> None:
        """Puts one environment to where `kept` was called; see `Keepable`."""
        whole_state.put_back(self._envs[index], arrays, facts)

    def close(self) -> None:
        """Closes the environments."""
        for env in self._envs:
            env.close()

    def _flat(self, observation: Any) -> FloatArray:
        flat: FloatArray = np.asarray(
            gymnasium.spaces.flatten(self._space, observation), dtype=np.float64
        )
        return flat


def _observation(env: Recorder) -> Any:
    """Asks a Gymnasium MuJoCo environment for what it would show now."""
    return env.unwrapped._get_obs()  # type: ignore[attr-defined]
