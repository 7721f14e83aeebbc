"""Measures training speed: env steps per core-second of plain Stable-Baselines3's PPO and of ours.

    python benchmarks/training_speed.py --envs Hopper-v5 Walker2d-v5 --rounds 3 --json

Three ways take turns, so that a busy machine is busy for all: ``plain`` is PPO of
Stable-Baselines3 with its own ``VecNormalize`` and the environment's reward, ``native`` the same
preset with deferred rewards, ``program`` the same with a reward program in its confined worker. A
core-second is a second of processor time, the worker's and its start included; waiting for a core
costs nothing. The reward share is the wall time of reward calls as a part of whole rollout cycles
(collect, reward, update), from the end of the first reward call to the end of the last.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Order, Trained, Unwatched, find_trainer
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

PACKAGES = ("rewardsmith", "stable-baselines3", "torch", "jax", "numpy", "gymnasium", "mujoco")


@dataclass(frozen=True)
class Sample:
    """One training; ``cpu_s`` is its processor time, that of an ended worker included."""

    env: str
    way: str
    seed: int
    steps: int
    cpu_s: float
    wall_s: float
    cycles: int = 0
    cycles_wall_s: float = 0.0
    reward_wall_s: float = 0.0  # within these cycles

    @property
    def speed(self) -> float:
        """Env steps per core-second."""
        return self.steps / self.cpu_s

    @property
    def share(self) -> float:
        """Part of the wall time of rollout cycles that went into reward calls."""
        return self.reward_wall_s / self.cycles_wall_s if self.cycles else 0.0


class Clocked:
    """A reward source that notes when each call began and ended; closes with its source."""

    def __init__(self, source: RewardSource) -> None:
        self._source = source
        self.calls: list[tuple[float, float]] = []

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the source's answer."""
        begin = time.perf_counter()
        answer = self._source.rewards(steps, carry=carry)
        self.calls.append((begin, time.perf_counter()))
        return answer

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


Calls = list[tuple[float, float]]


def plain(spec: EnvSpec, seed: int, steps: int) -> tuple[int, Calls]:
    """Trains without any part of this package in the loop; returns the steps, and no calls."""
    import gymnasium as gym
    import torch
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from rewardsmith.runs.training.trainers.sb3 import new_model

    torch.set_num_threads(1)
    params = hyperparams("ppo", spec.id)
    make = [lambda: gym.make(spec.id, **spec.kwargs)] * params["n_envs"]
    env = VecNormalize(
        DummyVecEnv(make),
        norm_obs=params["normalize_obs"],
        norm_reward=params["normalize_reward"],
        gamma=params["gamma"],
    )
    model = new_model("ppo", env, params, seed=seed, device="cpu")
    model.learn(steps)
    env.close()
    return model.num_timesteps, []


def native(spec: EnvSpec, seed: int, steps: int) -> tuple[int, Calls]:
    """Trains with deferred rewards of the environment; returns the steps and the reward calls."""
    return _ours(spec, seed, steps, NativeReward())


def program(spec: EnvSpec, seed: int, steps: int) -> tuple[int, Calls]:
    """Trains with a program in its worker; returns the steps and the reward calls."""
    return _ours(spec, seed, steps, RewardClient(program_for(spec), spec))


def _ours(spec: EnvSpec, seed: int, steps: int, source: RewardSource) -> tuple[int, Calls]:
    order = Order(spec, hyperparams("ppo", spec.id), seed=seed, steps=steps)
    with contextlib.closing(Clocked(source)) as reward:
        found = find_trainer("ppo").train(order, reward, Unwatched())
    if not isinstance(found, Trained):
        raise SystemExit(f"{spec.id}: the reward failed: {found.text}")
    return found.steps, reward.calls


def program_for(spec: EnvSpec) -> str:
    """Returns a program of a usual size over all scalar fields of a card: three components."""
    names = [field.name for field in spec.fields if field.shape == ()]
    pairs = ", ".join(names)
    terms = "\n".join(f"    calm = calm - 0.01 * np.tanh({name}) ** 2" for name in names)
    effort = (
        "0.0 * action" if spec.action.count is not None else "0.05 * np.sum(action**2, axis=-1)"
    )
    return (
        f"def compute_reward({pairs}, prev_{names[0]}, action):\n"
        f"    gain = np.clip({names[0]} - prev_{names[0]}, -1.0, 1.0)\n"
        f"    calm = 0.0 * {names[0]}\n{terms}\n"
        f"    effort = {effort}\n"
        '    return gain + calm - effort, {"gain": gain, "calm": calm, "effort": -effort}\n'
    )


WAYS: dict[str, Callable[[EnvSpec, int, int], tuple[int, Calls]]] = {
    "plain": plain,
    "native": native,
    "program": program,
}


def measured(env: str, way: str, seed: int, steps: int) -> Sample:
    """Trains once and returns what it took."""
    spec = find_task(env).env
    cpu, wall = _cpu_s(), time.perf_counter()
    done, calls = WAYS[way](spec, seed, steps)
    cpu, wall = _cpu_s() - cpu, time.perf_counter() - wall
    if len(calls) < 2:
        return Sample(env, way, seed, done, cpu, wall)
    rewards = sum(end - begin for begin, end in calls[1:])
    cycles = calls[-1][1] - calls[0][1]
    return Sample(env, way, seed, done, cpu, wall, len(calls) - 1, cycles, rewards)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def samples_of(
    envs: Sequence[str], rounds: int, steps: int, tell: Callable[[str], object]
) -> list[Sample]:
    """Returns every sample, the ways taking turns within each round; the first warms up unseen."""
    measured(envs[0], "program", 0, 1)
    found = []
    for seed in range(1, rounds + 1):
        for env in envs:
            for way in WAYS:
                found.append(measured(env, way, seed, steps))
                tell(f"{env} {way} seed {seed}: {found[-1].speed:,.0f} steps per core-second\n")
    return found


def summary(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Returns, per environment and way, the median speed, its range, and the share of rewards."""
    rows = []
    for env in dict.fromkeys(sample.env for sample in samples):
        base = median(s.speed for s in samples if (s.env, s.way) == (env, "plain"))
        for way in WAYS:
            mine = [s for s in samples if (s.env, s.way) == (env, way)]
            speeds = [s.speed for s in mine]
            rows.append(
                {
                    "env": env,
                    "way": way,
                    "steps_per_core_s": round(median(speeds), 1),
                    "low": round(min(speeds), 1),
                    "high": round(max(speeds), 1),
                    "of_plain": round(median(speeds) / base, 3),
                    "reward_share": round(median(s.share for s in mine), 4),
                }
            )
    return rows


def machine() -> dict[str, Any]:
    """Returns what the numbers depend on: processor, cores, load, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
        "niceness": os.nice(0),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  (one line of it)
            lines = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        lines = []
    return lines[0] if lines else platform.machine()


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns 0."""
    parser = argparse.ArgumentParser(description="Env steps per core-second of PPO, three ways.")
    parser.add_argument("--envs", nargs="+", default=["Hopper-v5"], metavar="ENV")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, a seed each")
    parser.add_argument("--steps", type=int, default=20_480, help="env steps of each training")
    parser.add_argument("--note", default="", help="words about the machine, kept in the document")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.steps < 1:
        parser.error("--rounds and --steps: at least 1 is wanted")
    before = machine()
    samples = samples_of(options.envs, options.rounds, options.steps, sys.stderr.write)
    rows = summary(samples)
    if options.json:
        command = ["python", "benchmarks/training_speed.py", *(arguments or sys.argv[1:])]
        document = {
            "command": command,
            "note": options.note,
            "machine": before,
            "seeds": list(range(1, options.rounds + 1)),
            "steps": options.steps,
            "results": rows,
            "samples": [asdict(sample) for sample in samples],
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return 0
    for row in rows:
        sys.stdout.write(
            f"{row['env']:28} {row['way']:8} {row['steps_per_core_s']:9,.0f} steps per core-second"
            f" [{row['low']:,.0f}, {row['high']:,.0f}]  {row['of_plain']:.2f} of plain"
            f"  rewards {100 * row['reward_share']:.1f} % of the time\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
