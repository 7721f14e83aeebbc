"""Measures what a call of a reward worker costs beside the same arithmetic in this process.

    python benchmarks/worker_cost.py --json

Confined and bare calls alternate, so that a busy machine slows both. Times are in microseconds.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
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


def measure(rows: int, pairs: int) -> dict[str, float]:
    """Returns medians and minima of ``pairs`` alternating calls on ``rows`` rows."""
    steps = example_steps(rows)
    with RewardClient(PROGRAM, EXAMPLE_SPEC) as client:
        for _ in range(5):
            client.rewards(steps)
        taken = [
            (_microseconds(client.rewards, steps), _microseconds(_bare, steps))
            for _ in range(pairs)
        ]
        start_ms = client.ledger.start_s * 1000
    worker, bare = np.array(taken).T
    return {
        "rows": rows,
        "pairs": pairs,
        "worker_us_median": float(np.median(worker)),
        "worker_us_min": float(worker.min()),
        "bare_us_median": float(np.median(bare)),
        "bare_us_min": float(bare.min()),
        "start_ms": start_ms,
    }


def report(command: list[str]) -> dict[str, Any]:
    """Measures every size and says on what."""
    return {
        "command": " ".join(["python", "benchmarks/worker_cost.py", *command]),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "results": [measure(rows, pairs) for rows, pairs in SIZES.items()],
    }


def main(arguments: list[str] | None = None) -> int:
    """Prints the costs and returns 0."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(given)
    found = report(given)
    if chosen.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    for row in found["results"]:
        line = "{rows:>7} rows: worker {worker_us_median:8.0f} us, bare {bare_us_median:8.0f} us\n"
        sys.stdout.write(line.format(**row))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
