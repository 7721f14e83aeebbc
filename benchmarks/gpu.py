"""Env steps per second of rollouts with MJX on a GPU, and how far MJX is from MuJoCo.

    python benchmarks/gpu.py            # the figures; without a GPU it says that they are missing
    python benchmarks/gpu.py --parity   # one-step differences, on whatever device there is
    python benchmarks/gpu.py --tiny     # that the measurement runs, on a CPU, without meaning

``program`` is the compiled rollout alone, policies inside; ``whole`` adds the way to the host and
the card's rows, which is all that a reward worker is then asked about. N is worlds per lane.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.vector.mjx import AS_GIVEN, MjxTask, Solver, mjx_task
from rewardsmith.envs.vector.mjx_parity import parity
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.policy import PolicySpec, action_part
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.fast_jax import jax_device, jax_gpu
from rewardsmith.runs.training.trainers.fast_mjx import MjxRollouts
from rewardsmith.runs.training.trainers.fast_rollout import Plan

ENVS = ("HalfCheetah-v5", "Ant-v5", "Humanoid-v5")
WORLDS, LANES = (1024, 2048, 4096, 8192, 16384), (1, 8, 16)
MOST_WORLDS = 2**17
STEPS, ROLLOUTS = 16, 5
# As MJX's own documentation advises for speed; Humanoid's solver, PGS, MJX has not at all.
QUICK = Solver("newton", iterations=4, ls_iterations=8)
MISSING = (
    "No GPU is seen by JAX, so there is nothing to measure: figures for rollouts on a GPU are "
    'missing. (pip install "jax[cuda13]" and an NVIDIA driver are needed.)'
)


def tasks(solvers: tuple[Solver, ...]) -> Iterator[MjxTask]:
    """Yields every environment with every solver that MJX has for it."""
    for env in ENVS:
        for solver in solvers:
            try:
                task = mjx_task(find_task(env).env, solver=solver)
            except ConfigError as error:
                print(f"{env}: left out: {error}")
                continue
            if task is not None:
                yield task


def rollouts(task: MjxTask, lanes: int, worlds: int, device: Any) -> MjxRollouts:
    """Makes K policies of the usual size with N worlds each."""
    policy = PolicySpec(
        kind="ppo",
        observation_size=task.observation_size,
        hidden=(64, 64),
        activation="tanh",
        use_sde=False,
        **action_part(task.spec.action),
    )
    plan = Plan(task.spec, policy, worlds, STEPS, normalize=True, sde_every=-1)
    return MjxRollouts(plan, task, range(lanes), device)


def measured(made: MjxRollouts, lanes: int, worlds: int) -> dict[str, float]:
    """Returns env steps per second, and the seconds of the first rollout, which compiles."""
    spec = made.plan.policy
    weights = np.stack(
        [network.initial(spec, 0.0, np.random.default_rng(lane)) for lane in range(lanes)]
    )
    rngs = [np.random.default_rng(lane) for lane in range(lanes)]
    alive = np.ones(lanes, dtype=np.bool_)
    began = time.perf_counter()
    made.collect(weights, rngs, alive)
    first_s = time.perf_counter() - began
    began, program_s = time.perf_counter(), 0.0
    for _ in range(ROLLOUTS):
        made.collect(weights, rngs, alive)
        program_s += made.program_s
    whole_s = time.perf_counter() - began
    steps = ROLLOUTS * STEPS * lanes * worlds
    return {"program": steps / program_s, "whole": steps / whole_s, "first_s": first_s}


def table(
    device: Any, sizes: tuple[int, ...], stacks: tuple[int, ...], solvers: tuple[Solver, ...]
) -> list[dict[str, Any]]:
    """Measures and prints every combination that is not too large."""
    rows = []
    for task in tasks(solvers):
        for lanes in stacks:
            for worlds in sizes:
                row: dict[str, Any] = {"task": task.name, "K": lanes, "N": worlds}
                if lanes * worlds > MOST_WORLDS:
                    continue
                try:
                    row |= measured(rollouts(task, lanes, worlds, device), lanes, worlds)
                    text = f"program {row['program']:,.0f}/s, whole {row['whole']:,.0f}/s"
                except RuntimeError as error:  # a GPU that is full
                    row["failed"] = text = str(error).splitlines()[0][:120]
                print(f"{task.name}: K = {lanes}, N = {worlds}: {text}", flush=True)
                rows.append(row)
    return rows


def main() -> int:
    """Measures what was asked for."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--parity", action="store_true")
    asked.add_argument("--tiny", action="store_true")
    asked.add_argument("--out", type=Path, help="JSON with the figures")
    given = asked.parse_args()
    if given.parity:
        for task in tasks((AS_GIVEN, QUICK)):
            print(parity(task), flush=True)
        return 0
    gpu = jax_gpu()
    if gpu is None and not given.tiny:
        print(MISSING)
        return 0
    if given.tiny:
        rows = table(jax_device("cpu"), (2,), (1,), (QUICK,))
    else:
        rows = table(gpu, WORLDS, LANES, (AS_GIVEN, QUICK))
    device = str(getattr(gpu, "device_kind", "cpu"))
    if given.out is not None:
        given.out.write_text(json.dumps({"device": device, "steps": STEPS, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
