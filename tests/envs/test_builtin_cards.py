"""The built-in cards say the truth: every field against the simulator's own quantities."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.columns import layout
from rewardsmith.envs.conformance import SuiteConformance
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.recorder import KEY, make_env
from rewardsmith.envs.registry import find_task, task_ids
from rewardsmith.envs.task import Task

_BUILT_IN = sorted(i for i in task_ids() if not i.startswith("rewardsmith/"))


class TestBuiltInTasks(SuiteConformance):
    def tasks(self) -> Iterable[Task]:
        return [find_task(name) for name in _BUILT_IN]


def _played(env_id: str, steps: int = 120) -> Iterable[tuple[Any, dict[str, Any], dict[str, Any]]]:
    """Yields the unwrapped environment, fields after and fields before, under random actions."""
    spec = find_task(env_id).env
    env, act, places = make_env(spec), random_act(spec, 1), layout(spec)
    env.reset(seed=3)
    for _ in range(steps):
        _, _, terminated, truncated, info = env.step(act(None))
        after, before = (
            {n: v[0] for n, v in places.split(row[None]).items()}
            for row in (info[KEY].after, info[KEY].before)
        )
        yield env.unwrapped, after, before
        if terminated or truncated:
            env.reset()


def _posed(bare: Any) -> Any:
    """The simulation with all derived quantities of the state now (stepping leaves them behind)."""
    import mujoco

    data = mujoco.MjData(bare.model)
    data.qpos[:], data.qvel[:] = bare.data.qpos, bare.data.qvel
    mujoco.mj_forward(bare.model, data)
    return data


@pytest.mark.parametrize("env_id", ["Hopper-v5", "Walker2d-v5", "HalfCheetah-v5"])
def test_planar_robots_have_height_pitch_and_velocity(env_id: str) -> None:
    dt = find_task(env_id).env.dt
    for bare, after, before in _played(env_id):
        torso = _posed(bare).body("torso")
        up = torso.xmat.reshape(3, 3)[:, 2]
        assert after["torso_height"] == pytest.approx(torso.xpos[2], abs=1e-9)
        # Leaning forward turns the up axis towards positive x.
        assert math.sin(after["torso_pitch"]) == pytest.approx(up[0], abs=1e-9)
        moved = after["x_position"] - before["x_position"]
        assert after["forward_velocity"] * dt == pytest.approx(moved, abs=1e-3 + 0.5 * abs(moved))


def test_the_cheetahs_uprightness_is_its_up_axis() -> None:
    for bare, after, _ in _played("HalfCheetah-v5"):
        up = _posed(bare).body("torso").xmat.reshape(3, 3)[2, 2]
        assert after["torso_up"] == pytest.approx(up, abs=1e-9)


def test_the_ants_attitude_comes_from_its_quaternion() -> None:
    for bare, after, _ in _played("Ant-v5"):
        turned = _posed(bare).body("torso").xmat.reshape(3, 3)
        assert after["torso_up"] == pytest.approx(turned[2, 2], abs=1e-9)
        assert after["heading"] == pytest.approx(math.atan2(turned[1, 0], turned[0, 0]), abs=1e-9)


def test_the_ants_angular_velocity_is_in_its_own_axes() -> None:
    import mujoco

    for bare, after, _ in _played("Ant-v5", 40):
        data, found = _posed(bare), np.zeros(6)
        body = bare.model.body("torso").id
        mujoco.mj_objectVelocity(bare.model, data, mujoco.mjtObj.mjOBJ_XBODY, body, found, 1)
        assert after["angular_velocity"] == pytest.approx(found[:3], abs=1e-9)


def test_the_ants_legs_stand_where_the_card_says() -> None:
    env: Any = make_env(find_task("Ant-v5").env)
    env.reset(seed=0)
    bare = env.unwrapped
    feet = ["left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom"]
    middle = bare.data.body("torso").xpos
    signs = [tuple(np.sign(bare.data.geom(f).xpos - middle)[:2]) for f in feet]
    assert signs == [(1, 1), (-1, 1), (-1, -1), (1, -1)]


def test_the_pendulums_tip_is_where_the_simulator_has_it() -> None:
    for bare, after, _ in _played("InvertedDoublePendulum-v5"):
        tip = _posed(bare).site("tip").xpos
        assert after["tip_height"] == pytest.approx(tip[2], abs=1e-9)
        assert after["tip_offset"] + after["cart_position"] == pytest.approx(tip[0], abs=1e-9)


def test_the_reachers_fingertip_and_distance_are_the_simulators() -> None:
    for bare, after, _ in _played("Reacher-v5"):
        data = _posed(bare)
        tip, target = data.body("fingertip").xpos, data.body("target").xpos
        assert after["fingertip"] == pytest.approx(tip[:2], abs=1e-9)
        assert after["target"] == pytest.approx(target[:2], abs=1e-9)
        assert after["distance"] == pytest.approx(np.linalg.norm(tip - target), abs=1e-9)


@pytest.mark.parametrize("env_id", ["LunarLander-v3", "LunarLander-v3-continuous"])
def test_the_landers_fields_are_in_metres_and_seconds(env_id: str) -> None:
    for bare, after, _ in _played(env_id, 300):
        body = bare.lander
        assert after["x"] == pytest.approx(body.position.x - 10.0, abs=1e-5)
        ground = bare.helipad_y + 18.0 / 30.0
        assert after["height"] == pytest.approx(body.position.y - ground, abs=1e-5)
        assert after["x_velocity"] == pytest.approx(body.linearVelocity.x, abs=1e-5)
        assert after["vertical_velocity"] == pytest.approx(body.linearVelocity.y, abs=1e-5)
        assert after["angle"] == pytest.approx(body.angle, abs=1e-5)
        assert after["angular_velocity"] == pytest.approx(body.angularVelocity, abs=1e-5)
        assert (bare.helipad_x1, bare.helipad_x2) == (8.0, 12.0)


@pytest.mark.parametrize(
    ("env_id", "left", "right"),
    [
        ("LunarLander-v3", 1, 3),
        ("LunarLander-v3-continuous", np.array([-1.0, -1.0]), np.array([-1.0, 1.0])),
    ],
)
def test_the_landers_side_engines_turn_it_as_the_card_says(
    env_id: str, left: Any, right: Any
) -> None:
    def turned(action: Any) -> float:
        env: Any = make_env(find_task(env_id).env)
        env.reset(seed=0)
        start = env.unwrapped.lander.angularVelocity
        for _ in range(5):
            env.step(action)
        return float(env.unwrapped.lander.angularVelocity - start)

    assert turned(left) > 0.1
    assert turned(right) < -0.1


@pytest.mark.parametrize("env_id", ["LunarLander-v3", "LunarLander-v3-continuous"])
def test_a_known_good_pilot_lands(env_id: str) -> None:
    from gymnasium.envs.box2d import lunar_lander

    pilot: Any = lunar_lander.heuristic

    task = find_task(env_id)
    bare: Any = make_env(task.env).unwrapped
    scores = judge(task, rollout(task.env, lambda obs: pilot(bare, obs), range(6)))
    assert sum(s.fitness for s in scores) / len(scores) > 0.9
    assert all(s.success == (s.fitness == 1.0) for s in scores)


def test_pushing_along_the_velocity_reaches_the_goal() -> None:
    task = find_task("MountainCarContinuous-v0")

    def act(obs: Any) -> Any:
        return np.array([1.0 if obs[1] >= 0.0 else -1.0], dtype=np.float32)

    assert all(s.success for s in judge(task, rollout(task.env, act, range(3))))


def test_the_walkers_fields_are_the_simulators() -> None:
    for bare, after, _ in _played("BipedalWalker-v3", 200):
        hull, joints = bare.hull, bare.joints
        assert after["hull_angle"] == pytest.approx(hull.angle, abs=1e-5)
        assert after["hull_angular_velocity"] == pytest.approx(hull.angularVelocity, abs=1e-5)
        assert after["forward_velocity"] == pytest.approx(hull.linearVelocity.x, abs=1e-5)
        assert after["vertical_velocity"] == pytest.approx(hull.linearVelocity.y, abs=1e-5)
        assert after["hip_angles"] == pytest.approx([joints[0].angle, joints[2].angle], abs=1e-5)
        assert after["knee_angles"] == pytest.approx([joints[1].angle, joints[3].angle], abs=1e-5)
        assert after["hip_velocities"] == pytest.approx(
            [joints[0].speed, joints[2].speed], abs=1e-4
        )


def test_the_cars_height_and_energy_are_consistent_without_force() -> None:
    spec = find_task("MountainCarContinuous-v0").env
    (episode,) = rollout(spec, lambda obs: np.zeros(1, dtype=np.float32), [0], max_steps=100)
    energy = episode.steps.after["energy"]
    assert np.ptp(energy) < 2e-4
    assert episode.steps.after["height"].min() == pytest.approx(0.1, abs=1e-3)


def test_a_short_prompt_suffices_for_every_card() -> None:
    for name in _BUILT_IN:
        fields = find_task(name).env.fields
        assert 4 <= len(fields) <= 16, name
