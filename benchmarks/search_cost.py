"""Measures what a whole search costs: ours from the first proposal to the report, beside plain SB3.

    python benchmarks/search_cost.py --json
    python benchmarks/search_cost.py --candidates 4 --generations 2 --steps 20000 --plain-steps 8192

The search is one `design` with the synthetic proposer, which writes programs at once, so that what
is measured is everything but a model's thinking. The overhead is all processor time that the search
had to itself, ``workers`` times its wall time, less what its units report: their reward workers,
trainings, curves and judgements. Plain Stable-Baselines3 is not run for all these steps: a part is
measured, as many trainings side by side as there are workers, and extrapolated to the same steps.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from training_speed import machine, plain

from rewardsmith.agent.assembly import assemble
from rewardsmith.agent.choices import executor_of
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.flags import given
from rewardsmith.agent.session import design
from rewardsmith.envs.registry import find_task
from rewardsmith.runs.executors import Executor, ProgressWatch
from rewardsmith.runs.records import RunState, TrainingReport, Unit


class Timed:
    """An executor that notes how long each of its calls took, and passes them on."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.wall_s = 0.0

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields what the executor yields."""
        begin = time.monotonic()
        try:
            yield from self._executor.run(units, watch)
        finally:
            self.wall_s += time.monotonic() - begin


def search(config: RunConfig, workers: int) -> dict[str, Any]:
    """Runs the search and returns what it took; all times in s."""
    timed = Timed(executor_of(config))
    begin = time.monotonic()
    crew = partial(assemble, executor=timed)
    state = design(config, view=_unseen, make_crew=crew).state
    wall_s = time.monotonic() - begin
    reports = _reports(state)
    busy_s = sum(report.wall_s for report in reports)
    return {
        "wall_s": wall_s,
        "in_trainings_wall_s": timed.wall_s,
        "units": len(reports),
        "failed": sum(report.failure is not None for report in reports),
        "env_steps": sum(report.steps for report in reports),
        "units_wall_s": busy_s,
        "units_cpu_s": sum(report.cpu_s for report in reports),
        "rewards_wall_s": sum(report.reward_wall_s for report in reports),
        "overhead": 1.0 - busy_s / (workers * wall_s),
        "outside_of_trainings": 1.0 - timed.wall_s / wall_s,
    }


def _reports(state: RunState) -> list[TrainingReport]:
    searched = [r for item in state.candidates for r in (*item.reports, *item.rechecks)]
    return searched + [report for arm in state.arms for report in arm.reports]


def _unseen(kind: str, **facts: Any) -> None:
    """Shows nothing: drawing would be measured, too."""


def plain_part(env: str, steps: int, workers: int) -> dict[str, Any]:
    """Trains plain SB3 for ``steps``, as many at a time as workers; returns s per env step of one.

    Only the trainings are timed, without the start of their processes.
    """
    command = [sys.executable, __file__, "--env", env, "--plain-steps", str(steps), "--part"]
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed with the process)
    children = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, stderr=log, text=True)
        for seed in range(1, workers + 1)
    ]
    answers = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        log.seek(0)
        raise SystemExit(f"plain SB3 ended with an error:\n{log.read()}")
    told = [json.loads(answer) for answer in answers]
    return {
        "measured_steps": sum(part["steps"] for part in told),
        "s_per_step": sum(p["wall_s"] for p in told) / sum(p["steps"] for p in told),
    }


def _part(env: str, seed: int, steps: int) -> dict[str, Any]:
    begin = time.perf_counter()
    done, _ = plain(find_task(env).env, seed, steps)
    return {"steps": done, "wall_s": time.perf_counter() - begin}


def measured(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Returns the document: the search, the part of plain SB3, and what follows from both."""
    config = RunConfig(
        env=options.env,
        llm="scripted",
        algo=options.trainer,
        candidates=options.candidates,
        generations=options.generations,
        steps=options.steps,
        recheck_seeds=options.recheck_seeds,
        final_seeds=options.final_seeds,
        critic_rounds=0,
        strategy="iid",
        workers=options.workers,
        executor=options.executor,
        executor_args=given({"executor_args": options.executor_arg}).get("executor_args", {}),
        video=False,
        probes=False,  # all candidates train, whatever they are worth
        out=out,
    )
    ours = search(config, options.workers)
    part = plain_part(options.env, options.plain_steps, options.workers)
    extrapolated = part["s_per_step"] * ours["env_steps"] / options.workers
    return {
        "command": ["python", "benchmarks/search_cost.py", *options.given],
        "note": options.note,
        "machine": machine(),
        "options": {k: v for k, v in vars(options).items() if k not in ("given", "note", "part")},
        "search": ours,
        "minutes": ours["wall_s"] / 60,
        "plain": part | {"extrapolated": True},
        "plain_minutes": extrapolated / 60,
        "times_faster": extrapolated / ours["wall_s"],
    }


def text_of(document: dict[str, Any]) -> str:
    """Returns the numbers in words."""
    ours, asked = document["search"], document["options"]
    return (
        f"{asked['env']}: {ours['units']} trainings ({ours['failed']} failed) of "
        f"{asked['trainer']}, {ours['env_steps'] / 1e6:.2f} M env steps, "
        f"{asked['workers']} workers\n"
        f"whole search {document['minutes']:.2f} min, measured\n"
        f"plain SB3 (ppo, trainings alone) {document['plain_minutes']:.2f} min, extrapolated from "
        f"{document['plain']['measured_steps']:,} steps; {document['times_faster']:.2f} times as "
        "long\n"
        f"all that is not in a unit {100 * ours['overhead']:.1f} % of the workers' time, of which "
        f"outside of trainings {100 * ours['outside_of_trainings']:.1f} %\n"
        f"{json.dumps(document['machine'])}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns 0."""
    parser = argparse.ArgumentParser(description="What a whole search costs.")
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--trainer", default="fast")
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500_000, help="env steps of each training")
    parser.add_argument("--recheck-seeds", type=int, default=0)
    parser.add_argument("--final-seeds", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--executor", default="local")
    parser.add_argument("--executor-arg", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--plain-steps", type=int, default=100_000, help="measured of plain SB3")
    parser.add_argument("--out", type=Path, help="folder of the run; by default it is not kept")
    parser.add_argument("--note", default="", help="words about the machine, kept in the document")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.given = arguments if arguments is not None else sys.argv[1:]
    if options.part is not None:
        sys.stdout.write(json.dumps(_part(options.env, options.part, options.plain_steps)))
        return 0
    with tempfile.TemporaryDirectory(prefix="search-cost-") as folder:
        document = measured(options, options.out or Path(folder) / "run")
    sys.stdout.write(
        json.dumps(document, indent=1, default=str) + "\n" if options.json else text_of(document)
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
