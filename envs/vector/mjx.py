"""Gymnasium's MuJoCo environments as part of a compiled program: physics by MuJoCo's own MJX.

Everything that a rollout needs at every step is a function of JAX's arrays here: physics, rules,
termination, time limits, automatic resets. What only rewards need, the card's rows, is computed
afterwards from the readings of all steps, by the same code as on the CPU.

MJX computes in float32 and has no solver but Newton and conjugate gradients. A model whose solver
is changed is another task and has another name (`MjxTask.name`); how far one step then is from
MuJoCo's own, ``mjx_parity`` measures.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.recorder import plain_env
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.envs.vector import physics
from rewardsmith.envs.vector.cards import BatchCard
from rewardsmith.envs.vector.models import with_contacts
from rewardsmith.envs.vector.robots import Robot
from rewardsmith.envs.vector.worlds import Moment, Worlds, library
from rewardsmith.errors import ConfigError

SUFFIX = "-mjx"
MOST_STARTS = 1024
_MISSING = (
    "physics on a GPU needs mujoco-mjx, which is not installed: pip install 'rewardsmith[mjx]'"
)
Array = Any  # of JAX


@dataclass(frozen=True)
class Solver:
    """What is changed of a model's solver; what is None stays.

    ``name`` is "newton" or "cg"; ``iterations`` and ``ls_iterations`` bound the solver and its line
    search: MJX is much faster with few.
    """

    name: str | None = None
    iterations: int | None = None
    ls_iterations: int | None = None

    def applied(self, model: Any) -> Any:
        """Returns a copy of a model with this solver."""
        import mujoco

        kinds = {"newton": mujoco.mjtSolver.mjSOL_NEWTON, "cg": mujoco.mjtSolver.mjSOL_CG}
        changed = copy.copy(model)
        if self.name is not None:
            if self.name not in kinds:
                raise ConfigError(f"solver {self.name!r}: MJX has {' and '.join(kinds)}")
            changed.opt.solver = kinds[self.name]
        for field in ("iterations", "ls_iterations"):
            if getattr(self, field) is not None:
                setattr(changed.opt, field, getattr(self, field))
        return changed


AS_GIVEN = Solver()


class State(NamedTuple):
    """N worlds between two steps: physics, what velocities are differences of, steps so far."""

    data: Any  # mjx.Data, each array with N in front
    anchor: Array  # (N, k)
    elapsed: Array  # (N,) int32


class Seen(NamedTuple):
    """One step of N worlds, as ``Transition`` has it, with readings in place of the card's rows.

    ``start`` (N,) is the number of the start from the pool that an ended world went on with, else
    -1; ``readings`` are qpos, qvel, ctrl and the card's MjData fields, (N, size); ``info`` (N,).
    """

    observation: Array
    final_observation: Array
    terminated: Array
    truncated: Array
    starts: Array
    native_reward: Array
    start: Array
    readings: Mapping[str, Array]
    info: Mapping[str, Array]


@dataclass(frozen=True)
class Starts:
    """States from which episodes begin, S of them, drawn by Gymnasium's own rules."""

    qpos: FloatArray
    qvel: FloatArray
    observation: FloatArray  # (S, D)
    anchor: FloatArray
    rows: FloatArray  # (S, width) of the card


class MjxTask:
    """The functions of one environment, for any number of worlds; `mjx_task` makes one.

    ``begin`` and ``step`` may be traced; all else runs outside of programs.
    """

    def __init__(
        self, spec: EnvSpec, robot: Robot, card: BatchCard, model: Any, *, solver: Solver, impl: str
    ) -> None:
        from mujoco import mjx

        self.spec = spec
        self.name = spec.id if solver == AS_GIVEN else f"{spec.id}{SUFFIX}"
        self.impl = impl
        self.robot = robot
        self.given = model  # MuJoCo's, as the environment has it
        self._card = card
        self._host = solver.applied(model)
        self._model = mjx.put_model(self._host, impl=impl)
        self._rules = _in_jax(robot)
        self._substeps = int(robot.env.frame_skip)
        self._kept = tuple(sorted(card.fields))
        self._read = tuple(sorted(card.fields.union(robot.fields)))
        self.pool: Starts | None = None

    @property
    def observation_size(self) -> int:
        """D: observations are flat vectors."""
        return int(self.robot.env.observation_space.shape[0])

    def drawn(self, seed: int, count: int = MOST_STARTS) -> Starts:
        """Draws states from which episodes begin, and takes them as the pool.

        Worlds that end go on with any of them, so that no draw waits for the host.
        """
        from gymnasium.utils.seeding import np_random

        rng = np_random(seed)[0]
        qpos, qvel = (
            np.array(part)
            for part in zip(*(self.robot.draw(rng) for _ in range(count)), strict=True)
        )
        worlds = Worlds(self._host, count, 1)
        try:
            for field in self._read:
                worlds.read(field)
            worlds.begin(np.arange(count), qpos, qvel)
            now = worlds.now.take(np.arange(count))
        finally:
            worlds.close()
        if "cfrc_ext" in now.fields:
            now.fields["cfrc_ext"].fill(0.0)  # as Gymnasium's reset, which computes none
        observation = self.robot.observe(now)
        anchor = self.robot.anchor(now)
        places = self.robot.places(now)
        info = {
            key: places.get(key, np.zeros(count)) for key in physics.known_info(self.robot, now)
        }
        rows = self._card.rows(now, observation, info)
        self.pool = Starts(qpos, qvel, observation, anchor, rows)
        return self.pool

    def begin(self, pool: Mapping[str, Array], which: Array) -> tuple[State, Array]:
        """Puts N worlds into starts of the pool.

        Args:
            pool: `pool_arrays`.
            which: (N,) their numbers.

        Returns:
            The state, and (N, D) observations.
        """
        import jax
        import jax.numpy as jnp
        from mujoco import mjx

        one = mjx.make_data(self._host, impl=self.impl)
        count = which.shape[0]
        data = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), one)
        data = data.replace(qpos=pool["qpos"][which], qvel=pool["qvel"][which])
        elapsed = jnp.zeros(count, dtype=jnp.int32)
        return State(data, pool["anchor"][which], elapsed), pool["observation"][which]

    def pool_arrays(self) -> dict[str, Array]:
        """Returns what programs need of the pool.

        Raises:
            ConfigError: none was drawn.
        """
        import jax.numpy as jnp

        if self.pool is None:
            raise ConfigError(f"{self.name}: no starts were drawn; call drawn(seed) first")
        names = ("qpos", "qvel", "observation", "anchor")
        return {name: jnp.asarray(getattr(self.pool, name), dtype=float) for name in names}

    def step(
        self, pool: Mapping[str, Array], state: State, actions: Array, which: Array
    ) -> tuple[State, Seen]:
        """Steps N worlds; those that end go on from starts of the pool.

        Args:
            pool: `pool_arrays`.
            state: of the worlds.
            actions: (N, nu), within bounds.
            which: (N,) numbers of starts, for those that end.
        """
        import jax.numpy as jnp

        data = self._stepped(state.data.replace(ctrl=actions))
        now = self._moment(data, self._read)
        anchor = self._rules.anchor(now)
        outcome = self._rules.judge(now, state.anchor, anchor, actions)
        final = self._rules.observe(now)
        truncated = state.elapsed + 1 >= self.spec.max_steps
        ended = outcome.terminated | truncated
        pick = partial(_where, ended)
        fresh = data.replace(
            qpos=pick(pool["qpos"][which], data.qpos),
            qvel=pick(pool["qvel"][which], data.qvel),
            # A new episode knows no earlier one: neither its solution nor its muscles.
            qacc_warmstart=pick(jnp.zeros_like(data.qacc_warmstart), data.qacc_warmstart),
            act=pick(jnp.zeros_like(data.act), data.act),
        )
        kept = {"qpos": now.qpos, "qvel": now.qvel, "ctrl": now.ctrl}
        kept |= {name: now.fields[name] for name in self._kept}
        seen = Seen(
            observation=pick(pool["observation"][which], final),
            final_observation=final,
            terminated=outcome.terminated,
            truncated=truncated,
            starts=state.elapsed == 0,
            native_reward=outcome.reward,
            start=jnp.where(ended, which, -1),
            readings=kept,
            info=dict(outcome.info),
        )
        elapsed = jnp.where(ended, 0, state.elapsed + 1)
        return State(fresh, pick(pool["anchor"][which], anchor), elapsed), seen

    def _stepped(self, data: Any) -> Any:
        import jax
        from mujoco import mjx

        once: Any = jax.vmap(lambda one: mjx.step(self._model, one))
        data = jax.lax.fori_loop(0, self._substeps, lambda _, d: once(d), data)
        if self.robot.forces:
            data = jax.vmap(lambda one: mjx.rne_postconstraint(self._model, one))(data)
        return data

    def _moment(self, data: Any, fields: tuple[str, ...]) -> Moment:
        return Moment(data.qpos, data.qvel, data.ctrl, {f: _reading(data, f) for f in fields})

    def rows(self, seen: Seen) -> FloatArray:
        """Returns the card's flat rows after steps: (M, width) for a `Seen` of M rows in NumPy."""
        readings = {name: _double(value) for name, value in seen.readings.items()}
        qpos, qvel, ctrl = (readings.pop(name) for name in ("qpos", "qvel", "ctrl"))
        now = Moment(qpos, qvel, ctrl, readings)
        info = {name: _double(value) for name, value in seen.info.items()}
        return self._card.rows(now, _double(seen.final_observation), info)


def _double(values: Any) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _where(ended: Array, fresh: Array, old: Array) -> Array:
    import jax.numpy as jnp

    return jnp.where(ended.reshape(-1, *[1] * (old.ndim - 1)), fresh.astype(old.dtype), old)


def _reading(data: Any, field: str) -> Array:
    found = getattr(data, field, None)
    values = getattr(data._impl, field) if found is None else found
    return values.reshape(values.shape[0], -1)


def _in_jax(robot: Robot) -> Robot:
    """Returns the same rules over JAX's arrays; they need not round as Gymnasium's."""
    import jax.numpy as jnp

    rules = copy.copy(robot)
    rules.xp = jnp
    changed: Any = rules
    changed.power, changed.norm = jnp.power, partial(jnp.linalg.norm, axis=-1)
    return rules


def mjx_task(spec: EnvSpec, *, solver: Solver = AS_GIVEN, impl: str = "jax") -> MjxTask | None:
    """Returns an environment's functions; None where its kind or its card has no such form.

    Args:
        spec: the environment and its card.
        solver: what to change of the model's; then the task's name ends in "-mjx".
        impl: MJX's own physics, "jax", or "warp" where warp-lang is installed.

    Raises:
        ConfigError: mujoco-mjx is missing, or it cannot step this model; the text says why.
    """
    if spec.wrappers or "render_mode" in spec.kwargs or library() is None:
        return None
    env = plain_env(spec.id, spec.kwargs, max_steps=spec.max_steps)
    try:
        made = physics.vectorised_parts(spec, env)
        if made is None:
            return None
        model = with_contacts(spec.id, env.unwrapped, made[1].contacts)
        return _made(spec.id, impl, lambda: MjxTask(spec, *made, model, solver=solver, impl=impl))
    finally:
        env.close()


def _made(env_id: str, impl: str, make: Callable[[], MjxTask]) -> MjxTask:
    try:
        return make()
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    except NotImplementedError as error:
        raise ConfigError(
            f"{env_id}: MJX ({impl}) cannot step this model: {error}. Where that is the solver, "
            f'Solver("newton") makes another task of it, named {env_id}{SUFFIX}'
        ) from error


def host(seen: Seen) -> Seen:
    """Returns a `Seen` of (T, N, ...) arrays on the host, as (T * N, ...) rows."""
    import jax

    def flat(values: Array) -> npt.NDArray[Any]:
        on_host = np.asarray(values)
        return on_host.reshape(-1, *on_host.shape[2:])

    return Seen(*jax.tree.map(flat, tuple(seen)))
