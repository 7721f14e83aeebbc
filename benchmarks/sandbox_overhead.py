"""Measures what the sandbox costs a real training: CPU-seconds per step, confined against not.

    python benchmarks/sandbox_overhead.py --pairs 12 --json

One training after the other with the same seed: ``none`` is the same worker without walls, and each
backend is paired with its neighbour in time; the order turns round from pair to pair, so that a
machine that grows slower favours nobody. CPU-seconds are those of the trainer, the worker and, for
docker, the engine together, from the first rollout on; the start of a worker is measured apart.
``inline`` calls the reward in the trainer's own process, which no program of a model ever may: it
shows what the worker as such costs.
"""

import argparse
import contextlib
import json
import math
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from training_speed import Clocked, machine, program_for

from rewardsmith.envs.collect import concat, random_act, rollout
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.runs.stats import interval
from rewardsmith.runs.training.job import visible
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.trainers import Order, Trained, Unwatched, find_trainer
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.inside.evaluate import Program, evaluate
from rewardsmith.sandbox.program import parse
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

BASE, FLOOR = "none", "inline"
WALLED = ("process", "bubblewrap", "docker")
LIMIT = 1.05


@dataclass(frozen=True)
class Sample:
    """One training: its processor time without the worker's start, and the reward calls' share."""

    env: str
    trainer: str
    way: str
    pair: int
    steps: int
    cpu_s: float
    wall_s: float
    start_s: float
    share: float

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time per env step."""
        return 1e6 * self.cpu_s / self.steps


class Inline:
    """The same program called in this process, as no program of a model ever is."""

    def __init__(self, source: str, spec: EnvSpec) -> None:
        names: dict[str, Any] = {"np": np}
        exec(source, names)  # noqa: S102 - written above, by us
        parsed = parse(source)
        assert not isinstance(parsed, Failure)
        self._program = Program(names["compute_reward"], parsed.parameters, False, None)
        self._spec = spec

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch:
        """Returns what the function returns."""
        columns = {name: _column(steps, name) for name in self._program.parameters}
        answer = evaluate(self._program, columns, steps.rows, steps.num_envs, steps.starts, carry)
        return RewardBatch(answer.total, answer.components)

    def close(self) -> None:
        """Does nothing."""


def _column(steps: Steps, name: str) -> np.ndarray[Any, Any]:
    if name == "action":
        return steps.action
    if name.startswith("prev_"):
        return steps.before[name.removeprefix("prev_")]
    return steps.after[name]


def _ran_s(roots: Sequence[int]) -> float:
    """Seconds that processes and all below them have run."""
    total, left = 0, list(roots)
    while left:
        pid = left.pop()
        with contextlib.suppress(OSError):  # it has ended
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
                left += map(int, (task / "children").read_text().split())
    return total / 1e9


def _roots_of(source: RewardSource) -> list[int]:
    """The process ids of a client's worker and of the engine that carries its bytes, if any."""
    worker: Any = getattr(source, "_worker", None)
    if worker is None:
        return []
    if hasattr(worker, "process"):
        return [int(worker.process.pid)]
    peer = worker.pipes.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    engine = int.from_bytes(peer[:4], sys.byteorder)
    first = worker.engine.api.inspect_container(worker.container)["State"]["Pid"]
    status = Path(f"/proc/{first}/status").read_text()
    shim = int(status.split("PPid:")[1].split()[0])
    return [engine, shim]


@contextlib.contextmanager
def _source(way: str, spec: EnvSpec) -> Iterator[tuple[RewardSource, float]]:
    """A started source, and the seconds that its start took."""
    text = program_for(spec)
    if way == FLOOR:
        yield Inline(text, spec), 0.0
        return
    with RewardClient(text, spec, sandbox=way) as client:
        client.rewards(visible(concat(rollout(spec, random_act(spec, 0), [0], max_steps=8)), spec))
        yield client, client.ledger.start_s


def measured(env: str, trainer: str, way: str, pair: int, steps: int) -> Sample:
    """Trains once."""
    spec = find_task(env).env
    order = Order(spec, hyperparams(trainer, spec.id), seed=pair, steps=steps)
    with _source(way, spec) as (source, start_s):
        roots, reward = _roots_of(source), Clocked(source)
        cpu, wall = time.process_time() + _ran_s(roots), time.perf_counter()
        found = find_trainer(trainer).train(order, reward, Unwatched())
        cpu = time.process_time() + _ran_s(roots) - cpu
        wall = time.perf_counter() - wall
    if not isinstance(found, Trained):
        raise SystemExit(f"{env}: the reward failed: {found.text}")
    called = sum(end - begin for begin, end in reward.calls[1:])
    cycles = reward.calls[-1][1] - reward.calls[0][1]
    return Sample(env, trainer, way, pair, found.steps, cpu, wall, start_s, called / cycles)


def samples_of(env: str, trainer: str, ways: Sequence[str], pairs: int, steps: int) -> list[Sample]:
    """Returns all samples; the ways take turns, forwards and backwards."""
    for way in ways:  # what is loaded or built late is loaded and built here
        measured(env, trainer, way, 0, 5000)
    found = []
    for pair in range(1, pairs + 1):
        for way in ways if pair % 2 else reversed(ways):
            found.append(measured(env, trainer, way, pair, steps))
            line = f"{env} {trainer} {way} {pair}: {found[-1].cpu_us:.0f} us of CPU a step\n"
            sys.stderr.write(line)
    return found


def compared(samples: Sequence[Sample], way: str) -> dict[str, Any]:
    """Returns what a way costs beside `BASE`: the geometric mean of the pairs' ratios."""
    mine, base = ([s for s in samples if s.way == one] for one in (way, BASE))
    ratios = [m.cpu_us / b.cpu_us for m, b in zip(mine, base, strict=True)]
    found = interval([math.log(ratio) for ratio in ratios])
    return {
        "env": mine[0].env,
        "trainer": mine[0].trainer,
        "way": way,
        "pairs": len(ratios),
        "cpu_us_per_step": round(statistics.median(s.cpu_us for s in mine), 1),
        "of_unconfined": round(math.exp(found.mean), 4),
        "low": round(math.exp(found.low), 4),
        "high": round(math.exp(found.high), 4),
        "reward_share": round(statistics.median(s.share for s in mine), 5),
        "start_ms": round(1000 * statistics.median(s.start_s for s in mine), 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 where every backend's interval ends at `LIMIT` or below, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=["HalfCheetah-v5"], metavar="ENV")
    parser.add_argument("--trainers", nargs="+", default=["ppo"], metavar="TRAINER")
    parser.add_argument("--ways", nargs="+", default=list(WALLED), choices=WALLED)
    parser.add_argument("--no-inline", action="store_true", help="leave the floor out")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=20_480, help="env steps of each training")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if options.pairs < 2 or options.steps < 1:
        parser.error("--pairs wants at least 2, --steps at least 1")
    before, samples, rows = machine(), [], []
    for env in options.envs:
        for trainer in options.trainers:
            ways = [*([] if options.no_inline else [FLOOR]), BASE, *options.ways]
            samples += (found := samples_of(env, trainer, ways, options.pairs, options.steps))
            rows += [compared(found, way) for way in ways if way != BASE]
    kept = all(row["high"] <= LIMIT for row in rows)
    if options.json:
        command = ["python", "benchmarks/sandbox_overhead.py", *(arguments or sys.argv[1:])]
        document = {"command": command, "machine": before, "limit": LIMIT, "kept": kept}
        document |= {"results": rows, "samples": [asdict(sample) for sample in samples]}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    else:
        for row in rows:
            sys.stdout.write(
                "{env} {trainer} {way:10} {of_unconfined:.3f} of unconfined [{low:.3f}, "
                "{high:.3f}], {pairs} pairs; reward calls {share:.2f} % of a cycle; "
                "start {start_ms:.0f} ms\n".format(**row, share=100 * row["reward_share"])
            )
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
