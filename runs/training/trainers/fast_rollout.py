"""Rollouts of K stacked trainings: all their environments step as one batch on the CPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.columns import Layout, layout, nonfinite
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import BoolArray, EnvSpec, FloatArray
from rewardsmith.envs.vector import BatchedEnv, Keepable, Transition
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.policy import Float32Array, Normalisation, PolicySpec
from rewardsmith.runs.training.trainers.fast_acting import Actors, noise
from rewardsmith.runs.training.trainers.fast_returns import (
    CLIP,
    EPSILON,
    Arrays,
    Moments,
)


@dataclass(frozen=True)
class Rollout:
    """T steps of K lanes with N environments each; ``steps`` has one record per lane."""

    observations: Float32Array  # (T, K, N, D), normalised
    actions: npt.NDArray[Any]  # (T, K, N, A) float32 before any clipping, or (T, K, N) int32
    log_probs: Float32Array  # (T, K, N)
    values: Float32Array  # (T, K, N)
    last_values: Float32Array  # (K, N), of the observations after the last step
    terminal_values: Float32Array  # (T, K, N), where the time limit ended an episode, else 0
    dones: BoolArray  # (T, K, N)
    steps: tuple[Steps, ...]


class Rollouts(Protocol):
    """Where rollouts come from; between two of them the environments stand still."""

    def collect(
        self, weights: Float32Array, rngs: Sequence[np.random.Generator], alive: BoolArray
    ) -> Rollout:
        """Plays the next T steps.

        Args:
            weights: (K, size), finite.
            rngs: one per lane, for its exploration.
            alive: (K,); lanes that are not stand still, and what they return is of no use.
        """
        ...

    def normalisation(self, lane: int) -> Normalisation | None:
        """Returns the lane's statistics of observations, None where they are left as they are."""
        ...

    def kept(self, lane: int) -> tuple[Arrays, dict[str, Any]]:
        """Returns all that the lane's later rollouts depend on but weights and generator.

        Raises:
            ConfigError: environments of this kind cannot be captured.
        """
        ...

    def put_back(
        self, lane: int, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
    ) -> None:
        """Puts the lane to where `kept` was called, before the first rollout.

        Raises:
            ConfigError: environments of this kind cannot be captured.
            TrainingError: the state is not one of these environments.
        """
        ...

    def close(self) -> None:
        """Ends the environments; safe to call twice."""
        ...


@dataclass(frozen=True)
class Plan:
    """What does not change from rollout to rollout; sizes are per lane."""

    env: EnvSpec
    policy: PolicySpec
    num_envs: int
    steps: int
    normalize: bool
    sde_every: int
    hidden: bool = False  # the steps hold the hidden fields, too


class CpuRollouts:
    """Steps a `BatchedEnv` of K * N worlds, lane by lane in its rows; policies act in NumPy."""

    def __init__(self, plan: Plan, env: BatchedEnv, seeds: Sequence[Sequence[int]]) -> None:
        self.plan = plan
        self._env = env
        self._lanes = len(seeds)
        self._layout = layout(plan.env)
        bounds = (plan.env.action.low, plan.env.action.high)
        self._low, self._high = (np.asarray(side, dtype=np.float32) for side in bounds)
        self.moments = Moments(self._lanes, (plan.policy.observation_size,))
        self._seen = self._noted(env.reset([seed for lane in seeds for seed in lane]))

    def collect(
        self, weights: Float32Array, rngs: Sequence[np.random.Generator], alive: BoolArray
    ) -> Rollout:
        """Plays the next T steps; see `Rollouts`."""
        plan = self.plan
        drawn = [noise(plan.policy, rng, plan.steps, plan.num_envs, plan.sde_every) for rng in rngs]
        actors = Actors(plan.policy, weights, drawn, plan.sde_every)
        tape = _Tape(plan, self._lanes)
        ended = None if alive.all() else ~alive
        for t in range(plan.steps):
            action, out, hidden = actors.act(t, self._seen)
            taken = self._taken(action, ended)
            transition = self._env.step(taken)
            tape.add(t, self._seen, action, out, hidden, taken, transition)
            self._seen = self._noted(transition.observation)
            self._late(t, tape, transition)
        return tape.rollout(actors, self._seen, self._layout)

    def _taken(self, action: npt.NDArray[Any], ended: BoolArray | None) -> npt.NDArray[Any]:
        """Returns what the environments are given: (K * N, *shape) within bounds, or int64."""
        if ended is not None:
            action = action.copy()
            action[ended] = 0
        if self.plan.policy.count is not None:
            return action.reshape(-1).astype(np.int64)
        flat = action.reshape(len(self._seen) * self.plan.num_envs, -1)
        within: npt.NDArray[Any] = np.minimum(np.maximum(flat, self._low), self._high)
        return within.reshape(len(flat), *self.plan.env.action.shape)

    def _noted(self, observation: FloatArray) -> Float32Array:
        """Adds (K * N, D) observations to the statistics; returns them normalised, (K, N, D)."""
        stacked = observation.reshape(self._lanes, self.plan.num_envs, -1)
        if not self.plan.normalize:
            return stacked.astype(np.float32)
        self.moments.update(stacked)
        return self.moments.normalised(stacked)

    def _late(self, t: int, tape: "_Tape", transition: Transition) -> None:
        """Keeps what episodes led to that only the time limit ended: more would have come."""
        if not transition.truncated.any():
            return
        late = transition.truncated & ~transition.terminated
        for row in np.flatnonzero(late):
            lane, env = divmod(int(row), self.plan.num_envs)
            seen = transition.final_observation[row]
            if self.plan.normalize:
                deviation = np.sqrt(self.moments.var[lane] + EPSILON)
                seen = np.clip((seen - self.moments.mean[lane]) / deviation, -CLIP, CLIP)
            tape.late[lane].append((t, env, seen.astype(np.float32)))

    def normalisation(self, lane: int) -> Normalisation | None:
        """Returns the lane's statistics of observations; see `Rollouts`."""
        if not self.plan.normalize:
            return None
        return Normalisation(
            mean=tuple(self.moments.mean[lane].tolist()),
            var=tuple(self.moments.var[lane].tolist()),
            clip=CLIP,
            epsilon=EPSILON,
        )

    def kept(self, lane: int) -> tuple[Arrays, dict[str, Any]]:
        """Returns all that the lane's later rollouts depend on; see `Rollouts`."""
        arrays: Arrays = {"seen": self._seen[lane]}
        facts: dict[str, Any] = {}
        arrays |= prefixed("observations", self.moments.kept(lane))
        for i in range(self.plan.num_envs):
            state, facts[f"env{i}"] = self._keepable().kept(lane * self.plan.num_envs + i)
            arrays |= prefixed(f"env{i}", state)
        return arrays, facts

    def put_back(
        self, lane: int, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
    ) -> None:
        """Puts the lane to where `kept` was called; see `Rollouts`."""
        for i in range(self.plan.num_envs):
            place = lane * self.plan.num_envs + i
            self._keepable().put_back(place, below(f"env{i}", arrays), facts[f"env{i}"])
        self._seen[lane] = arrays["seen"]
        self.moments.put_back(lane, below("observations", arrays))

    def _keepable(self) -> Keepable:
        if not isinstance(self._env, Keepable):
            raise ConfigError(
                f"{self.plan.env.id}: these environments cannot be captured, so no training can go "
                "on from a checkpoint there to the bit; train in one go (without rungs)"
            )
        return self._env

    def close(self) -> None:
        """Closes the environments."""
        self._env.close()


class _Tape:
    """What one rollout leaves behind."""

    def __init__(self, plan: Plan, lanes: int) -> None:
        self._plan = plan
        self._lanes = lanes
        shape = (plan.steps, lanes, plan.num_envs)
        self._seen = np.empty((*shape, plan.policy.observation_size), np.float32)
        self._outs = np.empty((*shape, plan.policy.outputs), np.float32)
        self._actions: list[npt.NDArray[Any]] = []
        self._hidden: list[Float32Array] = []
        self._taken: list[npt.NDArray[Any]] = []
        self._transitions: list[Transition] = []
        self.late: list[list[tuple[int, int, Float32Array]]] = [[] for _ in range(lanes)]

    def add(  # noqa: PLR0913  (a step is all of this)
        self,
        t: int,
        seen: Float32Array,
        action: npt.NDArray[Any],
        out: Float32Array,
        hidden: Float32Array | None,
        taken: npt.NDArray[Any],
        transition: Transition,
    ) -> None:
        self._seen[t], self._outs[t] = seen, out
        self._actions.append(action)
        self._taken.append(taken)
        self._transitions.append(transition)
        if hidden is not None:
            self._hidden.append(hidden)

    def rollout(self, actors: Actors, following: Float32Array, places: Layout) -> Rollout:
        """Returns the record; ``following`` (K, N, D) are the observations after the last step."""
        actions = np.stack(self._actions)
        hidden = np.stack(self._hidden) if self._hidden else None
        steps = self._steps(places)
        shape = self._outs.shape[:3]
        ended = [step.terminated | step.truncated for step in self._transitions]
        return Rollout(
            observations=self._seen,
            actions=actions,
            log_probs=actors.log_probs(actions, self._outs, hidden),
            values=self._values(actors, self._seen),
            last_values=self._values(actors, following[None])[0],
            terminal_values=self._terminal_values(actors),
            dones=np.stack(ended).reshape(shape),
            steps=steps,
        )

    def _values(self, actors: Actors, seen: Float32Array) -> Float32Array:
        steps, lanes, envs, width = seen.shape
        rows = np.ascontiguousarray(seen.swapaxes(0, 1)).reshape(lanes, steps * envs, width)
        return actors.values(rows).reshape(lanes, steps, envs).swapaxes(0, 1)

    def _terminal_values(self, actors: Actors) -> Float32Array:
        found = np.zeros(self._outs.shape[:3], np.float32)
        for lane, late in enumerate(self.late):
            if late:
                times, envs, seen = zip(*late, strict=True)
                found[list(times), lane, list(envs)] = actors.value_of(lane, np.stack(seen))
        return found

    def _steps(self, places: Layout) -> tuple[Steps, ...]:
        columns = {
            name: self._column([getattr(step, name) for step in self._transitions])
            for name in ("before", "after", "terminated", "truncated", "starts", "native_reward")
        }
        columns["action"] = self._column(self._taken)
        return tuple(lane_steps(self._plan, lane, columns, places) for lane in range(self._lanes))

    def _column(self, rows: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        stacked = np.stack(rows)
        lanes, envs = self._lanes, self._plan.num_envs
        return stacked.reshape(len(rows), lanes, envs, *stacked.shape[2:])


def lane_steps(plan: Plan, lane: int, columns: Mapping[str, Any], places: Layout) -> Steps:
    """Returns one lane's record of a rollout.

    Args:
        plan: the rollout's.
        lane: which.
        columns: (T, K, N, ...) flat rows "before" and "after", and the other columns of `Steps`.
        places: of the card.

    Raises:
        TrainingError: the environment gave NaN or infinity.
    """
    mine = {
        name: column[:, lane].reshape(-1, *column.shape[3:]) for name, column in columns.items()
    }
    for flat in (mine["before"], mine["after"]):
        if not np.isfinite(flat).all():
            bad = ", ".join(nonfinite(flat, places))
            raise TrainingError(f"{plan.env.id}: NaN or infinity in the field(s) {bad}")
    kind = np.int64 if plan.policy.count is not None else np.float64
    return Steps(
        num_envs=plan.num_envs,
        after=places.split(mine["after"], hidden=plan.hidden),
        before=places.split(mine["before"], hidden=plan.hidden),
        action=np.ascontiguousarray(mine["action"].astype(kind)),
        terminated=mine["terminated"],
        truncated=mine["truncated"],
        starts=mine["starts"],
        native_reward=mine["native_reward"],
    )


def prefixed(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """Returns the arrays under ``prefix/name``."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def below(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """Returns the arrays that `prefixed` named, under their own names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
