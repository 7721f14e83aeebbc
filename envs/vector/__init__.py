"""Many environments of one kind as arrays: reset, step, card rows, snapshots by index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from rewardsmith.envs.task import BoolArray, EnvSpec, FloatArray


@dataclass(frozen=True)
class Transition:
    """One step of N environments; one that ended is reset at once (Gymnasium's same-step mode).

    ``observation`` (N, D) is what to act on next: of an environment that ended, the reset one;
    ``final_observation`` (N, D) is what the step led to, so it differs from ``observation`` only
    where an episode ended. ``before`` and ``after`` (N, width) are flat card rows (see
    ``columns.layout``) around the action; ``after`` holds the terminal state, never the reset one.
    ``starts`` (N,) marks first steps of episodes. ``native_reward`` (N,) is the environment's own.
    All arrays are the caller's to keep: no later step writes into them.
    """

    observation: FloatArray
    final_observation: FloatArray
    before: FloatArray
    after: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    starts: BoolArray
    native_reward: FloatArray


class BatchedEnv(Protocol):
    """N environments side by side, stepped together."""

    @property
    def spec(self) -> EnvSpec:
        """The environment and its card."""
        ...

    @property
    def num_envs(self) -> int:
        """N."""
        ...

    @property
    def observation_size(self) -> int:
        """D: observations are flat vectors."""
        ...

    def reset(self, seeds: Sequence[int]) -> FloatArray:
        """Begins an episode in every environment; returns (N, D) observations.

        Args:
            seeds: one per environment, as for ``gymnasium.Env.reset``; the state after it equals
                that of Gymnasium's environment, and so do the states of later automatic resets.
        """
        ...

    def step(self, actions: npt.NDArray[Any]) -> Transition:
        """Steps every environment with its action, (N, *action shape) or (N,) int64.

        Actions are what ``gymnasium.Env.step`` would be given: within bounds.
        """
        ...

    def capture(self, index: int) -> FloatArray | None:
        """Returns the full state of one environment, None where its simulator has no such thing.

        The vector holds everything on which its future depends but random draws: physics with
        warm start, time within the episode, the card row before the next step.
        """
        ...

    def restore(self, index: int, state: FloatArray) -> FloatArray:
        """Puts one environment into a captured state; returns its observation (D,)."""
        ...

    def close(self) -> None:
        """Ends threads and simulators; safe to call twice."""
        ...


@runtime_checkable
class Keepable(BatchedEnv, Protocol):
    """A `BatchedEnv` whose environments go on to the bit in another process."""

    def kept(self, index: int) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Returns all on which one environment's future depends, random draws included.

        Returns:
            Arrays, and facts that JSON holds exactly.

        Raises:
            ConfigError: this environment, or a wrapper around it, cannot be captured.
        """
        ...

    def put_back(
        self, index: int, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
    ) -> None:
        """Puts one environment, of the same kind and reset before, to where `kept` was called.

        Raises:
            ConfigError: this environment, or a wrapper around it, cannot be captured.
            TrainingError: the state is not one of this environment.
        """
        ...


def make_batched(spec: EnvSpec, num_envs: int, *, threads: int = 1) -> BatchedEnv:
    """Makes N environments of ``spec``: vectorised physics where there is any, else a loop.

    Args:
        spec: the environment and its card.
        num_envs: how many, at least 1.
        threads: threads that step physics; 1 is best where each core has a training of its own.

    Raises:
        ConfigError: the environment cannot be made, or its card does not fit it.
    """
    from rewardsmith.envs.vector.loop import LoopEnv
    from rewardsmith.envs.vector.physics import physics_batch

    return physics_batch(spec, num_envs, threads) or LoopEnv(spec, num_envs)
