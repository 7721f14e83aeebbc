"""Rollouts of K stacked policies as one program of JAX: physics by MJX, policies inside.

Per rollout the weights go in, and what rewards need comes out at once; no step waits for the host.
Everything that a lane draws comes from its own seed, but the numbers agree with the CPU's only
statistically: MJX computes in float32, and a program over K lanes rounds as it likes.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.columns import layout
from rewardsmith.envs.task import BoolArray, EnvSpec, FloatArray
from rewardsmith.envs.vector.mjx import MjxTask, Seen, Solver, State, host, mjx_task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.policy import Float32Array, Normalisation
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.fast_acting import noise
from rewardsmith.runs.training.trainers.fast_returns import CLIP, EPSILON, Arrays
from rewardsmith.runs.training.trainers.fast_rollout import Plan, Rollout, lane_steps

Array = Any  # of JAX
# Expected, not measured: with fewer worlds a GPU waits for itself and the CPU is faster.
LEAST_WORLDS = 1024
_POOL_SEED = 0  # the same starts whoever trains beside whom


def mjx_solver(hyperparams: Mapping[str, Any]) -> Solver:
    """Returns what hyperparameters change of a model's solver."""
    name = hyperparams.get("mjx_solver", "given")
    return Solver(
        name=None if name == "given" else name,
        iterations=hyperparams.get("mjx_iterations"),
        ls_iterations=hyperparams.get("mjx_ls_iterations"),
    )


def has_form(spec: EnvSpec, solver: Solver) -> bool:
    """Says whether MJX can step an environment."""
    try:
        return mjx_task(spec, solver=solver) is not None
    except ConfigError:
        return False


class Moments(NamedTuple):
    """Running mean and variance of observations per lane, (K, D), and how many there were."""

    mean: Array
    var: Array
    count: Array

    def updated(self, values: Array) -> "Moments":
        """Returns them with (K, n, D) more; the numbers are those of ``fast_returns.Moments``."""
        rows = values.shape[1]
        mean, var = values.mean(axis=1), values.var(axis=1)
        delta, total = mean - self.mean, self.count + rows
        squares = self.var * self.count + var * rows + delta**2 * self.count * rows / total
        return Moments(self.mean + delta * rows / total, squares / total, total)

    def normalised(self, values: Array) -> Array:
        """Returns (K, n, D) values centred, scaled and clipped."""
        import jax.numpy as jnp

        scaled = (values - self.mean[:, None]) / jnp.sqrt(self.var + EPSILON)[:, None]
        return jnp.clip(scaled, -CLIP, CLIP)


class Carried(NamedTuple):
    """What goes from step to step: worlds, what policies see next (K, N, D), its statistics."""

    worlds: State
    seen: Array
    moments: Moments


class Taped(NamedTuple):
    """What one step leaves, (K, N, ...) or (K * N, ...) each, and over a rollout with T in front.

    ``out`` is what actions were drawn around, ``hidden`` the last hidden layer or nothing, ``late``
    what the step led to, normalised.
    """

    seen: Array
    action: Array
    out: Array
    hidden: Array
    taken: Array
    step: Seen
    late: Array


class MjxRollouts:
    """Steps K * N worlds on a device of JAX; see `Rollouts`.

    ``plan`` is that of every lane; ``seeds`` has one per lane. Rollouts cannot be captured: there
    are no checkpoints.
    """

    def __init__(self, plan: Plan, task: MjxTask, seeds: Sequence[int], device: Any) -> None:
        import jax
        import jax.numpy as jnp

        if plan.policy.count is not None:
            raise ConfigError(f"{plan.env.id}: MJX has continuous actions, not a choice of some")
        self.plan = plan
        self._task = task
        self._lanes = len(seeds)
        self._device = device
        self._layout = layout(plan.env)
        self._calls = 0
        self.program_s = 0.0  # of the last rollout, without what the host does
        pool = task.drawn(_POOL_SEED)
        self._rows = pool.rows
        with jax.default_device(device):
            self._pool = task.pool_arrays()
            self._keys = [jax.random.key(seed) for seed in seeds]
            which = self._draws(1)[0]
            worlds, first = jax.jit(task.begin)(self._pool, which)
            width = first.shape[-1]
            zeros, ones = jnp.zeros((self._lanes, width)), jnp.ones((self._lanes, width))
            moments = Moments(zeros, ones, jnp.asarray(1e-4))
            moments, seen = self._noted(moments, first)
            self._carried = Carried(worlds, seen, moments)
            self._program = jax.jit(self._played, donate_argnums=0)
        self._last: FloatArray = self._rows[np.asarray(which)]

    def _draws(self, steps: int) -> Array:
        """Returns (T, K * N) numbers of starts; each lane's come from its own seed."""
        import jax
        import jax.numpy as jnp

        self._calls += 1
        shape, most = (steps, self.plan.num_envs), len(self._rows)
        mine = [
            jax.random.randint(jax.random.fold_in(key, self._calls), shape, 0, most)
            for key in self._keys
        ]
        return jnp.concatenate(mine, axis=1)

    def _noted(self, moments: Moments, observation: Array) -> tuple[Moments, Array]:
        """Adds (K * N, D) observations to the statistics; returns them normalised, (K, N, D)."""
        stacked = observation.reshape(self._lanes, self.plan.num_envs, -1)
        if not self.plan.normalize:
            return moments, stacked
        moments = moments.updated(stacked)
        return moments, moments.normalised(stacked)

    def collect(
        self, weights: Float32Array, rngs: Sequence[np.random.Generator], alive: BoolArray
    ) -> Rollout:
        """Plays the next T steps; see `Rollouts`."""
        import jax

        plan = self.plan
        drawn = [noise(plan.policy, rng, plan.steps, plan.num_envs, plan.sde_every) for rng in rngs]
        began = time.perf_counter()
        with jax.default_device(self._device):
            self._carried, tape, found = self._program(
                self._carried, weights, np.stack(drawn, axis=1), alive, self._draws(plan.steps)
            )
        _wait(found)
        self.program_s = time.perf_counter() - began
        found = {name: np.asarray(value) for name, value in found.items()}
        ended = np.asarray(tape.step.terminated | tape.step.truncated)
        return Rollout(
            observations=np.asarray(tape.seen),
            actions=np.asarray(tape.action),
            dones=ended.reshape(plan.steps, self._lanes, plan.num_envs),
            steps=self._steps(tape),
            **found,
        )

    def _played(
        self, carried: Carried, weights: Array, noises: Array, alive: Array, which: Array
    ) -> tuple[Carried, Taped, dict[str, Array]]:
        """Traced once: T steps, and what only their whole tells."""
        import jax
        import jax.numpy as jnp

        named = network.unpacked(self.plan.policy, weights)

        def one(carried: Carried, given: tuple[Array, Array]) -> tuple[Carried, Taped]:
            at, fresh = given
            return self._once(carried, named, self._noise_at(noises, at), alive, fresh)

        carried, tape = jax.lax.scan(one, carried, (jnp.arange(self.plan.steps), which))
        spec = self.plan.policy
        late = (tape.step.truncated & ~tape.step.terminated).reshape(tape.out.shape[:3])
        later = network.values(jnp, spec, named, tape.late)
        found = {
            "log_probs": self._log_probs(named, tape),
            "values": network.values(jnp, spec, named, tape.seen),
            "last_values": network.values(jnp, spec, named, carried.seen),
            "terminal_values": jnp.where(late, later, 0.0),
        }
        return carried, tape, found

    def _noise_at(self, noises: Array, at: Array) -> Array:
        if not self.plan.policy.use_sde:
            return noises[at]
        return noises[at // self.plan.sde_every if self.plan.sde_every > 0 else 0]

    def _once(
        self,
        carried: Carried,
        named: Mapping[str, Array],
        drawn: Array,
        alive: Array,
        which: Array,
    ) -> tuple[Carried, Taped]:
        import jax.numpy as jnp

        worlds, seen, moments = carried
        spec, bounds = self.plan.policy, self.plan.env.action
        hidden = network.latent(jnp, spec, named, "policy", seen)
        out = network.affine(jnp, named, "action_net", hidden)
        scaled = drawn * jnp.exp(named["log_std"])[:, None]
        if spec.use_sde:
            action = out + jnp.matmul(hidden[..., None, :], scaled)[..., 0, :]
        else:
            action, hidden = out + scaled, hidden[..., :0]
        held = jnp.where(alive[:, None, None], action, 0.0).reshape(-1, action.shape[-1])
        taken = jnp.clip(held, jnp.asarray(bounds.low), jnp.asarray(bounds.high))
        worlds, step = self._task.step(self._pool, worlds, taken, which)
        moments, following = self._noted(moments, step.observation)
        late = step.final_observation.reshape(following.shape)
        if self.plan.normalize:
            late = moments.normalised(late)
        return Carried(worlds, following, moments), Taped(
            seen, action, out, hidden, taken, step, late
        )

    def _log_probs(self, named: Mapping[str, Array], tape: Taped) -> Array:
        import jax.numpy as jnp

        log_std = named["log_std"][:, None]
        if self.plan.policy.use_sde:
            log_std = network.sde_log_std(jnp, tape.hidden, named["log_std"])
        return network.gaussian_log_prob(jnp, tape.action, tape.out, log_std)

    def _steps(self, tape: Taped) -> tuple[Any, ...]:
        """Returns each lane's record; the card's rows are computed here, from all readings."""
        seen, (steps, worlds) = host(tape.step), tape.taken.shape[:2]
        after = self._task.rows(seen).reshape(steps, worlds, -1)
        # What a step came from is what the one before led to, or the start that followed its end.
        start = seen.start.reshape(steps, worlds)
        following = np.where((start >= 0)[..., None], self._rows[start], after)
        before = np.concatenate([self._last[None], following[:-1]])
        self._last = following[-1]
        taken = np.asarray(tape.taken)
        columns: dict[str, npt.NDArray[Any]] = {
            "before": before,
            "after": after,
            "action": taken.reshape(steps, worlds, *self.plan.env.action.shape),
        }
        for name in ("terminated", "truncated", "starts", "native_reward"):
            columns[name] = getattr(seen, name).reshape(steps, worlds)
        columns["native_reward"] = columns["native_reward"].astype(np.float64)
        split = {name: self._by_lane(column) for name, column in columns.items()}
        return tuple(
            lane_steps(self.plan, lane, split, self._layout) for lane in range(self._lanes)
        )

    def _by_lane(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return column.reshape(len(column), self._lanes, self.plan.num_envs, *column.shape[2:])

    def normalisation(self, lane: int) -> Normalisation | None:
        """Returns the lane's statistics of observations; see `Rollouts`."""
        if not self.plan.normalize:
            return None
        mean, var, _ = (np.asarray(part, dtype=np.float64) for part in self._carried.moments)
        return Normalisation(
            mean=tuple(mean[lane].tolist()),
            var=tuple(var[lane].tolist()),
            clip=CLIP,
            epsilon=EPSILON,
        )

    def kept(self, lane: int) -> tuple[Arrays, dict[str, Any]]:
        """Raises ConfigError: worlds on a GPU are not captured."""
        raise ConfigError(self._no_capture())

    def put_back(
        self, lane: int, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
    ) -> None:
        """Raises ConfigError: worlds on a GPU are not captured."""
        raise ConfigError(self._no_capture())

    def _no_capture(self) -> str:
        return (
            f"{self._task.name}: a training with MJX cannot go on from a checkpoint; train in one "
            "go (without rungs), or with --device cpu"
        )

    def close(self) -> None:
        """Lets the worlds go."""


def _wait(arrays: Any) -> None:
    """Waits until a device has computed them."""
    import jax

    wait: Any = jax.block_until_ready
    wait(arrays)
