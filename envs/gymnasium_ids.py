"""MuJoCo robots under ids of `gymnasium.make` and `gymnasium.make_vec`, with the card's fields.

Importing this module registers ``rewardsmith/Hopper-v5`` and its like. Dynamics, observations,
rewards and ends are those of Gymnasium's environment of the same name and version; what is added is
``info["fields"]``, and that ``make_vec`` steps many at once. The version changes with any of these.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rewardsmith.envs.columns import Layout, layout
from rewardsmith.envs.recorder import KEY, Recorder, quiet_loading
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.envs.vector import make_batched

ROBOTS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5",
          "HumanoidStandup-v5", "Swimmer-v5", "Reacher-v5", "Pusher-v5", "InvertedPendulum-v5",
          "InvertedDoublePendulum-v5")  # fmt: skip


class Robot(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Gymnasium's environment, with ``info["fields"]``: the card's fields by name."""

    def __init__(self, env: Recorder, spec: EnvSpec) -> None:
        super().__init__(env)
        self._layout = layout(spec)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the environment."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._named(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Steps the environment."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._named(info)

    def _named(self, info: dict[str, Any]) -> dict[str, Any]:
        row: FloatArray = info.pop(KEY).after
        return info | {"fields": {n: v[0] for n, v in _fields(self._layout, row[None]).items()}}


class Robots(VectorEnv[FloatArray, npt.NDArray[Any], npt.NDArray[Any]]):
    """N robots stepped together; one whose episode ends is reset in the same step.

    A step's info holds ``fields``, name -> (N, *shape), of the states that the step led to: where
    an episode ended, of its last state, whose observation is in ``final_obs``.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        task: str,
        max_episode_steps: int | None = None,
        threads: int = 1,
        **kwargs: Any,
    ) -> None:
        spec = find_task(task, env_kwargs=kwargs).env
        if max_episode_steps is not None:
            spec = replace(spec, max_steps=max_episode_steps)
        self._batch = make_batched(spec, num_envs, threads=threads)
        self._layout = layout(spec)
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        size = (self._batch.observation_size,)
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, size, np.float64)
        low, high = (np.array(b, np.float32) for b in (spec.action.low, spec.action.high))
        self.single_action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Begins an episode in every environment; an int is the seed of the first, others count on.

        Without a seed, the seeds are drawn from the generator that the last seed set up.
        """
        if seed is None:
            drawn = self.np_random.integers(2**31, size=self.num_envs)
            return self._batch.reset([int(value) for value in drawn]), {}
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
        super().reset(seed=seeds[0])
        return self._batch.reset(seeds), {}

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[FloatArray, FloatArray, npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        """Steps every environment."""
        step = self._batch.step(actions)
        info: dict[str, Any] = {"fields": _fields(self._layout, step.after)}
        ended = step.terminated | step.truncated
        if ended.any():
            final = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(ended):
                final[i] = step.final_observation[i]
            info |= {"final_obs": final, "_final_obs": ended}
        return step.observation, step.native_reward, step.terminated, step.truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Ends threads and simulators."""
        self._batch.close()


def one(task: str, **kwargs: Any) -> Robot:
    """Makes one robot; for ``gymnasium.make``, which adds the time limit."""
    spec = find_task(task, env_kwargs=kwargs).env
    entry = gymnasium.spec(spec.id).entry_point
    assert isinstance(entry, str)
    with quiet_loading(spec.id):
        env: Any = gymnasium.envs.registration.load_env_creator(entry)(**spec.kwargs)
    return Robot(Recorder(env, spec, native_reward=True), spec)


def _fields(places: Layout, rows: FloatArray) -> dict[str, FloatArray]:
    return places.split(rows, hidden=False)


def register() -> None:
    """Makes the robots known to Gymnasium; safe to call twice."""
    for name in ROBOTS:
        if f"rewardsmith/{name}" in gymnasium.registry:
            continue
        known = gymnasium.spec(name)
        gymnasium.register(
            f"rewardsmith/{name}",
            f"{__name__}:one",
            vector_entry_point=f"{__name__}:Robots",
            max_episode_steps=known.max_episode_steps,
            reward_threshold=known.reward_threshold,
            kwargs={"task": name},
        )


register()
