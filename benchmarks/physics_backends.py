"""Compares ways to step N MuJoCo simulations by one control step at a time, physics alone.

    python benchmarks/physics_backends.py --seconds 60 > physics_backends.json

``worlds`` is MuJoCo's batch interface with an MjData each (what this package uses), ``rollout`` is
`mujoco.rollout` with its warm start handed in, ``pool`` is an MjData each and Python threads, which
`mj_step` lets run side by side. Ratios are to `mujoco.rollout` in open loop over 20 control steps.
All take the same controls from the same state. ``+ forces`` computes contact forces after a step.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mujoco
import numpy as np
from mujoco import rollout
from quiet_slices import Looped, ratio, slices, summary

from rewardsmith.envs.recorder import plain_env
from rewardsmith.envs.vector.worlds import Worlds

ENVS = ("HalfCheetah-v5", "Hopper-v5", "Ant-v5", "Humanoid-v5")
COUNT, THREADS, STEPS = 64, 2, 20


class Scene:
    """One robot: its model, where it starts, and what is done to it."""

    def __init__(self, env_id: str) -> None:
        bare: Any = plain_env(env_id, {}).unwrapped
        self.model, self.substeps = bare.model, int(bare.frame_skip)
        space = bare.action_space
        size = (STEPS, COUNT, *space.shape)
        self.controls = np.random.default_rng(0).uniform(space.low, space.high, size)
        kind = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self.state = np.empty((COUNT, mujoco.mj_stateSize(self.model, kind)))
        data = mujoco.MjData(self.model)
        for row in self.state:
            mujoco.mj_getState(self.model, data, row, kind)


def open_loop(scene: Scene) -> Callable[[], object]:
    """Hands all controls over at once: the ceiling."""
    pool = rollout.Rollout(nthread=THREADS)
    datas = [mujoco.MjData(scene.model) for _ in range(THREADS)]
    held = np.repeat(scene.controls.transpose(1, 0, 2), scene.substeps, axis=1)
    controls = np.ascontiguousarray(held)
    return lambda: pool.rollout(scene.model, datas, scene.state, controls)


def rolled(scene: Scene) -> Callable[[], object]:
    """One rollout for each control step."""
    pool, models = rollout.Rollout(nthread=THREADS), [scene.model] * COUNT
    datas = [mujoco.MjData(scene.model) for _ in range(THREADS)]
    warm = np.zeros((COUNT, scene.model.nv))
    controls = np.empty((COUNT, scene.substeps, scene.model.nu))
    out = np.empty((COUNT, scene.substeps, scene.state.shape[1]))
    sensors = np.empty((COUNT, scene.substeps, scene.model.nsensordata))

    def run() -> None:
        state = scene.state.copy()
        for control in scene.controls:
            controls[:] = control[:, None]
            pool.rollout(
                models, datas, state, controls, skip_checks=True, nstep=scene.substeps,
                initial_warmstart=warm, state=out, sensordata=sensors,
            )  # fmt: skip
            state[:] = out[:, -1]

    return run


def worlds(scene: Scene, *, forces: bool) -> Callable[[], object]:
    """MuJoCo's batch interface, positions of bodies read after each step."""
    batch = Worlds(scene.model, COUNT, THREADS, ["mj_rnePostConstraint"] if forces else [])
    batch.read("xpos")
    if forces:
        batch.read("cfrc_ext")
    start = batch.state.copy()

    def run() -> None:
        batch.state[:] = start
        for control in scene.controls:
            batch.step(control, scene.substeps)

    return run


def pool(scene: Scene, *, forces: bool) -> Callable[[], object]:
    """An MjData each, stepped by Python threads; positions and velocities copied out."""
    model, substeps = scene.model, scene.substeps
    datas = [mujoco.MjData(model) for _ in range(COUNT)]
    views = [(data, data.ctrl, data.qpos, data.qvel, data.xpos) for data in datas]
    qpos, qvel = np.empty((COUNT, model.nq)), np.empty((COUNT, model.nv))
    places = np.empty((COUNT, model.nbody, 3))
    executor = ThreadPoolExecutor(THREADS)
    parts = [range(k * COUNT // THREADS, (k + 1) * COUNT // THREADS) for k in range(THREADS)]

    def work(rows: range, control: Any) -> None:
        for i in rows:
            data, ctrl, positions, velocities, bodies = views[i]
            ctrl[:] = control[i]
            mujoco.mj_step(model, data, substeps)
            if forces:
                mujoco.mj_rnePostConstraint(model, data)
            qpos[i], qvel[i], places[i] = positions, velocities, bodies

    def run() -> None:
        for data in datas:
            mujoco.mj_resetData(model, data)
        for control in scene.controls:
            list(executor.map(work, parts, [control] * THREADS))

    return run


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="at most, per robot")
    asked = parser.parse_args()
    report: dict[str, Any] = {}
    for env_id in ENVS:
        scene = Scene(env_id)
        found = slices(
            {
                name: Looped(function, COUNT * STEPS)
                for name, function in {
                    "open loop": open_loop(scene),
                    "worlds": worlds(scene, forces=False),
                    "rollout": rolled(scene),
                    "pool": pool(scene, forces=False),
                    "worlds + forces": worlds(scene, forces=True),
                    "pool + forces": pool(scene, forces=True),
                }.items()
            },
            seconds=0.3,
            budget_s=asked.seconds,
        )
        report[env_id] = {
            name: summary(mine) | {"of_open_loop": ratio(mine, found["open loop"])}
            for name, mine in found.items()
        }
        print(env_id, file=sys.stderr)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
