"""Models that cost less to step and give the same to the bit."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest

from rewardsmith.envs.recorder import plain_env
from rewardsmith.envs.vector.models import lean, with_contacts
from rewardsmith.envs.vector.worlds import Worlds

ISLANDS = int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
MIDPHASE = int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
WALKER = """
<mujoco>
  <option timestep="0.01"/>
  <default><geom contype="1" conaffinity="0" friction=".9 .1 .1"/></default>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1" conaffinity="1" friction=".7 .2 .1"/>
    <body name="torso" pos="0 0 .3">
      <freejoint/>
      <geom size=".1" condim="6" margin=".01"/><geom size=".05" pos=".2 0 0"/>
      <body name="leg" pos="0 0 -.1"><joint name="knee"/>
        <geom name="foot" size=".06" pos="0 0 -.15"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="knee" gear="3"/></actuator>
</mujoco>
"""


@pytest.fixture(autouse=True)
def quiet_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes MUJOCO_LOG.TXT into the current folder."""
    monkeypatch.chdir(tmp_path)


def bare(text: str, tmp_path: Path) -> Any:
    path = tmp_path / "model.xml"
    path.write_text(text)
    return SimpleNamespace(fullpath=str(path), model=mujoco.MjModel.from_xml_path(str(path)))


def states(model: Any, steps: int) -> Any:
    """(steps, 4, size) states of four simulations under the same random controls."""
    worlds, rng = Worlds(model, 4, 1), np.random.default_rng(1)
    qpos = np.tile(model.qpos0, (4, 1))
    qpos[:, 2] += np.linspace(-0.1, 0.4, 4)
    worlds.begin(np.arange(4), qpos, rng.normal(size=(4, model.nv)))
    found = []
    for _ in range(steps):
        worlds.step(rng.uniform(-1.0, 1.0, (4, model.nu)), 2)
        found.append(worlds.state.copy())
    return np.array(found)


@pytest.mark.parametrize(
    ("env_id", "pairs"),
    [("HalfCheetah-v5", 8), ("Walker2d-v5", 7), ("Ant-v5", 13), ("Hopper-v5", 0)],
)
def test_pairs_are_named_where_nothing_but_the_floor_can_be_touched(
    env_id: str, pairs: int
) -> None:
    env: Any = plain_env(env_id, {}).unwrapped
    model = lean(env_id, env, ())
    assert model.npair == pairs
    assert model.opt.disableflags & ISLANDS
    assert model.opt.disableflags & MIDPHASE
    assert not env.model.opt.disableflags


def test_what_two_geoms_say_of_friction_and_margin_is_in_their_pair(tmp_path: Path) -> None:
    env = bare(WALKER, tmp_path)
    model = lean("Walker-v0", env, ())
    assert model.npair == 3
    assert sorted(model.pair_dim) == [3, 3, 6]
    assert np.array_equal(states(model, 200), states(env.model, 200))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('conaffinity="0"', 'conaffinity="1"'),  # legs may touch each other
        ('name="foot"', 'name="foot" solref=".01 1"'),  # a mix, which MuJoCo rounds
        ('name="foot"', 'name="foot" priority="1"'),
        ("<actuator>", '<contact><exclude body1="torso" body2="leg"/></contact><actuator>'),
        ("<mujoco>", '<mujoco><compiler discardvisual="true"/>'),
    ],
    ids=["self", "mixed", "priority", "exclude", "discard"],
)
def test_other_models_keep_their_search(old: str, new: str, tmp_path: Path) -> None:
    env = bare(WALKER.replace(old, new, 1), tmp_path)
    model = lean("Walker-v0", env, ())
    assert model.npair == 0
    assert np.array_equal(states(model, 200), states(env.model, 200))


def test_islands_stay_where_there_are_two_trees(tmp_path: Path) -> None:
    ball = '<body pos="1 0 .3"><freejoint/><geom size=".1"/></body></worldbody>'
    env = bare(WALKER.replace("</worldbody>", ball), tmp_path)
    model = lean("Walker-v0", env, ())
    assert not model.opt.disableflags & ISLANDS
    assert np.array_equal(states(model, 200), states(env.model, 200))


def test_boxes_stay_where_bodies_have_many_geoms(tmp_path: Path) -> None:
    many = '<geom name="foot"' + "".join(f' size=".01" pos="0 0 {i}"/><geom' for i in range(9))
    env = bare(WALKER.replace('<geom name="foot"', many), tmp_path)
    assert not lean("Walker-v0", env, ()).opt.disableflags & MIDPHASE


def test_a_model_that_steps_otherwise_is_not_taken(tmp_path: Path) -> None:
    env = bare(WALKER, tmp_path)
    # As if MuJoCo read the file to something else than the environment stepped.
    env.model.opt.gravity[2] = -3.0
    assert lean("Walker-v0", env, ()) is env.model


def test_contacts_are_counted_by_sensors(tmp_path: Path) -> None:
    env = bare(WALKER, tmp_path)
    asked = [("floor", "foot"), ("leg", "floor")]
    plain, cheap = (make("Walker-v0", env, asked) for make in (with_contacts, lean))
    assert plain.nsensordata == cheap.nsensordata == 2
    counts = []
    for model in (plain, cheap):
        data = mujoco.MjData(model)
        mujoco.mj_step(model, data, 100)
        counts.append(data.sensordata.tolist())
    assert counts[0] == counts[1]
    assert max(counts[0]) > 0
    assert with_contacts("Walker-v0", env, ()) is env.model
