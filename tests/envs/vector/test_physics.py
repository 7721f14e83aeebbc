"""Vectorised physics gives Gymnasium's numbers to the bit."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec
from rewardsmith.envs.vector import BatchedEnv, Transition, make_batched
from rewardsmith.envs.vector.loop import LoopEnv
from rewardsmith.envs.vector.physics import PhysicsEnv, physics_batch
from rewardsmith.errors import ConfigError

ROBOTS = (
    "HalfCheetah-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "Ant-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "Swimmer-v5",
    "Reacher-v5",
    "Pusher-v5",
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
)
WITHOUT_NOISE = ("Reacher-v5", "Pusher-v5")


@pytest.fixture(autouse=True)
def quiet_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes MUJOCO_LOG.TXT into the current folder."""
    monkeypatch.chdir(tmp_path)


def physics(spec: EnvSpec, count: int, threads: int = 2) -> PhysicsEnv:
    made = physics_batch(spec, count, threads)
    assert made is not None
    return made


def actions(spec: EnvSpec, count: int, rng: np.random.Generator) -> Any:
    size = (count, *spec.action.shape)
    return rng.uniform(spec.action.low, spec.action.high, size).astype(np.float32)


def differences(one: Transition, two: Transition) -> list[str]:
    """Names of what is not the same to the bit, type included."""
    pairs = {f.name: (getattr(one, f.name), getattr(two, f.name)) for f in fields(Transition)}
    return [n for n, (a, b) in pairs.items() if a.dtype != b.dtype or a.tobytes() != b.tobytes()]


def assert_equal_for(steps: int, one: BatchedEnv, two: BatchedEnv) -> None:
    seeds, rng = range(one.num_envs), np.random.default_rng(0)
    assert one.reset(seeds).tobytes() == two.reset(seeds).tobytes()
    for step in range(steps):
        given = actions(one.spec, one.num_envs, rng)
        assert differences(one.step(given), two.step(given)) == [], f"step {step}"


def physical_state(env: PhysicsEnv, model: Any, index: int) -> Any:
    """Positions, velocities and warm start, as ``snapshots.capture`` gives them first."""
    kind = mujoco.mjtState
    parts = int(kind.mjSTATE_FULLPHYSICS) | int(kind.mjSTATE_WARMSTART)
    whole = int(kind.mjSTATE_INTEGRATION)
    state = np.empty(mujoco.mj_stateSize(model, parts))
    size = mujoco.mj_stateSize(model, whole)
    mujoco.mj_extractState(model, env.capture(index)[:size], whole, state, parts)
    return state


@pytest.mark.parametrize("env_id", ROBOTS)
def test_a_step_from_a_thousand_states_far_and_wide_differs_by_nothing(env_id: str) -> None:
    spec = find_task(env_id).env
    if env_id not in WITHOUT_NOISE:
        spec = replace(spec, kwargs={"reset_noise_scale": 0.3})
    loop, batch = LoopEnv(spec, 50), physics(spec, 50)
    assert_equal_for(20, loop, batch)
    model: Any = loop._envs[0].unwrapped.model  # type: ignore[attr-defined]
    for index in range(50):
        wanted = loop.capture(index)
        assert wanted is not None
        found = physical_state(batch, model, index)
        assert np.array_equal(found, wanted[: len(found)])
    loop.close()
    batch.close()


@pytest.mark.parametrize("env_id", ROBOTS)
def test_whole_episodes_with_their_ends_and_new_beginnings_are_equal(env_id: str) -> None:
    spec = replace(find_task(env_id).env, max_steps=45)
    assert_equal_for(150, LoopEnv(spec, 3), physics(spec, 3))


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("HalfCheetah-v5", {"ctrl_cost_weight": 0.5, "frame_skip": 2}),
        ("HalfCheetah-v5", {"exclude_current_positions_from_observation": False}),
        ("Hopper-v5", {"terminate_when_unhealthy": False, "healthy_reward": 0.3}),
        ("Walker2d-v5", {"healthy_z_range": (1.1, 1.3), "forward_reward_weight": 2.0}),
        ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.1}),
        ("Ant-v5", {"main_body": "aux_1", "contact_force_range": (-0.5, 2.0)}),
        ("Humanoid-v5", {"include_cvel_in_observation": False, "contact_cost_range": (0.1, 0.2)}),
        ("Reacher-v5", {"reward_dist_weight": 3.0}),
        ("InvertedDoublePendulum-v5", {"healthy_reward": 1.0}),
    ],
)
def test_arguments_of_the_environment_hold(env_id: str, kwargs: dict[str, Any]) -> None:
    spec = find_task(env_id, env_kwargs=kwargs).env
    assert_equal_for(40, LoopEnv(spec, 2), physics(spec, 2))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_price_of_actions_is_that_of_their_type(kind: type) -> None:
    spec = find_task("HalfCheetah-v5").env
    loop, batch = LoopEnv(spec, 2), physics(spec, 2)
    loop.reset([0, 1])
    batch.reset([0, 1])
    given: Any = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 6)).astype(kind)
    assert differences(loop.step(given), batch.step(given)) == []


def test_threads_change_nothing() -> None:
    spec = find_task("Ant-v5").env
    assert_equal_for(30, physics(spec, 5, threads=1), physics(spec, 5, threads=3))


def test_a_reset_with_a_seed_is_that_of_gymnasium() -> None:
    for env_id in ROBOTS:
        env, batch = gymnasium.make(env_id), physics(find_task(env_id).env, 2)
        seen, _ = env.reset(seed=7)
        assert np.array_equal(batch.reset([3, 7])[1], seen)
        env.close()


def test_the_same_seeds_begin_the_same_episodes_and_others_do_not() -> None:
    batch = physics(find_task("Hopper-v5").env, 3)
    first = batch.reset([1, 1, 2])
    assert np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])
    assert np.array_equal(batch.reset([1, 1, 2]), first)


def test_one_seed_is_wanted_for_each_environment() -> None:
    with pytest.raises(ValueError, match="2 seeds for 3 environments"):
        physics(find_task("Hopper-v5").env, 3).reset([1, 2])


def test_what_a_step_gave_is_never_written_to_again() -> None:
    batch = physics(find_task("Hopper-v5").env, 4)
    batch.reset(range(4))
    rng = np.random.default_rng(0)
    steps = [batch.step(actions(batch.spec, 4, rng)) for _ in range(2)]
    kept = [{f.name: getattr(s, f.name).copy() for f in fields(Transition)} for s in steps]
    batch.restore(0, batch.capture(1))
    for _ in range(60):
        batch.step(actions(batch.spec, 4, rng))
    for step, copies in zip(steps, kept, strict=True):
        assert all(np.array_equal(getattr(step, name), copies[name]) for name in copies)


def test_what_the_caller_writes_into_a_step_reaches_no_later_one() -> None:
    spec = find_task("Walker2d-v5").env
    one, two = physics(spec, 2), physics(spec, 2)
    rng = np.random.default_rng(0)
    one.reset([0, 1])[:] = 9.0
    two.reset([0, 1])
    for _ in range(3):
        given = actions(spec, 2, rng)
        spoilt, clean = one.step(given), two.step(given)
        assert differences(spoilt, clean) == []
        for f in fields(Transition):
            getattr(spoilt, f.name)[:] = 1


ENDLESS = {"terminate_when_unhealthy": False}


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [("HalfCheetah-v5", {}), ("Reacher-v5", {}), ("Ant-v5", ENDLESS), ("Humanoid-v5", ENDLESS)],
)
def test_a_restored_environment_goes_on_to_the_bit(env_id: str, kwargs: dict[str, Any]) -> None:
    spec = replace(find_task(env_id, env_kwargs=kwargs).env, max_steps=30)
    batch = physics(spec, 2)
    batch.reset([1, 2])
    rng = np.random.default_rng(0)
    for _ in range(12):
        seen = batch.step(actions(spec, 2, rng)).observation
    state, given = batch.capture(1), actions(spec, 20, rng)
    first = [batch.step(np.stack([a, a])) for a in given]
    other = physics(spec, 2)
    other.reset([3, 4])
    assert np.array_equal(other.restore(0, state), seen[1])
    for one, a in zip(first, given, strict=True):
        two = other.step(np.stack([a, a]))
        for name in ("final_observation", "before", "after", "native_reward", "truncated"):
            assert np.array_equal(getattr(one, name)[1], getattr(two, name)[0]), name
        if one.truncated[1]:
            return
    pytest.fail("the time limit of the restored episode was not reached")


def test_a_snapshot_of_another_robot_is_refused() -> None:
    one, other = physics(find_task("Reacher-v5").env, 1), physics(find_task("Ant-v5").env, 1)
    one.reset([0])
    other.reset([0])
    with pytest.raises(ConfigError, match="shape"):
        other.restore(0, one.capture(0))


def test_a_step_before_the_first_reset_and_actions_of_another_shape_are_refused() -> None:
    batch = physics(find_task("Hopper-v5").env, 2)
    with pytest.raises(ConfigError, match="before the first reset"):
        batch.step(np.zeros((2, 3), dtype=np.float32))
    batch.reset([0, 1])
    with pytest.raises(ConfigError, match=r"\(2, 3\) is wanted"):
        batch.step(np.zeros((2, 4), dtype=np.float32))


def test_what_has_no_such_form_becomes_a_loop() -> None:
    hopper = find_task("Hopper-v5").env
    wrapped = replace(hopper, wrappers=("gymnasium.wrappers:RescaleObservation",))
    assert physics_batch(wrapped, 1, 1) is None
    assert physics_batch(replace(hopper, kwargs={"render_mode": "rgb_array"}), 1, 1) is None
    assert isinstance(make_batched(find_task("CartPole-v1").env, 2), LoopEnv)
    attribute = replace(hopper.fields[0], source="env.init_qpos[1]")
    assert isinstance(make_batched(replace(hopper, fields=(attribute,)), 1), LoopEnv)


def test_a_closed_batch_refuses_and_may_be_closed_again() -> None:
    batch = make_batched(find_task("Hopper-v5").env, 2, threads=2)
    assert isinstance(batch, PhysicsEnv)
    batch.reset([0, 1])
    batch.close()
    batch.close()
    for call in (
        lambda: batch.reset([0, 1]),
        lambda: batch.step(np.zeros((2, 3), dtype=np.float32)),
        lambda: batch.capture(0),
    ):
        with pytest.raises(ConfigError, match="Hopper-v5: the batch is closed"):
            call()
