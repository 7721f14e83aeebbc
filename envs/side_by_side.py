"""Episodes of many policies: together where physics can be stepped together, else in turn."""

from collections.abc import Callable, Sequence
from typing import Any

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
    numbers = np.arange(len(seeds))
    together = physics_batch(spec, len(seeds), 1)
    env: BatchedEnv = LoopEnv(spec, 1) if together is None else together
    lanes = [numbers] if together is not None else np.split(numbers, len(numbers))
    limit = min(longest or spec.max_steps, spec.max_steps)
    try:
        return tuple(
            episode
            for rows in lanes
            for episode in _lane(env, controls, rows, [seeds[row] for row in rows], limit)
        )
    finally:
        env.close()


def _lane(
    env: BatchedEnv, controls: Controls, rows: Rows, seeds: Sequence[int], limit: int
) -> list[Episode]:
    """Plays ``rows`` side by side until the first episode of each has ended."""
    lengths = np.full(len(rows), limit)
    playing = np.ones(len(rows), dtype=np.bool_)
    seen: list[Transition] = []
    actions: list[npt.NDArray[Any]] = []
    observation = env.reset(seeds)
    while playing.any() and len(seen) < limit:
        actions.append(_possible(controls(rows, observation, len(seen)), env.spec))
        seen.append(env.step(actions[-1]))
        ended = playing & (seen[-1].terminated | seen[-1].truncated)
        lengths[ended] = len(seen)
        playing &= ~ended
        observation = seen[-1].observation
    stacked = np.array(actions)
    return [
        _episode(env.spec, seed, seen[:length], stacked[:length, lane], lane)
        for lane, (seed, length) in enumerate(zip(seeds, lengths.tolist(), strict=True))
    ]


def _possible(actions: npt.NDArray[Any], spec: EnvSpec) -> npt.NDArray[Any]:
    """Returns actions as ``env.step`` takes them: whole numbers, or float32 within bounds."""
    if spec.action.count is not None:
        return actions.astype(np.int64)
    low, high = (np.reshape(b, spec.action.shape) for b in (spec.action.low, spec.action.high))
    # As float32, what is stored is what a replay gives, to the bit.
    possible: npt.NDArray[Any] = np.clip(actions, low, high).astype(np.float32)
    return possible


def _episode(
    spec: EnvSpec, seed: int, seen: Sequence[Transition], actions: npt.NDArray[Any], lane: int
) -> Episode:
    last = np.arange(len(seen)) == len(seen) - 1
    terminated = bool(seen[-1].terminated[lane])
    steps = steps_of_columns(
        np.array([item.before[lane] for item in seen]),
        np.array([item.after[lane] for item in seen]),
        1,
        spec,
        action=actions,
        terminated=last & terminated,
        truncated=last & (not terminated),
        starts=[item.starts[lane] for item in seen],
        native_reward=[item.native_reward[lane] for item in seen],
    )
    return Episode(int(seed), spec.dt, steps, {})
