"""What Gymnasium's MuJoCo environments show, pay and end on, over many simulations at once.

Every number equals Gymnasium's to the bit, so sums are taken in its order and in its types (the
price of an action in the type of the action, float32 from most policies).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.envs.vector.exact import norm, power
from rewardsmith.envs.vector.worlds import Moment


@dataclass(frozen=True)
class Outcome:
    """What a step paid and ended, (n,) each, and the numbers of its ``info`` by key."""

    reward: FloatArray
    terminated: BoolArray
    info: Mapping[str, FloatArray] = field(default_factory=dict)


class Robot:
    """One Gymnasium environment's rules; its parameters are those of the environment given.

    ``fields`` are the MjData fields that are read, ``forces`` says whether contact forces are among
    them. ``anchor`` is what velocities over a step are differences of.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    forces = False
    hidden_positions = 1
    xp: Any = np
    power: Callable[[FloatArray, int], FloatArray] = staticmethod(power)
    norm: Callable[[FloatArray], FloatArray] = staticmethod(norm)

    def __init__(self, env: Any) -> None:
        self.env = env
        self.dt: float = env.dt

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Returns qpos and qvel of a new episode, by Gymnasium's own draws in its order."""
        env, noise = self.env, self.env._reset_noise_scale
        qpos = env.init_qpos + rng.uniform(low=-noise, high=noise, size=env.model.nq)
        return qpos, env.init_qvel + self._velocity(rng, noise)

    def _velocity(self, rng: np.random.Generator, noise: float) -> FloatArray:
        drawn: FloatArray = rng.uniform(low=-noise, high=noise, size=self.env.model.nv)
        return drawn

    def anchor(self, now: Moment) -> FloatArray:
        """Returns (n, k) positions; copies."""
        return now.qpos[:, :1].copy()

    def observe(self, now: Moment) -> FloatArray:
        """Returns (n, D) observations; copies."""
        return self.joined(self._shown(now.qpos), now.qvel)

    def joined(self, *parts: FloatArray) -> FloatArray:
        """Returns columns (n, k) side by side; a new array."""
        together: FloatArray = self.xp.concatenate(parts, axis=1)
        return together

    def _shown(self, qpos: FloatArray) -> FloatArray:
        excluded = self.env._exclude_current_positions_from_observation
        return qpos[:, self.hidden_positions :] if excluded else qpos

    def places(self, now: Moment) -> dict[str, FloatArray]:
        """Returns the numbers of the info that a reset gives, too."""
        return {}

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info of the step that led to ``now``.

        Args:
            now: the readings after the step.
            before: the anchor before the step.
            after: the anchor after it.
            actions: (n, nu) as they were given.
        """
        raise NotImplementedError


def control_cost(weight: float, actions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns (n,) weighted sums of squares, in the actions' type as Gymnasium's."""
    cost: npt.NDArray[Any] = weight * (actions * actions).sum(axis=1)
    return cost


def between(low: float, values: FloatArray, high: float) -> BoolArray:
    """Returns where ``low < value < high``."""
    inside: BoolArray = (low < values) & (values < high)
    return inside


class HalfCheetah(Robot):
    """Paid for speed along x; never ends."""

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        velocity = (after[:, 0] - before[:, 0]) / self.dt
        forward = self.env._forward_reward_weight * velocity
        cost = control_cost(self.env._ctrl_cost_weight, actions)
        never = self.xp.zeros(len(velocity), dtype=np.bool_)
        terms = {"x_velocity": velocity, "reward_forward": forward, "reward_ctrl": -cost}
        return Outcome(forward - cost, never, terms | self.places(now))

    def places(self, now: Moment) -> dict[str, FloatArray]:
        """Returns the position."""
        return {"x_position": now.qpos[:, 0]}

    def _velocity(self, rng: np.random.Generator, noise: float) -> FloatArray:
        drawn: FloatArray = noise * rng.standard_normal(self.env.model.nv)
        return drawn


class Swimmer(HalfCheetah):
    """As HalfCheetah, in the plane."""

    hidden_positions = 2

    def anchor(self, now: Moment) -> FloatArray:
        """Returns (n, 2) positions."""
        return now.qpos[:, :2].copy()

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        paid = super().judge(now, before, after, actions)
        sideways = (after[:, 1] - before[:, 1]) / self.dt
        return Outcome(paid.reward, paid.terminated, {**paid.info, "y_velocity": sideways})

    def places(self, now: Moment) -> dict[str, FloatArray]:
        """Returns position and distance."""
        return in_plane(now, self.norm)

    def _velocity(self, rng: np.random.Generator, noise: float) -> FloatArray:
        return Robot._velocity(self, rng, noise)


def in_plane(now: Moment, norm: Callable[[FloatArray], FloatArray]) -> dict[str, FloatArray]:
    """Returns the info of robots that move in the plane; ``norm`` as of `Robot`."""
    return {
        "x_position": now.qpos[:, 0],
        "y_position": now.qpos[:, 1],
        "distance_from_origin": norm(now.qpos[:, :2]),
    }


class Walker2d(Robot):
    """Paid for speed along x and for being upright; ends with a fall."""

    def healthy(self, now: Moment) -> BoolArray:
        """Returns (n,) whether height and lean are within bounds."""
        (low, high), (back, front) = self.env._healthy_z_range, self.env._healthy_angle_range
        return between(low, now.qpos[:, 1], high) & between(back, now.qpos[:, 2], front)

    def observe(self, now: Moment) -> FloatArray:
        """Returns positions but x, and clipped velocities."""
        return self.joined(self._shown(now.qpos), self.xp.clip(now.qvel, -10, 10))

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        velocity = (after[:, 0] - before[:, 0]) / self.dt
        forward = self.env._forward_reward_weight * velocity
        healthy = self.healthy(now)
        alive = healthy * self.env._healthy_reward
        cost = control_cost(self.env._ctrl_cost_weight, actions)
        terms = {
            "x_velocity": velocity,
            "reward_forward": forward,
            "reward_ctrl": -cost,
            "reward_survive": alive,
        }
        ended = ~healthy & self.env._terminate_when_unhealthy
        return Outcome(forward + alive - cost, ended, terms | self.places(now))

    def places(self, now: Moment) -> dict[str, FloatArray]:
        """Returns position and height over the start."""
        height = now.qpos[:, 1] - self.env.init_qpos[1]
        return {"x_position": now.qpos[:, 0], "z_distance_from_origin": height}


class Hopper(Walker2d):
    """As Walker2d; ends, too, when a number of the state leaves its range."""

    def healthy(self, now: Moment) -> BoolArray:
        """Returns (n,) whether height, lean and the whole state are within bounds."""
        low, high = self.env._healthy_state_range
        inside = between(low, now.qpos[:, 2:], high).all(axis=1)
        inside &= between(low, now.qvel, high).all(axis=1)
        return inside & super().healthy(now)


class InvertedPendulum(Robot):
    """Paid for every step; ends with a fall."""

    def observe(self, now: Moment) -> FloatArray:
        """Returns positions and velocities."""
        return self.joined(now.qpos, now.qvel)

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        finite = self.xp.isfinite(self.observe(now)).all(axis=1)
        fallen = ~finite | (self.xp.abs(now.qpos[:, 1]) > 0.2)
        alive = (~fallen).astype(float)
        return Outcome(alive, fallen, {"reward_survive": alive})


class InvertedDoublePendulum(Robot):
    """Paid for a high, still tip; ends with a fall."""

    fields: ClassVar[tuple[str, ...]] = ("site_xpos", "qfrc_constraint")

    def _velocity(self, rng: np.random.Generator, noise: float) -> FloatArray:
        drawn: FloatArray = rng.standard_normal(self.env.model.nv) * noise
        return drawn

    def observe(self, now: Moment) -> FloatArray:
        """Returns the cart's position, sines, cosines, velocities and the rail's push."""
        angles = now.qpos[:, 1:].copy()
        velocity = self.xp.clip(now.qvel, -10, 10)
        push = self.xp.clip(now.fields["qfrc_constraint"], -10, 10)[:, :1]
        turned = (self.xp.sin(angles), self.xp.cos(angles))
        return self.joined(now.qpos[:, :1], *turned, velocity, push)

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        x, y = now.fields["site_xpos"][:, 0], now.fields["site_xpos"][:, 2]
        fallen = y <= 1
        far = 0.01 * self.power(x, 2) + self.power(y - 2, 2)
        fast = 1e-3 * self.power(now.qvel[:, 1], 2) + 5e-3 * self.power(now.qvel[:, 2], 2)
        alive = self.env._healthy_reward * (~fallen).astype(float)
        terms = {"reward_survive": alive, "distance_penalty": -far, "velocity_penalty": -fast}
        return Outcome(alive - far - fast, fallen, terms)


class Reacher(Robot):
    """Paid for a fingertip near its target; never ends."""

    fields: ClassVar[tuple[str, ...]] = ("xpos",)
    ends: ClassVar[tuple[str, ...]] = ("fingertip", "target")

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._ids = [int(env.model.body(name).id) * 3 for name in self.ends]

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Returns qpos and qvel of a new episode; the target lies within reach."""
        env = self.env
        qpos = rng.uniform(low=-0.1, high=0.1, size=env.model.nq) + env.init_qpos
        goal = rng.uniform(low=-0.2, high=0.2, size=2)
        while np.linalg.norm(goal) >= 0.2:
            goal = rng.uniform(low=-0.2, high=0.2, size=2)
        qpos[-2:] = goal
        qvel = env.init_qvel + rng.uniform(low=-0.005, high=0.005, size=env.model.nv)
        qvel[-2:] = 0
        return qpos, qvel

    def _body(self, now: Moment, which: int) -> FloatArray:
        first = self._ids[which]
        return now.fields["xpos"][:, first : first + 3]

    def observe(self, now: Moment) -> FloatArray:
        """Returns cosines, sines, target, velocities and the way to the target."""
        angles = now.qpos[:, :2].copy()
        way = (self._body(now, 0) - self._body(now, 1))[:, :2]
        turned = (self.xp.cos(angles), self.xp.sin(angles))
        return self.joined(*turned, now.qpos[:, 2:], now.qvel[:, :2], way)

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        way = self._body(now, 0) - self._body(now, 1)
        near = -self.norm(way) * self.env._reward_dist_weight
        cost = -self.xp.square(actions).sum(axis=1) * self.env._reward_control_weight
        never = self.xp.zeros(len(way), dtype=np.bool_)
        return Outcome(near + cost, never, {"reward_dist": near, "reward_ctrl": cost})


class Pusher(Reacher):
    """Paid for an object near its goal and a hand near the object; never ends."""

    ends = ("object", "tips_arm", "goal")

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Returns qpos and qvel of a new episode; the object does not lie on the goal."""
        env = self.env
        qpos = env.init_qpos.copy()
        where = _object(rng)
        while np.linalg.norm(where) <= 0.17:
            where = _object(rng)
        qpos[-4:-2] = where
        qpos[-2:] = 0
        qvel = env.init_qvel + rng.uniform(low=-0.005, high=0.005, size=env.model.nv)
        qvel[-4:] = 0
        return qpos, qvel

    def observe(self, now: Moment) -> FloatArray:
        """Returns the arm's angles and velocities, and the three positions."""
        places = (self._body(now, 1), self._body(now, 0), self._body(now, 2))
        return self.joined(now.qpos[:, :7], now.qvel[:, :7], *places)

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        thing, hand, goal = (self._body(now, i) for i in range(3))
        near = -self.norm(thing - hand) * self.env._reward_near_weight
        far = -self.norm(thing - goal) * self.env._reward_dist_weight
        cost = -self.xp.square(actions).sum(axis=1) * self.env._reward_control_weight
        never = self.xp.zeros(len(near), dtype=np.bool_)
        terms = {"reward_dist": far, "reward_ctrl": cost, "reward_near": near}
        return Outcome(far + cost + near, never, terms)


def _object(rng: np.random.Generator) -> FloatArray:
    along, across = rng.uniform(low=-0.3, high=0, size=1), rng.uniform(low=-0.2, high=0.2, size=1)
    return np.concatenate([along, across])
