"""Measures how the Ray executor scales: the same units on clusters of one core per node.

    python benchmarks/cluster.py --nodes 1 2 --units 8 --json
    python benchmarks/cluster.py --trainer fast --units 16 --steps 200000 --stacks 1 8 --json

All nodes are processes of this machine, so more of them than cores say nothing. Every cluster gets
a first unit per node before the clock starts, since a node's first task starts its Python. The
efficiency is units per second and node, as a part of that of the first row: so many units to a
task at most (``--stacks``), and so many nodes.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from training_speed import machine

from rewardsmith.envs.registry import find_task
from rewardsmith.runs.executors.ray_cluster import Ray
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training.presets import hyperparams


def units_of(env: str, trainer: str, steps: int, count: int) -> list[Unit]:
    """Returns units that differ in their seed alone."""
    task = find_task(env)
    params = hyperparams(trainer, task.env.id)
    return [
        Unit(
            id=f"u{seed}",
            task=task,
            program=None,
            trainer=trainer,
            hyperparams=params,
            seed=seed,
            steps=steps,
            eval_seeds=(10**9,),
            eval_points=1,
        )
        for seed in range(count)
    ]


def measured(nodes: int, stack: int, units: list[Unit], folder: Path) -> dict[str, Any]:
    """Runs the units on a new cluster of so many nodes; returns what it took."""
    import ray
    from ray.cluster_utils import Cluster

    quiet: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **quiet)
        cluster.wait_for_nodes()
        executor = Ray(address=cluster.address, stack=stack)
        warm = [unit.model_copy(update={"id": f"warm{unit.seed}"}) for unit in units[:nodes]]
        list(executor.run([(unit, folder / unit.id) for unit in warm]))
        begin = time.perf_counter()
        reports = [report for _, report in executor.run([(u, folder / u.id) for u in units])]
        wall_s = time.perf_counter() - begin
    finally:
        ray.shutdown()
        cluster.shutdown()
    cpu_s = sum(report.cpu_s for report in reports)
    return {"nodes": nodes, "stack": stack, "units": len(reports), "wall_s": wall_s, "cpu_s": cpu_s,
            "units_per_s": len(reports) / wall_s}  # fmt: skip


def with_efficiency(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds to each row its units per second and node, as a part of those of the first row."""
    base = rows[0]["units_per_s"] / rows[0]["nodes"]
    return [row | {"efficiency": row["units_per_s"] / row["nodes"] / base} for row in rows]


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns 0."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    parser = argparse.ArgumentParser(description="How the Ray executor scales.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--stacks", type=int, nargs="+", default=[8], help="units to a task")
    parser.add_argument("--env", default="Hopper-v5")
    parser.add_argument("--trainer", default="ppo")
    parser.add_argument("--steps", type=int, default=20_000, help="env steps of each unit")
    parser.add_argument("--note", default="", help="words about the machine, kept in the document")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    units = units_of(options.env, options.trainer, options.steps, options.units)
    rows = []
    for stack, nodes in itertools.product(options.stacks, options.nodes):
        with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
            rows.append(measured(nodes, stack, units, Path(folder)))
    rows = with_efficiency(rows)
    if options.json:
        command = ["python", "benchmarks/cluster.py", *(arguments or sys.argv[1:])]
        document = {"command": command, "note": options.note, "machine": machine(), "results": rows}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return 0
    for row in rows:
        where = f"{row['nodes']} nodes, stacks of {row['stack']}"
        took = f"{row['wall_s']:.1f} s ({row['cpu_s']:.1f} core-s)"
        sys.stdout.write(
            f"{where}: {row['units']} units in {took}, efficiency {row['efficiency']:.2f}\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
