"""Env steps per second: this package's batch against Stable-Baselines3, EnvPool and physics alone.

Ours is all that a training asks of it: observations, card fields, the environment's own reward,
ends and automatic resets. ``physics`` is `mujoco.rollout` in open loop from the states that ours
visits, on as many threads, without MuJoCo's clock and what else ours leaves out, and where
observations hold contact forces (Ant, Humanoid) the time to compute these as well.
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from mujoco import rollout
from quiet_slices import Looped, Work, ratio, slices, summary

from rewardsmith.envs.recorder import plain_env, quiet_loading
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.vector import BatchedEnv, make_batched
from rewardsmith.envs.vector.models import lean
from rewardsmith.envs.vector.worlds import library, untimed

ENVS = ("HalfCheetah-v5", "Hopper-v5", "Ant-v5", "Humanoid-v5")
FORCES = ("Ant-v5", "Humanoid-v5")
NUM_ENVS, THREADS, DUMMY_ENVS = 64, 2, 8
OPEN_LOOP = 4  # control steps
TAKEN = 50  # batches of actions, over and over
ENVPOOL_PYTHON = "REWARDSMITH_ENVPOOL_PYTHON"


def measure(*, quick: bool, tell: Callable[[str], object]) -> dict[str, Any]:
    """Returns rates by environment and way, and the ratios of ours to the others, wall and CPU."""
    rates: dict[str, Any] = {}
    ratios: dict[str, dict[str, Any]] = {}
    seconds, budget_s = (0.3, 45.0) if quick else (0.5, 300.0)
    for env in ENVS:
        found = slices(_ways(env), seconds=seconds, budget_s=budget_s)
        rates[env] = {name: summary(mine) for name, mine in found.items()}
        for other in sorted(found.keys() - {"ours", "ours, 1 thread"}):
            against = rates[env][other]["ours_to_it"] = ratio(found["ours"], found[other])
            ratios.setdefault(f"step_vs_{other}", {})[env] = against["wall"]
            ratios.setdefault(f"step_vs_{other}_per_core", {})[env] = against["per_core"]
        tell(_line(env, rates[env]))
    return {"stepping": rates, "ratios": ratios}


def _ways(env: str) -> dict[str, Work]:
    spec = find_task(env).env
    batch = make_batched(spec, NUM_ENVS, threads=THREADS)
    ways: dict[str, Work] = {
        "ours": _stepping(batch),
        "physics": Open(env, batch),
        "dummy8": _dummy(env),
        "ours, 1 thread": _stepping(make_batched(spec, NUM_ENVS, threads=1)),
    }
    if python := envpool_python():
        ways["envpool"] = Elsewhere(python, env)
    return ways


def _actions(space: Any, count: int) -> list[Any]:
    rng = np.random.default_rng(0)
    size = (count, *space.shape)
    return [rng.uniform(space.low, space.high, size).astype(np.float32) for _ in range(TAKEN)]


def _stepping(batch: BatchedEnv) -> Work:
    spec = batch.spec
    low, high = (np.array(bound, np.float32) for bound in (spec.action.low, spec.action.high))
    space = gymnasium.spaces.Box(low, high)
    batch.reset(range(batch.num_envs))
    return Looped(_in_turn(batch.step, _actions(space, batch.num_envs)), batch.num_envs)


def _dummy(env: str) -> Work:
    from stable_baselines3.common.env_util import make_vec_env

    with quiet_loading(env):
        vec = make_vec_env(env, DUMMY_ENVS)
    vec.reset()
    return Looped(_in_turn(vec.step, _actions(vec.action_space, DUMMY_ENVS)), DUMMY_ENVS)


def _in_turn(step: Callable[[Any], object], actions: list[Any]) -> Callable[[], object]:
    taken = 0

    def one() -> None:
        nonlocal taken
        step(actions[taken % TAKEN])
        taken += 1

    return one


class Open:
    """Physics alone, from the states in which the measured batch happens to be."""

    def __init__(self, env: str, batch: BatchedEnv) -> None:
        bare: Any = plain_env(env, {}).unwrapped
        self._model, self._substeps = lean(env, bare, ()), bare.frame_skip
        self._batch = batch
        self._forces = env in FORCES
        self._pool = rollout.Rollout(nthread=THREADS)
        self._datas = [mujoco.MjData(self._model) for _ in range(THREADS)]
        actions = np.array(_actions(bare.action_space, NUM_ENVS)[:OPEN_LOOP], np.float64)
        whole = np.repeat(actions.transpose(1, 0, 2), self._substeps, axis=1)
        self._controls = np.ascontiguousarray(whole)

    def run(self, seconds: float) -> tuple[int, float]:
        """Returns env steps and processor seconds; the states are read outside the time."""
        state, warm = self._states()
        cpu, begin, done = time.process_time(), time.perf_counter(), 0
        with untimed(library()):
            while time.perf_counter() - begin < seconds:
                self._pool.rollout(
                    self._model, self._datas, state, self._controls, initial_warmstart=warm
                )
                done += NUM_ENVS * OPEN_LOOP
                if self._forces:
                    self._compute_forces(NUM_ENVS * OPEN_LOOP)
        return done, time.process_time() - cpu

    def _compute_forces(self, count: int) -> None:
        """Computes as many contact forces as steps fall to each thread, on one of them."""
        for _ in range(count // THREADS):
            mujoco.mj_rnePostConstraint(self._model, self._datas[0])

    def _states(self) -> tuple[Any, Any]:
        kind = mujoco.mjtState
        model, whole = self._model, int(kind.mjSTATE_INTEGRATION)
        size = mujoco.mj_stateSize(model, whole)
        found = []
        for part in (int(kind.mjSTATE_FULLPHYSICS), int(kind.mjSTATE_WARMSTART)):
            rows = np.empty((NUM_ENVS, mujoco.mj_stateSize(model, part)))
            for i in range(NUM_ENVS):
                captured = self._batch.capture(i)
                assert captured is not None
                mujoco.mj_extractState(model, captured[:size], whole, rows[i], part)
            found.append(rows)
        return found[0], found[1]


class Elsewhere:
    """EnvPool in a Python of its own, which steps on demand."""

    def __init__(self, python: str, env: str) -> None:
        script = str(Path(__file__).with_name("throughput_envpool.py"))
        self._child = subprocess.Popen(
            [python, script, env, str(NUM_ENVS), str(THREADS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, seconds: float) -> tuple[int, float]:
        """Returns env steps and processor seconds of the child."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{seconds}\n")
        self._child.stdin.flush()
        steps, cpu = self._child.stdout.readline().split()
        return int(steps), float(cpu)


def envpool_python() -> str | None:
    """Returns a Python that has EnvPool: the one named by the environment, or this one."""
    if named := os.environ.get(ENVPOOL_PYTHON):
        return named
    return sys.executable if importlib.util.find_spec("envpool") else None


def _line(env: str, rates: dict[str, dict[str, Any]]) -> str:
    against = ", ".join(
        f"{name} x{found['wall']:.2f} ({found['per_core']:.2f} per core"
        f"{', noisy' if found['noisy'] else ''})"
        for name, row in rates.items()
        if (found := row.get("ours_to_it"))
    )
    ours = rates["ours"]
    return f"{env}: {ours['per_s']:,.0f} steps/s on {ours['cores']} cores; of {against}"
