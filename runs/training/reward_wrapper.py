"""A reward program in somebody's own training: rewards at every step, as an environment wrapper."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rewardsmith.envs.collect import steps_of
from rewardsmith.envs.recorder import KEY, Recorder
from rewardsmith.envs.task import EnvSpec, Task
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardSource
from rewardsmith.sandbox.shaping import Shaping

COMPONENTS = "reward_components"


class RewardWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """Replaces the environment's reward by a program's, computed in the confined worker.

    Training in-loop gives the same weights, to the bit, as the deferred rewards of
    ``rewardsmith train``; it is slower, since the worker is asked at every step. Each step's
    ``info["reward_components"]`` holds the named components. Close the wrapper to end the worker.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        reward: RewardSource | str | Path,
        task: Task | EnvSpec,
        *,
        sandbox: str = "auto",
        gamma: float = 0.99,
    ) -> None:
        """Wraps ``env``, which must be of the kind that ``task`` describes.

        Args:
            env: e.g. ``gymnasium.make("Hopper-v5")``.
            reward: the path of a ``reward.py``, or a reward source of this wrapper's own: programs
                with memory follow one environment only.
            task: the task, or the environment's card.
            sandbox: the backend that confines the worker.
            gamma: the discount that you train with, for potentials that the program's own line
                ``# rewardsmith: ...`` asks for.

        Raises:
            ConfigError: the file cannot be read, or its shaping can only be trained with
                ``rewardsmith train``.
            SandboxUnavailable: this machine cannot confine the program.
        """
        spec = task.env if isinstance(task, Task) else task
        recorded = env if _records(env) else Recorder(env, spec, native_reward=False)
        super().__init__(recorded)
        self._spec = spec
        if isinstance(reward, str | Path):
            reward = _source(Path(reward), spec, sandbox, gamma)
        self._source = reward

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Steps the environment; the reward is the program's total.

        Raises:
            TrainingError: the program failed; the message says how.
        """
        obs, _, terminated, truncated, info = self.env.step(action)
        steps = steps_of(
            [info[KEY]],
            1,
            self._spec,
            action=np.asarray(action)[None],
            terminated=[terminated],
            truncated=[truncated],
            hidden=False,
        )
        batch = self._source.rewards(steps, carry=True)
        if isinstance(batch, Failure):
            raise TrainingError(f"the reward program failed ({batch.kind}): {batch.text}")
        info[COMPONENTS] = {name: float(values[0]) for name, values in batch.components.items()}
        return obs, float(batch.total[0]), terminated, truncated, info

    def close(self) -> None:
        """Ends the worker and closes the environment."""
        self._source.close()
        self.env.close()


def _records(env: gym.Env[Any, Any]) -> bool:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Recorder):
            return True
        env = env.env
    return False


def _source(path: Path, spec: EnvSpec, sandbox: str, gamma: float) -> RewardSource:
    from rewardsmith.sandbox.client import RewardClient
    from rewardsmith.sandbox.program import declared_shaping
    from rewardsmith.sandbox.shaped import shaped

    try:
        program = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"reward program {path}: cannot be read: {error}") from error
    opened = partial(RewardClient, spec=spec, sandbox=sandbox)
    shaping = declared_shaping(program)
    if not isinstance(shaping, Shaping):
        return opened(program)
    if shaping.by_training:
        raise ConfigError(
            f"reward program {path}: {shaping.text} needs what only a training knows, references "
            "or successes; use `rewardsmith train`, or choose another shaping"
        )
    source = shaped(program, spec, shaping, gamma=gamma, opened=opened)
    if isinstance(source, Failure):
        raise ConfigError(f"reward program {path}: {source.text}")
    return source
