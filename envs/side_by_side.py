"""Episodes of many policies: together where physics can be stepped together, else in turn."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.collect import steps_of_columns
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.envs.vector import BatchedEnv, Transition
from rewardsmith.envs.vector.loop import LoopEnv
from rewardsmith.envs.vector.physics import physics_batch

Rows = npt.NDArray[np.intp]
Controls = Callable[[Rows, FloatArray, int], npt.NDArray[Any]]


class Seen(NamedTuple):
    """One step of one of the environments of a batch: the one at ``place``."""

    step: Transition
    place: int
    action: npt.NDArray[Any]

    @property
    def ended(self) -> bool:
        """Whether the episode ended there."""
        return bool(self.step.terminated[self.place] or self.step.truncated[self.place])

    def of(self, column: str) -> Any:
        """Returns what a column of the transition says of this environment."""
        return getattr(self.step, column)[self.place]


def play_all(
    spec: EnvSpec, controls: Controls, seeds: Sequence[int], *, longest: int | None = None
) -> tuple[Episode, ...]:
    """Plays one episode per seed, each with a policy of its own; none has snapshots.

    Args:
        spec: the environment and its card.
        controls: (numbers of n episodes, their observations (n, D), step) -> actions
            (n, *action shape) or (n,) choices; what is out of bounds is clipped.
        seeds: reset seeds, one per episode.
        longest: cut episodes there (marked as truncated), besides the task's own time limit.

    Raises:
        ConfigError: the environment cannot be made, or its card does not fit it.
        TrainingError: the simulation blew up.
    """
    if not seeds:
        return ()
    limit = min(longest or spec.max_steps, spec.max_steps)
    together = physics_batch(spec, len(seeds), 1)
    if together is not None:
        return tuple(_played(together, controls, np.arange(len(seeds)), seeds, limit))
    # A new environment each: a reset of Box2D's leaves traces in the order of contacts.
    return tuple(
        episode
        for number, seed in enumerate(seeds)
        for episode in _played(LoopEnv(spec, 1), controls, np.array([number]), [seed], limit)
    )


def _played(
    env: BatchedEnv, controls: Controls, numbers: Rows, seeds: Sequence[int], limit: int
) -> list[Episode]:
    """Plays one episode in each environment of ``env``, and closes it."""
    seen: list[list[Seen]] = [[] for _ in numbers]
    lanes = np.arange(len(numbers))
    try:
        observation = env.reset(seeds)
        for step in range(limit):
            actions = _possible(controls(numbers[lanes], observation, step), env.spec)
            found = env.step(actions)
            for place, lane in enumerate(lanes.tolist()):
                if not seen[lane] or not seen[lane][-1].ended:
                    seen[lane].append(Seen(found, place, actions[place]))
            going = np.array([not seen[lane][-1].ended for lane in lanes.tolist()])
            if not going.any():
                break
            observation = found.observation
            if 2 * going.sum() <= len(lanes):
                env, observation = _narrowed(env, np.flatnonzero(going))
                lanes = lanes[going]
    finally:
        env.close()
    both = zip(seeds, seen, strict=True)
    return [_episode(env.spec, seed, parts, limit) for seed, parts in both]


def _narrowed(env: BatchedEnv, places: Rows) -> tuple[BatchedEnv, FloatArray]:
    """Returns a batch of only those environments, where they are, and what they show.

    Those that have ended cost as much as the others as long as they are stepped.
    """
    states = [env.capture(place) for place in places.tolist()]
    narrow = physics_batch(env.spec, len(states), 1)
    assert narrow is not None
    narrow.reset([0] * len(states))
    env.close()
    shown = [
        narrow.restore(place, state) for place, state in enumerate(states) if state is not None
    ]
    return narrow, np.array(shown)


def _possible(actions: npt.NDArray[Any], spec: EnvSpec) -> npt.NDArray[Any]:
    """Returns actions as ``env.step`` takes them: whole numbers, or float32 within bounds."""
    if spec.action.count is not None:
        return actions.astype(np.int64)
    low, high = (np.reshape(b, spec.action.shape) for b in (spec.action.low, spec.action.high))
    # As float32, what is stored is what a replay gives, to the bit.
    possible: npt.NDArray[Any] = np.clip(actions, low, high).astype(np.float32)
    return possible


def _episode(spec: EnvSpec, seed: int, parts: Sequence[Seen], limit: int) -> Episode:
    last = np.arange(len(parts)) == len(parts) - 1
    terminated = parts[-1].of("terminated")
    # As of Gymnasium's TimeLimit: an episode may end by both.
    truncated = not terminated or len(parts) == limit
    steps = steps_of_columns(
        np.array([part.of("before") for part in parts]),
        np.array([part.of("after") for part in parts]),
        1,
        spec,
        action=np.array([part.action for part in parts]),
        terminated=last & terminated,
        truncated=last & truncated,
        starts=[part.of("starts") for part in parts],
        native_reward=[part.of("native_reward") for part in parts],
    )
    return Episode(int(seed), spec.dt, steps, {})
