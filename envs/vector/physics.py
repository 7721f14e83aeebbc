"""Gymnasium's MuJoCo environments as a batch: physics on threads, all else in NumPy."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.columns import bind, layout
from rewardsmith.envs.recorder import plain_env
from rewardsmith.envs.task import BoolArray, EnvSpec, FloatArray
from rewardsmith.envs.vector import Transition
from rewardsmith.envs.vector.cards import BatchCard, Unsupported
from rewardsmith.envs.vector.models import lean
from rewardsmith.envs.vector.robots import Robot
from rewardsmith.envs.vector.worlds import Moment, Rows, Worlds, library
from rewardsmith.errors import ConfigError, TrainingError


class PhysicsEnv:
    """N environments of one Gymnasium robot, equal to Gymnasium's own to the bit.

    See ``BatchedEnv``. ``physics_batch`` makes one.
    """

    def __init__(
        self, spec: EnvSpec, robot: Robot, card: BatchCard, worlds: Worlds, num_envs: int
    ) -> None:
        self._spec = spec
        self._robot = robot
        self._card = card
        self._opened: Worlds | None = worlds
        self._substeps = int(robot.env.frame_skip)
        self._rngs: list[np.random.Generator] = []
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._observation: FloatArray = robot.observe(worlds.now)
        self._anchor: FloatArray = robot.anchor(worlds.now)
        self._last: FloatArray = np.zeros((num_envs, layout(spec).width))
        self._placed = frozenset(robot.places(worlds.now))
        self._info = tuple(known_info(robot, worlds.now))

    @property
    def _worlds(self) -> Worlds:
        # What a closed batch showed is memory that is no longer its own.
        if self._opened is None:
            raise ConfigError(f"{self._spec.id}: the batch is closed")
        return self._opened

    @property
    def spec(self) -> EnvSpec:
        """The environment and its card."""
        return self._spec

    @property
    def num_envs(self) -> int:
        """N."""
        return len(self._elapsed)

    @property
    def observation_size(self) -> int:
        """D."""
        return int(self._observation.shape[1])

    def reset(self, seeds: Sequence[int]) -> FloatArray:
        """Begins an episode in every environment; returns (N, D) observations.

        Raises:
            ValueError: there is not one seed for each environment.
        """
        from gymnasium.utils.seeding import np_random

        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments")
        self._rngs = [np_random(int(seed))[0] for seed in seeds]
        self._begin(np.arange(self.num_envs))
        return self._observation.copy()

    def step(self, actions: npt.NDArray[Any]) -> Transition:
        """Steps every environment; resets those that ended.

        Raises:
            ConfigError: before the first reset, or for actions of another shape than (N, nu).
            TrainingError: MuJoCo gave up on a simulation.
        """
        now = self._worlds.now
        self._check(actions, now)
        self._worlds.step(actions, self._substeps)
        anchor = self._robot.anchor(now)
        outcome = self._robot.judge(now, self._anchor, anchor, actions)
        final = self._robot.observe(now)
        after = self._card.rows(now, final, outcome.info)
        before, starts = self._last, self._elapsed == 0
        self._elapsed += 1
        truncated: BoolArray = self._elapsed >= self._spec.max_steps
        self._anchor, self._observation, self._last = anchor, final.copy(), after.copy()
        ended = np.flatnonzero(outcome.terminated | truncated)
        if len(ended):
            self._begin(ended)
        return Transition(
            observation=self._observation.copy(),
            final_observation=final,
            before=before,
            after=after,
            terminated=outcome.terminated,
            truncated=truncated,
            starts=starts,
            native_reward=outcome.reward,
        )

    def _check(self, actions: npt.NDArray[Any], now: Moment) -> None:
        if not self._rngs:
            raise ConfigError(f"{self._spec.id}: step was called before the first reset")
        if actions.shape != now.ctrl.shape:
            raise ConfigError(
                f"{self._spec.id}: actions of shape {actions.shape} were given, "
                f"{now.ctrl.shape} is wanted"
            )

    def _begin(self, rows: Rows) -> None:
        drawn = [self._robot.draw(self._rngs[row]) for row in rows]
        qpos, qvel = (np.array(part) for part in zip(*drawn, strict=True))
        self._worlds.begin(rows, qpos, qvel)
        now = self._worlds.now.take(rows)
        if "cfrc_ext" in now.fields:
            # Gymnasium's reset does not compute contact forces: what it shows is a fresh MjData's.
            now.fields["cfrc_ext"].fill(0.0)
        self._anchor[rows] = self._robot.anchor(now)
        observation = self._robot.observe(now)
        self._observation[rows] = observation
        places = self._robot.places(now)
        info = {key: places.get(key, np.zeros(len(rows))) for key in self._info}
        self._last[rows] = self._card.rows(now, observation, info)
        self._elapsed[rows] = 0

    def capture(self, index: int) -> FloatArray:
        """Returns one environment's full state (n,): physics, time, and what was read of it.

        Readings are kept because they lag the state by a substep: they are no function of it.
        """
        parts = (self._anchor, self._observation, self._last)
        rest = [part[index] for part in parts]
        return np.concatenate([self._worlds.state[index], [self._elapsed[index]], *rest])

    def restore(self, index: int, state: FloatArray) -> FloatArray:
        """Puts one environment into a captured state; returns its observation (D,).

        Raises:
            ConfigError: the state is another model's.
        """
        parts = (self._anchor, self._observation, self._last)
        sizes = [self._worlds.state.shape[1], 1, *(part.shape[1] for part in parts)]
        if state.shape != (sum(sizes),):
            raise ConfigError(
                f"a snapshot of shape {state.shape} was given, {(sum(sizes),)} is wanted"
            )
        physics, elapsed, *rest = np.split(state, np.cumsum(sizes)[:-1])
        self._worlds.state[index] = physics
        self._elapsed[index] = int(elapsed[0])
        self._anchor[index], self._observation[index] = rest[0], rest[1]
        # Not in place: the last step's caller may hold these rows.
        self._last = self._last.copy()
        self._last[index] = rest[2]
        observation: FloatArray = self._observation[index].copy()
        return observation

    def kept(self, index: int) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Returns all on which one environment's future depends; see ``Keepable``."""
        rng = self._rngs[index].bit_generator.state
        return {"state": self.capture(index)}, {"rng": rng}

    def put_back(
        self, index: int, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
    ) -> None:
        """Puts one environment to where `kept` was called; see ``Keepable``."""
        try:
            self.restore(index, arrays["state"])
            self._rngs[index].bit_generator.state = facts["rng"]
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{self._spec.id}: not a state of this kind: {error}") from error

    def close(self) -> None:
        """Ends threads and simulations; safe to call twice."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None


def known_info(robot: Robot, now: Moment) -> frozenset[str]:
    """Returns the keys of ``info`` that the robot's steps give as one number each."""
    anchor = robot.anchor(now)
    return frozenset(robot.judge(now, anchor, anchor, now.ctrl).info)


def physics_batch(spec: EnvSpec, num_envs: int, threads: int) -> PhysicsEnv | None:
    """Makes N environments with vectorised physics; None where ``spec`` has no such form.

    Raises:
        ConfigError: the environment cannot be made, or its card does not fit it.
    """
    if spec.wrappers or "render_mode" in spec.kwargs or library() is None:
        return None
    env = plain_env(spec.id, spec.kwargs, max_steps=spec.max_steps)
    try:
        made = vectorised_parts(spec, env)
        return None if made is None else _built(spec, *made, num_envs, threads)
    finally:
        env.close()


def vectorised_parts(spec: EnvSpec, env: Any) -> tuple[Robot, BatchCard] | None:
    """Returns an environment's rules, and its card over arrays.

    None where the rules are not known here, or the card has no such form.

    Raises:
        ConfigError: the card does not fit the environment.
    """
    kind = robots().get(_plain_class(env))
    if kind is None:
        return None
    bare = env.unwrapped
    bind(spec, env)  # says what is wrong with a card
    robot = kind(bare)
    try:
        return robot, BatchCard(spec, bare.model, _infos(robot, bare.model))
    except Unsupported:
        return None


def _built(spec: EnvSpec, robot: Robot, card: BatchCard, num_envs: int, threads: int) -> PhysicsEnv:
    model = lean(spec.id, robot.env, card.contacts)
    after = ["mj_rnePostConstraint"] if robot.forces else []
    if card.contacts and _moves_on_after_sensors(model):
        after.append("mj_sensorPos")
    worlds = Worlds(model, num_envs, threads, after)
    for field in sorted(card.fields.union(robot.fields)):
        worlds.read(field)
    return PhysicsEnv(spec, robot, card, worlds, num_envs)


def _infos(robot: Robot, model: Any) -> frozenset[str]:
    """Asks the robot about one simulation at rest which numbers its info has."""
    probe = Worlds(model, 1, 1)
    for field in robot.fields:
        probe.read(field)
    return known_info(robot, probe.now)


def _moves_on_after_sensors(model: Any) -> bool:
    """Whether a step recomputes contacts after it read the sensors, as Runge-Kutta's stages do."""
    import mujoco

    return bool(model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4)


def _plain_class(env: Any) -> str:
    """Returns ``module:Class`` of an environment that has none but Gymnasium's usual wrappers."""
    from gymnasium.wrappers import OrderEnforcing, TimeLimit

    while hasattr(env, "env"):
        if type(env) not in (OrderEnforcing, TimeLimit):
            return ""
        env = env.env
    return f"{type(env).__module__}:{type(env).__name__}"


@cache
def robots() -> dict[str, type[Robot]]:
    """Returns the robots by the environments whose rules they know."""
    from rewardsmith.envs.vector import bodies
    from rewardsmith.envs.vector import robots as plain

    known = {
        "half_cheetah_v5:HalfCheetahEnv": plain.HalfCheetah,
        "hopper_v5:HopperEnv": plain.Hopper,
        "walker2d_v5:Walker2dEnv": plain.Walker2d,
        "ant_v5:AntEnv": bodies.Ant,
        "humanoid_v5:HumanoidEnv": bodies.Humanoid,
        "humanoidstandup_v5:HumanoidStandupEnv": bodies.HumanoidStandup,
        "swimmer_v5:SwimmerEnv": plain.Swimmer,
        "reacher_v5:ReacherEnv": plain.Reacher,
        "pusher_v5:PusherEnv": plain.Pusher,
        "inverted_pendulum_v5:InvertedPendulumEnv": plain.InvertedPendulum,
        "inverted_double_pendulum_v5:InvertedDoublePendulumEnv": plain.InvertedDoublePendulum,
    }
    return {f"gymnasium.envs.mujoco.{name}": robot for name, robot in known.items()}
