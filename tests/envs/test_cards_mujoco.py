"""The cards of the MuJoCo tasks say what the simulator holds, checked by its own kinematics."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import mujoco
import numpy as np
import pytest

from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.columns import layout
from rewardsmith.envs.recorder import Recorder, make_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import FloatArray, Task

RUNNERS = ("Hopper-v5", "Walker2d-v5", "HalfCheetah-v5", "Ant-v5")
ALL = (*RUNNERS, "InvertedDoublePendulum-v5", "Reacher-v5")
JOINTS = {
    "Hopper-v5": {"joint": "thigh_joint leg_joint foot_joint"},
    "Walker2d-v5": {
        "right_joint": "thigh_joint leg_joint foot_joint",
        "left_joint": "thigh_left_joint leg_left_joint foot_left_joint",
    },
    "HalfCheetah-v5": {"joint": "bthigh bshin bfoot fthigh fshin ffoot"},
    "Ant-v5": {"joint": "hip_1 ankle_1 hip_2 ankle_2 hip_3 ankle_3 hip_4 ankle_4"},
    "Reacher-v5": {"joint": "joint0 joint1"},
}
FEET = {
    "Hopper-v5": {"foot_contact": "foot_geom"},
    "Walker2d-v5": {
        "right_foot_contact": "foot_geom",
        "left_foot_contact": "foot_left_geom",
    },
    "HalfCheetah-v5": {"back_foot_contact": "bfoot", "front_foot_contact": "ffoot"},
    "Ant-v5": {
        "foot_contacts": "left_ankle_geom right_ankle_geom third_ankle_geom fourth_ankle_geom"
    },
}


class Seen(NamedTuple):
    """One moment: the card's fields, and the simulator brought up to date with its positions."""

    fields: dict[str, FloatArray]
    now: Any
    live: Any
    model: Any


@pytest.fixture(autouse=True)
def quiet_simulator(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes MUJOCO_LOG.TXT into the current folder."""
    monkeypatch.chdir(tmp_path)


@contextmanager
def opened(task: Task) -> Iterator[Recorder]:
    env = make_env(task.env)
    try:
        yield env
    finally:
        env.close()


def moments(env_id: str, steps: int = 40) -> list[Seen]:
    """Random actions from seed 3, restarting where an episode ends; resets are moments too."""
    task = find_task(env_id)
    found: list[Seen] = []
    with opened(task) as env:
        model, live = env.unwrapped.model, env.unwrapped.data  # type: ignore[attr-defined]
        env.action_space.seed(3)
        over, seed = True, 3
        for _ in range(steps):
            if over:
                _, info = env.reset(seed=seed)
                over, seed = False, seed + 1
            else:
                _, _, ended, cut, info = env.step(env.action_space.sample())
                over = ended or cut
            flat = info["rewardsmith"].after
            fields = {k: v[0] for k, v in layout(task.env).split(flat[None]).items()}
            now = mujoco.MjData(model)
            now.qpos[:], now.qvel[:] = live.qpos, live.qvel
            mujoco.mj_forward(model, now)
            found.append(Seen(fields, now, pairs(live), model))
    return found


def pairs(data: Any) -> set[frozenset[int]]:
    return {frozenset(map(int, data.contact[i].geom)) for i in range(data.ncon)}


@pytest.mark.parametrize("env_id", ALL)
def test_the_card_loads_with_its_text_units_and_limits(env_id: str) -> None:
    task = find_task(env_id)
    with opened(task) as env:
        assert task.env.dt == pytest.approx(env.unwrapped.dt)  # type: ignore[attr-defined]
        assert env.spec is not None
        assert task.env.max_steps == env.spec.max_episode_steps
    assert task.text
    assert task.fitness_unit in {"m", "s"}
    assert set(task.env.action.low) == {-1.0}
    assert set(task.env.action.high) == {1.0}


@pytest.mark.parametrize("env_id", ALL)
def test_no_term_of_the_environments_own_reward_is_a_field(env_id: str) -> None:
    task = find_task(env_id)
    names = {item.name for item in (*task.env.fields, *task.env.hidden)}
    assert not [name for name in names if "reward" in name or "cost" in name]
    assert "x_position" not in {item.name for item in task.env.fields}
    assert not [item for item in task.env.fields if "reward" in item.source]


@pytest.mark.parametrize("env_id", JOINTS)
def test_joint_fields_are_the_joints_that_they_name(env_id: str) -> None:
    for seen in moments(env_id, 10):
        for field, joints in JOINTS[env_id].items():
            handles = [seen.now.joint(name) for name in joints.split()]
            np.testing.assert_array_equal(
                seen.fields[f"{field}_angles"], [h.qpos[0] for h in handles]
            )
            np.testing.assert_array_equal(
                seen.fields[f"{field}_velocities"], [h.qvel[0] for h in handles]
            )


@pytest.mark.parametrize("env_id", FEET)
def test_foot_contacts_are_the_simulators_contacts_with_the_floor(env_id: str) -> None:
    values: set[float] = set()
    for seen in moments(env_id, 120):
        for field, geoms in FEET[env_id].items():
            feet = [seen.model.geom(name).id for name in geoms.split()]
            floor = seen.model.geom("floor").id
            expected = [float(frozenset((foot, floor)) in seen.live) for foot in feet]
            np.testing.assert_array_equal(np.atleast_1d(seen.fields[field]), expected)
            values |= set(expected)
    assert values == {0.0, 1.0}, "the test must see feet on the floor and in the air"


@pytest.mark.parametrize("env_id", RUNNERS)
def test_the_torso_is_as_high_as_the_simulator_puts_it(env_id: str) -> None:
    for seen in moments(env_id):
        assert seen.fields["torso_height"] == pytest.approx(seen.now.body("torso").xpos[2])


@pytest.mark.parametrize("env_id", ["Hopper-v5", "Walker2d-v5", "HalfCheetah-v5"])
def test_positive_pitch_leans_forward(env_id: str) -> None:
    for seen in moments(env_id):
        up = seen.now.body("torso").xmat.reshape(3, 3)[:, 2]
        assert np.sin(seen.fields["torso_pitch"]) == pytest.approx(up[0])
        assert np.cos(seen.fields["torso_pitch"]) == pytest.approx(up[2])
        if "torso_up" in seen.fields:
            assert seen.fields["torso_up"] == pytest.approx(up[2])


def test_ant_orientation_holds_at_resets_too() -> None:
    seen = moments("Ant-v5", 60)
    assert abs(float(np.linalg.norm(seen[0].now.qpos[3:7])) - 1.0) > 0.01
    for moment in seen:
        axes = moment.now.body("torso").xmat.reshape(3, 3)
        assert moment.fields["torso_up"] == pytest.approx(axes[2, 2])
        assert moment.fields["heading"] == pytest.approx(np.arctan2(axes[1, 0], axes[0, 0]))


def test_ant_turns_are_about_its_own_axes() -> None:
    for seen in moments("Ant-v5", 20)[1:]:
        velocity = np.zeros(6)
        torso = seen.model.body("torso").id
        mujoco.mj_objectVelocity(
            seen.model, seen.now, mujoco.mjtObj.mjOBJ_XBODY, torso, velocity, 1
        )
        np.testing.assert_allclose(seen.fields["angular_velocity"], velocity[:3], atol=1e-9)


@pytest.mark.parametrize("env_id", RUNNERS)
def test_forward_velocity_sums_to_the_distance(env_id: str) -> None:
    task = find_task(env_id)
    (episode,) = rollout(task.env, random_act(task.env, 1), [1], max_steps=50)
    steps = episode.steps
    metres = steps.after["x_position"][-1] - steps.before["x_position"][0]
    # Ant's own speed is of the body as of the last substep, so half a substep's way may be missing.
    tolerance = 0.02 if env_id == "Ant-v5" else 1e-9
    assert steps.after["forward_velocity"].sum() * episode.dt == pytest.approx(
        metres, abs=tolerance
    )
    assert steps.before["forward_velocity"][0] == 0.0


def test_pendulum_tip_is_where_the_simulator_puts_it() -> None:
    for seen in moments("InvertedDoublePendulum-v5", 30):
        x, _, z = seen.now.site("tip").xpos
        fields = seen.fields
        assert fields["tip_height"] == pytest.approx(z)
        assert fields["tip_position"] == pytest.approx(x)
        assert fields["tip_offset"] == pytest.approx(x - seen.now.body("cart").xpos[0])
        assert fields["fallen"] == float(z <= 1.0)


def test_pendulum_angles_are_both_to_the_vertical() -> None:
    for seen in moments("InvertedDoublePendulum-v5", 30):
        for name, body in (("lower", "pole"), ("upper", "pole2")):
            along = seen.now.body(body).xmat.reshape(3, 3)[:, 2]
            assert np.sin(seen.fields[f"{name}_angle"]) == pytest.approx(along[0])
            spin = np.zeros(6)
            mujoco.mj_objectVelocity(
                seen.model, seen.now, mujoco.mjtObj.mjOBJ_XBODY, seen.model.body(body).id, spin, 0
            )
            assert seen.fields[f"{name}_velocity"] == pytest.approx(spin[1])


def test_reacher_knows_fingertip_target_and_the_way_between() -> None:
    for seen in moments("Reacher-v5", 60):
        tip = seen.now.body("fingertip").xpos[:2]
        target = seen.now.body("target").xpos[:2]
        fields = seen.fields
        np.testing.assert_allclose(fields["fingertip"], tip, atol=1e-12)
        np.testing.assert_allclose(fields["target"], target, atol=1e-12)
        np.testing.assert_allclose(fields["to_target"], target - tip, atol=1e-12)
        assert fields["distance"] == pytest.approx(float(np.hypot(*(target - tip))))
        assert fields["miss"] == fields["distance"]


def test_reacher_fingertip_velocity_is_the_simulators() -> None:
    for seen in moments("Reacher-v5", 20):
        velocity = np.zeros(6)
        tip = seen.model.body("fingertip").id
        mujoco.mj_objectVelocity(seen.model, seen.now, mujoco.mjtObj.mjOBJ_XBODY, tip, velocity, 0)
        np.testing.assert_allclose(seen.fields["fingertip_velocity"], velocity[3:5], atol=1e-9)


@pytest.mark.parametrize(
    ("env_id", "joint", "geom"),
    [
        ("Hopper-v5", "thigh_joint", "leg_geom"),
        ("Hopper-v5", "leg_joint", "foot_geom"),
        ("Walker2d-v5", "thigh_left_joint", "leg_left_geom"),
    ],
)
def test_negative_hips_and_knees_move_the_leg_back(env_id: str, joint: str, geom: str) -> None:
    with opened(find_task(env_id)) as env:
        model = env.unwrapped.model  # type: ignore[attr-defined]
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        straight = float(data.geom(geom).xpos[0])
        data.joint(joint).qpos[0] = -0.3
        mujoco.mj_forward(model, data)
        assert data.geom(geom).xpos[0] < straight - 0.05


@pytest.mark.parametrize(
    ("env_id", "low", "lean"), [("Hopper-v5", 0.7, 0.2), ("Walker2d-v5", 0.8, 1.0)]
)
def test_episodes_end_where_the_description_says(env_id: str, low: float, lean: float) -> None:
    task = find_task(env_id)
    for episode in rollout(task.env, random_act(task.env, 0), range(3)):
        after = episode.steps.after
        fallen = (after["torso_height"] <= low) | (np.abs(after["torso_pitch"]) >= lean)
        np.testing.assert_array_equal(fallen, episode.steps.terminated)
        assert fallen[-1]
