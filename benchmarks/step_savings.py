"""What each thing that a step leaves out would cost: decision 0010, piece by piece.

    python benchmarks/step_savings.py --json

64 simulations on 2 threads, 50 control steps at a time from near the start, random actions (seed
0). Each way leaves out one thing more than the one before; all take turns. ``saved`` is the part of
a step's wall time that goes with that thing, the median over rounds.
"""

import argparse
import contextlib
import copy
import itertools
import json
import sys
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from quiet_slices import Looped, ratio, slices, summary
from training_speed import machine

from rewardsmith.envs.recorder import plain_env
from rewardsmith.envs.vector import worlds
from rewardsmith.envs.vector.models import lean

ENVS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5")
FORCES = ("Ant-v5", "Humanoid-v5")
NUM_ENVS, THREADS, STEPS = 64, 2, 50
_UNTIMED = worlds.untimed


def timed(lib: Any) -> contextlib.nullcontext[None]:
    """Leaves MuJoCo its clock, in place of ``untimed``."""
    del lib
    return contextlib.nullcontext()


def ways(env_id: str) -> dict[str, Looped]:
    """Returns the ways to step, each with one thing less than the one before."""
    bare: Any = plain_env(env_id, {}).unwrapped
    bit = mujoco.mjtDisableBit
    islands = _without(bare.model, int(bit.mjDSBL_ISLAND))
    boxes = _without(islands, int(bit.mjDSBL_MIDPHASE))
    found = {"all": _stepping(bare, bare.model, env_id, timed)}
    models = {"clock": bare.model, "islands": islands, "boxes": boxes}
    named = lean(env_id, bare, ())
    if named.npair:
        models["search"] = named
    return found | {
        f"no {name}": _stepping(bare, model, env_id, _UNTIMED) for name, model in models.items()
    }


def _without(model: Any, flag: int) -> Any:
    less = copy.copy(model)
    less.opt.disableflags |= flag
    return less


def _stepping(bare: Any, model: Any, env_id: str, clock: Callable[[Any], Any]) -> Looped:
    after = ["mj_rnePostConstraint"] if env_id in FORCES else []
    batch = worlds.Worlds(model, NUM_ENVS, THREADS, after)
    rng = np.random.default_rng(0)
    qpos = bare.init_qpos + rng.uniform(-0.05, 0.05, (NUM_ENVS, model.nq))
    qvel = rng.uniform(-0.05, 0.05, (NUM_ENVS, model.nv))
    low, high = model.actuator_ctrlrange.T
    controls = rng.uniform(low, high, (STEPS, NUM_ENVS, model.nu))

    def run() -> None:
        worlds.untimed = clock
        batch.begin(np.arange(NUM_ENVS), qpos, qvel)
        for control in controls:
            batch.step(control, bare.frame_skip)
        worlds.untimed = _UNTIMED

    return Looped(run, NUM_ENVS * STEPS)


def measured(env_id: str, seconds: float, budget_s: float) -> dict[str, Any]:
    """Returns the rates of every way, and what each saves of the one before, 0 to 1."""
    found = slices(ways(env_id), seconds=seconds, budget_s=budget_s)
    names = list(found)
    against = {
        name: ratio(found[name], found[before]) for before, name in itertools.pairwise(names)
    }
    saved = {name.removeprefix("no "): 1.0 - 1.0 / r["wall"] for name, r in against.items()}
    rates = {name: summary(mine) for name, mine in found.items()}
    whole = ratio(found[names[-1]], found[names[0]])["wall"]
    return {"saved": saved, "times_as_quick": whole, "rates": rates, "ratios": against}


def main() -> None:
    """Measures; progress goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--seconds", type=float, default=0.4, help="of a slice")
    parser.add_argument("--budget", type=float, default=40.0, help="seconds per environment")
    asked = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "command": sys.argv, "seed": 0, "envs": {}}
    for env_id in ENVS:
        one = report["envs"][env_id] = measured(env_id, asked.seconds, asked.budget)
        saved = ", ".join(f"{name} {part:.1%}" for name, part in one["saved"].items())
        print(f"{env_id}: {saved}; {one['times_as_quick']:.2f} times", file=sys.stderr)
    if asked.json:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
