"""Simulations side by side in MuJoCo's own threads."""

import ctypes
import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from rewardsmith.envs.vector.worlds import Worlds, library, untimed
from rewardsmith.errors import ConfigError, TrainingError

XML = """
<mujoco>
  <option integrator="RK4"/>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1"/>
    <body name="ball" pos="0 0 .2"><freejoint/><geom name="ball" size=".1"/></body>
    <body name="arm" pos="0 0 1"><joint name="hinge"/><geom size=".1" pos="0 0 .3"/></body>
  </worldbody>
  <actuator><motor joint="hinge"/></actuator>
</mujoco>
"""


ONE_TREE = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1"/>
    <body name="dumbbell" pos="0 0 .2">
      <freejoint/>
      <geom size=".1" pos="-.2 0 0"/><geom size=".1"/><geom size=".1" pos=".2 0 0"/>
      <body name="arm"><joint name="hinge" range="-1 1"/>
        <geom size=".05" pos="0 0 .25"/><geom size=".05" pos=".1 0 .25"/><geom size=".05"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="hinge"/></actuator>
</mujoco>
"""


@pytest.fixture(params=[XML, ONE_TREE], ids=["two trees", "one tree"])
def model(request: pytest.FixtureRequest) -> Any:
    return mujoco.MjModel.from_xml_string(request.param)


def alone(model: Any, qpos: Any, controls: Any, substeps: int) -> Any:
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    for control in controls:
        data.ctrl[:] = control
        mujoco.mj_step(model, data, substeps)
        mujoco.mj_rnePostConstraint(model, data)
    return data


@pytest.mark.parametrize("after", [[], ["mj_rnePostConstraint"]], ids=["one data", "data each"])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_each_simulation_is_that_of_one_alone(model: Any, threads: int, after: list[str]) -> None:
    worlds = Worlds(model, 5, threads, after)
    worlds.read("cfrc_ext")
    worlds.read("xpos")
    qpos = np.tile(mujoco.MjData(model).qpos, (5, 1))
    qpos[:, 2] += np.linspace(-0.1, 0.3, 5)
    worlds.begin(np.arange(5), qpos, np.zeros((5, model.nv)))
    controls = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 5, 1))
    for control in controls:
        worlds.step(control, 3)
    for i in range(5):
        data = alone(model, qpos[i], controls[:, i], 3)
        assert np.array_equal(worlds.now.qpos[i], data.qpos)
        assert np.array_equal(worlds.now.qvel[i], data.qvel)
        assert np.array_equal(worlds.now.fields["xpos"][i], data.xpos.ravel())
        if after:
            assert np.array_equal(worlds.now.fields["cfrc_ext"][i], data.cfrc_ext.ravel())
            assert np.abs(worlds.now.fields["cfrc_ext"]).max() > 0


@pytest.mark.parametrize("after", [[], ["mj_sensorPos"]], ids=["one data", "data each"])
def test_beginning_anew_forgets_all_of_the_past(model: Any, after: list[str]) -> None:
    worlds = Worlds(model, 2, 1, after)
    qpos, qvel = mujoco.MjData(model).qpos[None].copy(), np.zeros((1, model.nv))
    worlds.begin(np.array([0]), qpos, qvel)
    worlds.begin(np.array([1]), qpos, qvel)
    for _ in range(20):
        worlds.step(np.array([[1.0], [-1.0]]), 2)
    worlds.begin(np.array([1]), qpos, qvel)
    worlds.begin(np.array([0]), qpos, qvel)
    worlds.step(np.zeros((2, 1)), 2)
    assert np.array_equal(worlds.state[0], worlds.state[1])


def test_readings_taken_are_copies(model: Any) -> None:
    worlds = Worlds(model, 3, 1)
    worlds.read("xpos")
    worlds.begin(np.arange(3), np.ones((3, model.nq)), np.zeros((3, model.nv)))
    taken = worlds.now.take(np.array([1]))
    before = taken.fields["xpos"].copy(), taken.qpos.copy()
    worlds.step(np.zeros((3, 1)), 5)
    assert np.array_equal(taken.fields["xpos"], before[0])
    assert np.array_equal(taken.qpos, before[1])


def test_a_field_that_cannot_be_shown_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match="'efc_force'"):
        Worlds(model, 1, 1).read("efc_force")


def test_a_simulation_that_mujoco_gives_up_on_is_named() -> None:
    worlds = Worlds(mujoco.MjModel.from_xml_string(XML), 3, 1)
    worlds._lib = Failing()
    with pytest.raises(TrainingError, match="number 1: the reason"):
        worlds._check(1)


class Failing:
    """A library in which simulation 1 failed."""

    def mjb_status(self, batch: int) -> Any:
        self.status = (ctypes.c_int * 3)(0, 1, 0)
        return ctypes.cast(self.status, ctypes.POINTER(ctypes.c_int))

    def mjb_error(self, batch: int, sim: int) -> bytes:
        return b"the reason" if sim == 1 else b""


def test_mujocos_clock_is_away_for_the_time_of_a_step_alone() -> None:
    mujoco_library: Any = library()
    clock = ctypes.c_void_p.in_dll(mujoco_library, "mjcb_time")
    there = clock.value
    assert there is not None
    Worlds(mujoco.MjModel.from_xml_string(XML), 2, 1).step(np.zeros((2, 1)), 1)
    assert clock.value == there
    with untimed(mujoco_library):
        with untimed(mujoco_library):  # as of another thread
            assert clock.value is None
        assert clock.value is None
    assert clock.value == there


def test_no_simulation_outlives_its_owner(model: Any) -> None:
    worlds = Worlds(model, 2, 2)
    seen = weakref.ref(worlds)
    end = worlds._end
    del worlds
    gc.collect()
    assert seen() is None
    assert not end.alive


def test_the_library_is_found_once() -> None:
    assert library() is library() is not None


LEAK = """
import resource
import numpy as np
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.vector import make_batched
spec = find_task("Hopper-v5").env
actions = np.random.default_rng(0).uniform(-1, 1, (64, 8, 3)).astype(np.float32)
def rollouts(count):
    for _ in range(count):
        for action in actions[:2]:
            env.step(action)
        env.restore(0, env.capture(1))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
env = make_batched(spec, 8, threads=2)
env.reset(range(8))
first = rollouts(100)
last = rollouts(1000)
for _ in range(10):
    other = make_batched(spec, 64, threads=2)
    other.reset(range(64))
    other.step(np.zeros((64, 3), np.float32))
    other.close()
once = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(30):
    make_batched(spec, 64, threads=2).reset(range(64))
print(last - first, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - once)
"""


def test_a_thousand_rollouts_and_forty_batches_leave_no_memory_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAK], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    grown, by_batches = (int(word) * unit / 2**20 for word in done.stdout.split())
    assert grown < 4.0, f"{grown} MiB after 1,000 rollouts"
    # MuJoCo's threads leave the allocator with some room to spare; a batch takes 13 MiB.
    assert by_batches < 60.0, f"{by_batches} MiB after 30 more batches of 64"
