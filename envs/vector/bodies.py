"""Gymnasium's MuJoCo robots whose observation and reward hold contact forces."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.envs.vector.robots import Outcome, Robot, between, control_cost, in_plane
from rewardsmith.envs.vector.worlds import Moment


class Ant(Robot):
    """Paid for speed along x and for a torso at the right height; ends where it is not."""

    fields: ClassVar[tuple[str, ...]] = ("xpos", "cfrc_ext")
    forces = True
    hidden_positions = 2

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._main = int(env.data.body(env._main_body).id) * 3

    def _velocity(self, rng: np.random.Generator, noise: float) -> FloatArray:
        drawn: FloatArray = noise * rng.standard_normal(self.env.model.nv)
        return drawn

    def anchor(self, now: Moment) -> FloatArray:
        """Returns (n, 2) positions of the main body."""
        return now.fields["xpos"][:, self._main : self._main + 2].copy()

    def _forces(self, now: Moment) -> FloatArray:
        low, high = self.env._contact_force_range
        forces: FloatArray = self.xp.clip(now.fields["cfrc_ext"], low, high)
        return forces

    def observe(self, now: Moment) -> FloatArray:
        """Returns positions but x and y, velocities and clipped contact forces."""
        seen = [self._shown(now.qpos), now.qvel]
        if self.env._include_cfrc_ext_in_observation:
            seen.append(self._forces(now)[:, 6:])
        return self.joined(*seen)

    def healthy(self, now: Moment) -> BoolArray:
        """Returns (n,) whether the state is finite and the height within bounds."""
        low, high = self.env._healthy_z_range
        height = now.qpos[:, 2]
        finite = self.xp.isfinite(now.qpos).all(axis=1) & self.xp.isfinite(now.qvel).all(axis=1)
        healthy: BoolArray = self.xp.asarray(finite & (low <= height) & (height <= high))
        return healthy

    def costs(
        self, now: Moment, actions: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Returns (n,) prices of the action and of contact."""
        contact = self.xp.square(self._forces(now)).sum(axis=1)
        price = control_cost(self.env._ctrl_cost_weight, actions)
        return price, self.env._contact_cost_weight * contact

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        velocity = (after - before) / self.dt
        forward = self.env._forward_reward_weight * velocity[:, 0]
        healthy = self.healthy(now)
        alive = healthy * self.env._healthy_reward
        control, contact = self.costs(now, actions)
        terms = {
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_forward": forward,
            "reward_ctrl": -control,
            "reward_contact": -contact,
            "reward_survive": alive,
        }
        ended = ~healthy & self.env._terminate_when_unhealthy
        paid = forward + alive - (control + contact)
        return Outcome(paid, ended, terms | self.places(now))

    def places(self, now: Moment) -> dict[str, FloatArray]:
        """Returns position and distance."""
        return in_plane(now, self.norm)


class Humanoid(Ant):
    """As Ant, by the centre of mass, and with inertias and actuator forces in sight."""

    fields: ClassVar[tuple[str, ...]] = ("xipos", "cinert", "cvel", "qfrc_actuator", "cfrc_ext")

    def __init__(self, env: Any) -> None:
        Robot.__init__(self, env)
        self._mass: FloatArray = env.model.body_mass

    def _velocity(self, rng: np.random.Generator, noise: float) -> FloatArray:
        return Robot._velocity(self, rng, noise)

    def anchor(self, now: Moment) -> FloatArray:
        """Returns (n, 2) positions of the centre of mass."""
        places = now.fields["xipos"].reshape(len(now.qpos), -1, 3)
        moment = self.xp.einsum("b,nbj->nj", self._mass, places)
        centre: FloatArray = (moment / self._mass.sum())[:, :2].copy()
        return centre

    def observe(self, now: Moment) -> FloatArray:
        """Returns positions but x and y, velocities, and what else the environment includes."""
        env, seen = self.env, [self._shown(now.qpos), now.qvel]
        for asked, name, skipped in (
            (env._include_cinert_in_observation, "cinert", 10),
            (env._include_cvel_in_observation, "cvel", 6),
            (env._include_qfrc_actuator_in_observation, "qfrc_actuator", 6),
            (env._include_cfrc_ext_in_observation, "cfrc_ext", 6),
        ):
            if asked is True:
                seen.append(now.fields[name][:, skipped:])
        return self.joined(*seen)

    def healthy(self, now: Moment) -> BoolArray:
        """Returns (n,) whether the height is within bounds."""
        low, high = self.env._healthy_z_range
        return between(low, now.qpos[:, 2], high)

    def costs(
        self, now: Moment, actions: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Returns (n,) prices of the controls and of contact."""
        contact = self.env._contact_cost_weight * self.xp.square(now.fields["cfrc_ext"]).sum(axis=1)
        price = control_cost(self.env._ctrl_cost_weight, now.ctrl)
        return price, self.xp.clip(contact, *self.env._contact_cost_range)


class HumanoidStandup(Humanoid):
    """Paid for height; never ends."""

    def anchor(self, now: Moment) -> FloatArray:
        """Returns (n, 1) positions that nothing needs."""
        return Robot.anchor(self, now)

    def judge(
        self, now: Moment, before: FloatArray, after: FloatArray, actions: npt.NDArray[Any]
    ) -> Outcome:
        """Returns reward, termination and info."""
        env = self.env
        up = (now.qpos[:, 2] - 0) / env.model.opt.timestep
        control = control_cost(env._ctrl_cost_weight, now.ctrl)
        impact = env._impact_cost_weight * self.xp.square(now.fields["cfrc_ext"]).sum(axis=1)
        impact = self.xp.clip(impact, *env._impact_cost_range)
        never = self.xp.zeros(len(up), dtype=np.bool_)
        terms = {"reward_linup": up, "reward_quadctrl": -control, "reward_impact": -impact}
        return Outcome(up - control - impact + 1, never, terms | self.places(now))

    def places(self, now: Moment) -> dict[str, FloatArray]:
        """Returns position and height over the start."""
        x, y, z = (now.qpos[:, i] for i in range(3))
        height = z - self.env.init_qpos[2]
        return {"x_position": x, "y_position": y, "z_distance_from_origin": height}
