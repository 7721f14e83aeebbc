"""MJX plays Gymnasium's environments: the same rules, within float32; resets; names.

Compiling MJX's physics takes by far the most of the time, so that one program serves all.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="physics in JAX needs it: pip install rewardsmith[mjx]")
pytest.importorskip("mujoco.mjx", reason="needs mujoco-mjx: pip install rewardsmith[mjx]")

import jax

from rewardsmith.envs.columns import layout
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec
from rewardsmith.envs.toy import tasks
from rewardsmith.envs.vector.mjx import (
    AS_GIVEN,
    MjxTask,
    Seen,
    Solver,
    State,
    host,
    mjx_task,
)
from rewardsmith.envs.vector.mjx_parity import Parity, parity
from rewardsmith.envs.vector.physics import physics_batch
from rewardsmith.errors import ConfigError

LONGEST, WORLDS = 3, 4
pytestmark = pytest.mark.timeout(900)  # compiling, on a machine that does more


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Programs that run for milliseconds need no optimiser that runs for half a minute."""
    settings: Any = jax.config
    settings.update("jax_disable_most_optimizations", True)
    yield
    settings.update("jax_disable_most_optimizations", False)


def cheetah() -> EnvSpec:
    return replace(find_task("HalfCheetah-v5").env, max_steps=LONGEST)


@pytest.fixture(scope="module")
def task() -> MjxTask:
    made = mjx_task(cheetah())
    assert made is not None
    made.drawn(seed=7, count=16)
    return made


Play = Callable[[State, Any, Any], tuple[State, Seen]]


@pytest.fixture(scope="module")
def play(task: MjxTask) -> Play:
    pool = task.pool_arrays()
    compiled: Play = jax.jit(lambda state, actions, which: task.step(pool, state, actions, which))
    return compiled


def played(task: MjxTask, play: Play, steps: int) -> tuple[Any, list[Seen], Any]:
    """Random actions from the first starts; worlds that end go on with starts 8, 9, 10, 11."""
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1.0, 1.0, (steps, WORLDS, 6)).astype(np.float32)
    state, first = task.begin(task.pool_arrays(), np.arange(WORLDS))
    seen = []
    for action in actions:
        state, one = play(state, action, np.arange(8, 8 + WORLDS))
        seen.append(one)
    return np.asarray(first), seen, actions


@pytest.mark.slow
def test_steps_are_those_of_the_cpu_within_single_precision(task: MjxTask, play: Play) -> None:
    _, seen, actions = played(task, play, LONGEST)
    batch = physics_batch(cheetah(), WORLDS, 1)
    assert batch is not None
    assert task.pool is not None
    batch.reset(range(WORLDS))
    batch._worlds.begin(np.arange(WORLDS), task.pool.qpos[:WORLDS], task.pool.qvel[:WORLDS])
    batch._anchor = task.pool.anchor[:WORLDS].copy()
    for one, action in zip(seen, actions, strict=True):
        there = batch.step(action)
        np.testing.assert_allclose(
            np.asarray(one.final_observation), there.final_observation, atol=2e-3
        )
        np.testing.assert_allclose(np.asarray(one.native_reward), there.native_reward, atol=2e-3)
        rows = task.rows(host(_timed(one)))
        np.testing.assert_allclose(rows, there.after, atol=2e-3)
        assert rows.shape == (WORLDS, layout(task.spec).width)
        assert not np.asarray(one.terminated).any()
        np.testing.assert_array_equal(np.asarray(one.truncated), there.truncated)
    batch.close()


def _timed(one: Seen) -> Seen:
    """The same with an axis of time, of length 1."""
    return Seen(*jax.tree.map(lambda values: values[None], tuple(one)))


@pytest.mark.slow
def test_a_world_that_ends_goes_on_from_a_start_and_says_from_which(
    task: MjxTask, play: Play
) -> None:
    first, seen, _ = played(task, play, LONGEST + 1)
    assert task.pool is not None
    np.testing.assert_allclose(first, task.pool.observation[:WORLDS], rtol=1e-6)
    *before, last, after = seen
    assert all((np.asarray(one.start) == -1).all() for one in before)
    assert np.asarray(last.truncated).all()
    np.testing.assert_array_equal(np.asarray(last.start), np.arange(8, 8 + WORLDS))
    fresh = task.pool.observation[8 : 8 + WORLDS]
    np.testing.assert_allclose(np.asarray(last.observation), fresh, rtol=1e-6)
    assert not np.allclose(np.asarray(last.final_observation), fresh)
    assert [bool(np.asarray(one.starts).all()) for one in seen] == [True, False, False, True]
    assert not np.asarray(after.truncated).any()


def test_starts_are_drawn_by_gymnasiums_rules(task: MjxTask) -> None:
    batch = physics_batch(cheetah(), 1, 1)
    assert batch is not None
    assert task.pool is not None
    first = batch.reset([7])
    assert first.tobytes() == task.pool.observation[:1].tobytes()
    assert batch._last.tobytes() == task.pool.rows[:1].tobytes()
    batch.close()


def test_a_task_without_starts_says_so() -> None:
    made = mjx_task(cheetah())
    assert made is not None
    with pytest.raises(ConfigError, match="drawn"):
        made.pool_arrays()


def test_a_changed_solver_is_another_task_by_name() -> None:
    changed = mjx_task(cheetah(), solver=Solver("newton", iterations=4, ls_iterations=6))
    assert changed is not None
    assert changed.name == "HalfCheetah-v5-mjx"
    assert (changed.given.opt.iterations, changed._host.opt.iterations) == (100, 4)
    assert changed._host.opt.ls_iterations == 6
    given = mjx_task(cheetah(), solver=AS_GIVEN)
    assert given is not None
    assert given.name == "HalfCheetah-v5"


def test_a_solver_that_mjx_lacks_is_named_with_the_way_out() -> None:
    humanoid = find_task("Humanoid-v5").env
    with pytest.raises(ConfigError, match=r"PGS.*Humanoid-v5-mjx.*newton|newton.*Humanoid-v5-mjx"):
        mjx_task(humanoid)
    made = mjx_task(humanoid, solver=Solver("newton"))
    assert made is not None
    assert made.name == "Humanoid-v5-mjx"
    with pytest.raises(ConfigError, match="newton and cg"):
        mjx_task(humanoid, solver=Solver("pgs"))


@pytest.mark.parametrize("spec", [tasks()[0].env, find_task("CartPole-v1").env])
def test_other_environments_have_no_such_form(spec: EnvSpec) -> None:
    assert mjx_task(spec) is None


@pytest.mark.slow
def test_one_step_differs_from_mujocos_by_single_precision(task: MjxTask) -> None:
    report = parity(task, states=8)
    assert report.name == "HalfCheetah-v5"
    assert report.positions[0] < 1e-5
    assert report.positions[1] < 1e-3
    assert report.velocities[1] < 0.1, "a contact that opens or closes in this step"
    assert report.same_end == 1.0


def test_a_report_of_parity_is_a_line_to_read() -> None:
    line = str(Parity("Ant-v5", 64, (1e-7, 2e-6), (1e-5, 2e-3), 1.0))
    assert line == (
        "Ant-v5: one control step of MJX against MuJoCo from 64 states: positions median 1.0e-07, "
        "largest 2.0e-06; velocities median 1.0e-05, largest 2.0e-03; same end in 100.0%"
    )
