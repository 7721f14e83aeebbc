"""Measures what a worker's start and its calls cost beside the same arithmetic in this process.

    python benchmarks/worker_cost.py --sandboxes process bubblewrap docker none --json

Confined and bare calls alternate, so that a busy machine slows both. Times of calls are in
microseconds; a start is the time from nothing to a worker that has loaded a program.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure

PROGRAM = """
def compute_reward(speed, position, action):
    run = np.exp(-speed**2)
    effort = np.sum(action**2, axis=-1)
    return run - 0.1 * effort, {"run": run, "effort": -0.1 * effort}
"""
SIZES = {2048: 300, 131_072: 40}
STARTS = 12


def _bare(steps: Steps) -> object:
    run = np.exp(-(steps.after["speed"] ** 2))
    effort = np.sum(steps.action**2, axis=-1)
    return run - 0.1 * effort, {"run": run, "effort": -0.1 * effort}


def _microseconds(call: Callable[[Steps], object], steps: Steps) -> float:
    began = time.perf_counter()
    answer = call(steps)
    took = (time.perf_counter() - began) * 1e6
    if isinstance(answer, Failure):
        raise SystemExit(f"the program failed: {answer.text}")
    return took


def start_ms(sandbox: str) -> list[float]:
    """Returns how long each of some starts took; the first, with its self-test, is left out."""
    taken = []
    for _ in range(STARTS + 1):
        with RewardClient(PROGRAM, EXAMPLE_SPEC, sandbox=sandbox) as client:
            client.rewards(example_steps(8))
            taken.append(client.ledger.start_s * 1000)
    return taken[1:]


def measure(sandbox: str, rows: int, pairs: int) -> dict[str, Any]:
    """Returns medians and minima of ``pairs`` alternating calls on ``rows`` rows."""
    steps = example_steps(rows)
    with RewardClient(PROGRAM, EXAMPLE_SPEC, sandbox=sandbox) as client:
        for _ in range(5):
            client.rewards(steps)
        taken = [
            (_microseconds(client.rewards, steps), _microseconds(_bare, steps))
            for _ in range(pairs)
        ]
    worker, bare = np.array(taken).T
    return {
        "sandbox": sandbox,
        "rows": rows,
        "pairs": pairs,
        "worker_us_median": float(np.median(worker)),
        "worker_us_min": float(worker.min()),
        "bare_us_median": float(np.median(bare)),
        "bare_us_min": float(bare.min()),
    }


def report(command: list[str], sandboxes: Sequence[str]) -> dict[str, Any]:
    """Measures every sandbox and size, and says on what."""
    starts = {name: start_ms(name) for name in sandboxes}
    return {
        "command": " ".join(["python", "benchmarks/worker_cost.py", *command]),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "start_ms": {
            name: {"median": median(taken), "min": min(taken), "starts": len(taken)}
            for name, taken in starts.items()
        },
        "results": [
            measure(name, rows, pairs) for name in sandboxes for rows, pairs in SIZES.items()
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    """Prints the costs and returns 0."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sandboxes", nargs="+", default=["process"], metavar="SANDBOX")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(given)
    found = report(given, chosen.sandboxes)
    if chosen.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    for name, taken in found["start_ms"].items():
        sys.stdout.write(f"{name:10} starts in {taken['median']:.0f} ms (min {taken['min']:.0f})\n")
    for row in found["results"]:
        sys.stdout.write(
            "{sandbox:10} {rows:>7} rows: worker {worker_us_median:8.0f} us, "
            "bare {bare_us_median:8.0f} us\n".format(**row)
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
