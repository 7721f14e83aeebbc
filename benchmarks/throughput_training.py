"""Env steps per core-second of whole trainings: ``fast`` against Stable-Baselines3.

    python benchmarks/throughput_training.py --quick

``sb3_dummy8`` is PPO of Stable-Baselines3 in eight environments of ``DummyVecEnv``, with its
``VecNormalize`` and the environment's reward. ``fast_k1`` and ``fast_k8`` train one and eight
lanes with the same hyperparameters, and with a reward program per lane in its confined worker. A
rate is taken between the first update and the last; the processor time of workers is in it, and
so is that of audits, as many as come to a training of the preset's length. What a training takes
before its first update, the start of workers included, is told apart. All stays on one core.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from quiet_slices import Slice, busy_s, ratio, summary
from training_speed import program_for

from rewardsmith.envs.recorder import plain_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, Task
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training.presets import default_steps, hyperparams
from rewardsmith.runs.training.reward_sources import open_reward
from rewardsmith.runs.training.trainers import Lane, Order, StackTrainer, Unwatched, find_trainer
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

ENVS = ("HalfCheetah-v5", "Hopper-v5", "Ant-v5")
BATCH, PRESET_BATCH = 64, 128  # Stable-Baselines3's default, and that of the presets
SB3_ROLLOUTS, FAST_ROLLOUTS, STACK_ROLLOUTS = 3, 11, 6
FIRST_AUDIT, AUDIT_FACTOR = 8, 8  # calls after which a reward is audited
AUDIT_QUESTIONS = 12  # more than an audit asks of a program without memory
SIZES = ((1, 8), (2, 8), (4, 8), (8, 8), (1, 64), (8, 64))  # lanes, environments of each
ROUNDS = 5


@dataclass(frozen=True)
class Moment:
    """Clocks at one point: wall, this process and its children, all processes; in seconds."""

    wall: float
    cpu: float
    busy: float

    @classmethod
    def now(cls) -> "Moment":
        """Reads the clocks."""
        return cls(time.perf_counter(), cpu_s(), busy_s())


def cpu_s() -> float:
    """Returns processor seconds of this process and all its children, alive or ended."""
    return ended_cpu_s() + sum(_used_s(stat) for stat in _living_children())


def ended_cpu_s() -> float:
    """Returns processor seconds of this process and its ended children; quick to ask for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _living_children() -> list[list[str]]:
    """Returns the fields of ``/proc/PID/stat`` from the third on, of every living descendant."""
    found: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = path.read_text().partition(" (")
        except OSError:  # it has ended meanwhile
            continue
        found[int(number)] = rest.rpartition(") ")[2].split()
    family = {os.getpid()}
    while more := {pid for pid, stat in found.items() if int(stat[1]) in family} - family:
        family |= more
    return [found[pid] for pid in family - {os.getpid()} if pid in found]


def _used_s(stat: list[str]) -> float:
    return sum(int(word) for word in stat[11:15]) / os.sysconf("SC_CLK_TCK")


class Marks(Unwatched):
    """Reads the clocks at the first update and at the one after ``last`` steps."""

    def __init__(self, last: int) -> None:
        self.moments: list[Moment] = []
        self._last = last

    def updated(self, steps: int, policy: Any, std: Any) -> Mapping[str, float]:
        """Reads the clocks."""
        if not self.moments or steps >= self._last:
            self.moments.append(Moment.now())
        return {}


@dataclass
class Asked:
    """A reward source that measures its audited call, and the one after it; keeps the last."""

    source: RewardSource
    calls: int = 0
    taken: list[float] = field(default_factory=list)
    steps: Steps | None = None

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the source's answer."""
        self.calls += 1
        self.steps = steps
        if self.calls not in (FIRST_AUDIT, FIRST_AUDIT + 1):
            return self.source.rewards(steps, carry=carry)
        begin = ended_cpu_s()
        answer = self.source.rewards(steps, carry=carry)
        self.taken.append(ended_cpu_s() - begin)
        return answer

    def close(self) -> None:
        """Closes the source."""
        self.source.close()

    @property
    def counted_s(self) -> float:
        """What of an audit the clocks of this process have seen, in processor seconds."""
        return self.taken[0] - self.taken[1] if self.taken else 0.0


def audit_cost_s(program: str, spec: EnvSpec, steps: Steps) -> float:
    """Returns the processor seconds of an audit: a fresh worker that answers for some rollouts.

    Measured apart, while the worker lives: what a worker within walls has used is not told to this
    process when it ends.
    """
    with RewardClient(program, spec) as client:
        begin = cpu_s()
        for _ in range(AUDIT_QUESTIONS):
            client.rewards(steps)
        return cpu_s() - begin


@dataclass(frozen=True)
class Turn:
    """One turn of one way; ``start_cpu_s`` came before the slice, per lane."""

    slice: Slice
    start_cpu_s: float = 0.0
    audit_s: float = 0.0


class Sb3:
    """One model of Stable-Baselines3 that learns on from turn to turn."""

    def __init__(self, task: Task, batch: int) -> None:
        import torch
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.vec_env import VecNormalize

        torch.set_num_threads(1)
        params = _params(task, batch)
        names = ("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range",
                 "ent_coef", "vf_coef", "max_grad_norm", "learning_rate")  # fmt: skip
        # As its users make them: each environment within a Monitor.
        envs = make_vec_env(lambda: plain_env(task.env.id, task.env.kwargs), params["n_envs"])
        env = VecNormalize(envs, gamma=params["gamma"])
        kwargs = {name: params[name] for name in names}
        self._model = PPO("MlpPolicy", env, device="cpu", **kwargs)
        self._steps = SB3_ROLLOUTS * params["n_envs"] * params["n_steps"]
        self._model.learn(1)

    def turn(self) -> Turn:
        """Learns for some rollouts."""
        begin = Moment.now()
        self._model.learn(self._steps, reset_num_timesteps=False)
        return Turn(_slice(begin, Moment.now(), self._steps, 0.0))


class Fast:
    """Stacks of ``lanes`` trainings, a new one at each turn; each lane has a worker of its own."""

    def __init__(self, task: Task, batch: int, lanes: int) -> None:
        self._task = task
        self._params = _params(task, batch)
        self._lanes, self._rollouts = lanes, FAST_ROLLOUTS if lanes == 1 else STACK_ROLLOUTS
        self._rollout = self._params["n_envs"] * self._params["n_steps"]
        found = find_trainer("fast")
        assert isinstance(found, StackTrainer)
        self._trainer = found
        self._seed = 0
        self._audit_s: float | None = None

    def turn(self) -> Turn:
        """Trains a stack from the start of its workers to the end."""
        begin = Moment.now()
        steps = self._rollouts * self._rollout
        marks = Marks(steps)
        with ExitStack() as stack:
            sources = [self._source(stack) for _ in range(self._lanes)]
            watches = [Unwatched()] * (self._lanes - 1) + [marks]
            orders = [
                Order(self._task.env, self._params, seed=self._seed + i, steps=steps)
                for i in range(self._lanes)
            ]
            found = self._trainer.train_stack(
                [Lane(*lane) for lane in zip(orders, sources, watches, strict=True)]
            )
        self._seed += self._lanes
        for result in found:
            if isinstance(result, Failure):
                raise SystemExit(f"{self._task.env.id}: the reward failed: {result.text}")
        asked = sources[0].steps
        if self._audit_s is None and asked is not None:
            spec = self._task.env
            self._audit_s = audit_cost_s(program_for(spec), spec, asked)
        counted = sum(source.counted_s for source in sources)
        return self._turn(begin, *marks.moments, counted)

    def _source(self, stack: ExitStack) -> Asked:
        unit = Unit(
            id="throughput", task=self._task, program=program_for(self._task.env),
            trainer="fast", hyperparams={}, seed=0, steps=self._length, eval_seeds=(1,),
        )  # fmt: skip
        return Asked(stack.enter_context(open_reward(unit)))

    @property
    def _length(self) -> int:
        return default_steps(self._task.env.id, "fast")

    def _turn(self, begin: Moment, first: Moment, last: Moment, counted_s: float) -> Turn:
        steps = (self._rollouts - 1) * self._rollout * self._lanes
        # An audit on the way is taken out; as many come in as so many steps bring on average.
        audits = audits_of(self._length // self._rollout) * steps / self._length
        audit_s = self._audit_s or 0.0
        measured = _slice(first, last, steps, audits * audit_s - counted_s)
        return Turn(measured, (first.cpu - begin.cpu) / self._lanes, audit_s)


def audits_of(calls: int) -> int:
    """Returns how many audits a training with so many reward calls has, the last one included."""
    count, due = 1, FIRST_AUDIT
    while due <= calls:
        count, due = count + 1, due * AUDIT_FACTOR
    return count


def _slice(begin: Moment, end: Moment, steps: int, extra_cpu_s: float) -> Slice:
    wall, cpu = end.wall - begin.wall, end.cpu - begin.cpu
    others = max(0.0, (end.busy - begin.busy - cpu) / wall)
    return Slice(steps, wall + extra_cpu_s, cpu + extra_cpu_s, others)


def _params(task: Task, batch: int) -> dict[str, Any]:
    changes = {"n_envs": 8, "n_steps": 256, "batch_size": batch}
    return hyperparams("fast", task.env.id, changes)


def measured(task_id: str, batch: int, rounds: int) -> dict[str, list[Turn]]:
    """Returns the turns of every way, one each per round; compiles before the first."""
    task = find_task(task_id)
    ways = {"sb3_dummy8": Sb3(task, batch), "fast_k1": Fast(task, batch, 1)}
    ways["fast_k8"] = Fast(task, batch, 8)
    ways["fast_k1"].turn()
    found: dict[str, list[Turn]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way.turn())
    return found


def rows_of(found: Mapping[str, list[Turn]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns rates by way, and the ratios of ``fast`` to Stable-Baselines3 by way."""
    slices = {name: [turn.slice for turn in turns] for name, turns in found.items()}
    rates: dict[str, Any] = {}
    for name, turns in found.items():
        rates[name] = summary(slices[name])
        if name != "sb3_dummy8":
            rates[name] |= {
                "start_cpu_s": round(median(turn.start_cpu_s for turn in turns), 3),
                "audit_cpu_s": round(median(turn.audit_s for turn in turns), 3),
            }
    ratios = {
        name: ratio(mine, slices["sb3_dummy8"])
        for name, mine in slices.items()
        if name != "sb3_dummy8"
    }
    return rates, ratios


def memory_mib(lanes: int, num_envs: int) -> float:
    """Returns the peak memory of a fresh process that trains such a stack for two rollouts."""
    command = [sys.executable, __file__, "--memory", str(lanes), str(num_envs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _train_for_memory(lanes: int, num_envs: int) -> float:
    from rewardsmith.runs.training.reward_sources import NativeReward

    task = find_task(ENVS[0])
    params = _params(task, BATCH) | {"n_envs": num_envs}
    steps = 2 * num_envs * params["n_steps"]
    trainer: Any = find_trainer("fast")
    orders = [Order(task.env, params, seed=i, steps=steps) for i in range(lanes)]
    trainer.train_stack([Lane(order, NativeReward(), Unwatched()) for order in orders])
    # Not ru_maxrss: that begins with what the parent had.
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def measure(*, quick: bool, tell: Callable[[str], object]) -> dict[str, Any]:
    """Returns rates, memory and the ratios to Stable-Baselines3, from a process of one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, __file__, *(["--quick"] if quick else [])]
    done = subprocess.run(
        command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE, text=True
    )
    tell("trainings: done")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measured(rounds: int) -> dict[str, Any]:
    training: dict[str, Any] = {}
    ratios: dict[str, dict[str, Any]] = {}
    for env, batch in [*((env, BATCH) for env in ENVS), (ENVS[0], PRESET_BATCH)]:
        rates, against = rows_of(measured(env, batch, rounds))
        training.setdefault(f"batch {batch}", {})[env] = rates
        for name, found in against.items():
            more = "" if batch == BATCH else "_preset"
            key = f"{name}_vs_sb3_dummy8{more}_per_core_s"
            ratios.setdefault(key, {})[env] = found["per_core"]
            ratios.setdefault(f"{name}_vs_sb3_dummy8{more}_wall", {})[env] = found["wall"]
        _tell(f"{env}, batch {batch}: {rates} {against}")
    memory = {f"K={lanes} N={envs}": memory_mib(lanes, envs) for lanes, envs in SIZES}
    _tell(f"peak memory in MiB, {ENVS[0]}: {memory}")
    return {"training": training, "training_memory_mib": memory, "ratios": ratios}


def _pin() -> None:
    """Stays on one core, workers too, as a training of the pool does."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> int:
    """Measures, and prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="five rounds instead of fifteen")
    parser.add_argument("--memory", nargs=2, type=int, metavar=("LANES", "ENVS"))
    options = parser.parse_args()
    if options.memory:
        sys.stdout.write(f"{_train_for_memory(*options.memory):.1f}\n")
        return 0
    _pin()
    found = _measured(ROUNDS if options.quick else 3 * ROUNDS)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
