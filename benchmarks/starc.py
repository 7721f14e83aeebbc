"""Measures the STARC distance on rewards whose true distance is known, and what it costs.

    python benchmarks/starc.py --rows 200 2000 5000 30000 --seeds 0 1 2 --json

On Reacher-v5, half of the transitions are of exploring policies, half of noisy linear ones. The
reference is minus the distance to the target minus 0.1 |action|^2. Copies of it, scaled, offset,
shaped or with a component given twice, are at distance 0, its negative at 2, unrelated rewards at
1.41. ``raw`` is the distance without taking the shaping out: that of Pearson's correlation.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from training_speed import machine

from rewardsmith.agent.evidence.orders import spearman
from rewardsmith.agent.evidence.starc import (
    DIRECTIONS,
    GAMMA,
    Canonical,
    Undecided,
    canonicalise,
    starc_facts,
)
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode, returns
from rewardsmith.envs.collect import Act, concat, rollout
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.runs.bank import collect_random

ENV = "Reacher-v5"
REFERENCE = "reference"
_REPEATS = 5


def bank_of(rows: int, seed: int) -> Stored:
    """Returns about ``rows`` transitions, half of exploring policies, half of linear ones."""
    task = find_task(ENV)
    episodes = list(collect_random(task, rows // 2, seed))
    # Episodes are short here: all policies get whole ones, and one each.
    left = max(0, rows - sum(episode.length for episode in episodes))
    for number in range(-(-left // task.env.max_steps)):
        act = linear_act(task.env, np.random.default_rng([seed, number]))
        episodes += rollout(task.env, act, [10_000 * (seed + 1) + number])
    return _stored(episodes)


def linear_act(spec: EnvSpec, rng: np.random.Generator) -> Act:
    """Returns a random linear policy, squashed, with noise of 0.05 to 0.4 of the action's range."""
    size, noise = rng.uniform(0.1, 1.5), rng.uniform(0.05, 0.4)
    weights: list[FloatArray] = []

    def act(observation: Any) -> Any:
        if not weights:
            shape = (len(spec.action.low), len(observation))
            weights.append(size * rng.standard_normal(shape) / np.sqrt(len(observation)))
        wish = np.tanh(weights[0] @ observation) + noise * rng.standard_normal(len(weights[0]))
        return np.clip(wish, spec.action.low, spec.action.high).astype(np.float32)

    return act


def _stored(episodes: Sequence[Episode]) -> Stored:
    ends = np.cumsum([episode.length for episode in episodes]).tolist()
    known = [
        StoredEpisode(str(number), "random", "random", end - episode.length, end)
        for number, (episode, end) in enumerate(zip(episodes, ends, strict=True))
    ]
    return Stored(concat(episodes), tuple(known))


def candidates(steps: Steps, seed: int) -> dict[str, FloatArray]:
    """Returns the rewards of the table on these steps, (rows,) each."""
    rng = np.random.default_rng(seed)
    after, before = steps.after["distance"], steps.before["distance"]
    effort = -0.1 * np.sum(steps.action**2, axis=-1)
    reference = effort - after
    potential = {side: _affine(fields, seed) for side, fields in _sides(steps).items()}
    shaped = GAMMA * potential["after"] - potential["before"]
    noise = rng.standard_normal(steps.rows)
    return {
        REFERENCE: reference,
        "5 reference + 3": 5 * reference + 3,
        "both components given twice": 2 * effort - 2 * after,
        "reference + affine potential": reference + shaped,
        "reference + 10 (shaping by distance)": reference + 10 * (before - GAMMA * after),
        "reference + exp(-d/0.1) as potential": reference
        + GAMMA * np.exp(-after / 0.1)
        - np.exp(-before / 0.1),
        "weight of the effort 0.12": 1.2 * effort - after,
        "reference + 10 % noise": reference + 0.1 * reference.std() * noise,
        "no effort": -after,
        "exp(-d/0.1)": np.exp(-after / 0.1),
        "exp(-d/0.02)": np.exp(-after / 0.02),
        "progress d(s) - d(s')": before - after,
        "pure shaping d(s) - gamma d(s')": before - GAMMA * after,
        "random linear": _affine(_sides(steps)["after"], seed + 1) + steps.action @ [1.0, -1.0],
        "noise": noise,
        "-reference": -reference,
        "environment's own": steps.native_reward,
    }


def _sides(steps: Steps) -> dict[str, Mapping[str, FloatArray]]:
    return {"after": steps.after, "before": steps.before}


def _affine(fields: Mapping[str, FloatArray], seed: int) -> FloatArray:
    """Returns a random affine function of what a state is: angles, velocities, the target."""
    rng = np.random.default_rng([seed, 1])
    scale = {"joint_angles": 1.0, "joint_velocities": 0.1, "target": 10.0}
    parts = [fields[name] @ (size * rng.standard_normal(2)) for name, size in scale.items()]
    found: FloatArray = np.sum(parts, axis=0) + 2.0
    return found


def measured(rows: int, seed: int) -> dict[str, Any]:
    """Returns distances to the reference, residuals and the time of one bank."""
    bank = bank_of(rows, seed)
    rewards = candidates(bank.steps, seed)
    seconds, cpu_seconds = [], []
    for _ in range(_REPEATS):
        began, cpu = time.perf_counter(), time.process_time()
        canonical, apart = _distances(bank, rewards)
        cpu_seconds.append(round(time.process_time() - cpu, 4))
        seconds.append(round(time.perf_counter() - began, 4))
    facts: dict[str, Any] = {
        "rows": bank.steps.rows,
        "seed": seed,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }
    if isinstance(canonical, Undecided):
        return facts | {"refused": canonical.text, "candidates": []}
    totals = {name: returns(column, bank.episodes) for name, column in rewards.items()}
    table = [
        {
            "candidate": name,
            **apart[name],
            "residual": canonical.residual[name],
            "raw": _pearson(rewards[REFERENCE], column),
            "spearman": spearman(totals[REFERENCE], totals[name]),
        }
        for name, column in rewards.items()
    ]
    shape = {"potentials": canonical.potentials, "fit_rows": canonical.fit_rows}
    pair = starc_facts(canonical.distance("no effort", "progress d(s) - d(s')"))
    return facts | shape | {"refused": None, "candidates": table, "progress_to_no_effort": pair}


def _distances(
    bank: Stored, rewards: Mapping[str, FloatArray]
) -> tuple[Canonical | Undecided, dict[str, dict[str, Any]]]:
    found = canonicalise(bank, rewards)
    if isinstance(found, Undecided):
        return found, {}
    return found, {name: starc_facts(found.distance(REFERENCE, name)) for name in rewards}


def _pearson(first: FloatArray, second: FloatArray) -> float:
    return float(np.sqrt(max(0.0, 2 - 2 * np.corrcoef(first, second)[0, 1])))


def text_of(samples: Sequence[Mapping[str, Any]]) -> str:
    """Returns one table per bank."""
    lines: list[str] = []
    for sample in samples:
        head = f"{sample['rows']:,} transitions, seed {sample['seed']}, "
        took = median(sample["seconds"]), median(sample["cpu_seconds"])
        lines.append(f"{head}{took[0]:.2f} s, of processors {took[1]:.2f} s")
        if sample["refused"]:
            lines.append(f"  refused: {sample['refused']}")
        lines += [_line(row) for row in sample["candidates"]]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    shown = str(row["undecided"])
    if row["undecided"] is None:
        low, high = row["interval"]
        shown = f"{row['distance']:.4f} [{low:.4f}, {high:.4f}]"
    order = "" if row["spearman"] is None else f"{row['spearman']:.2f}"
    return (
        f"  {row['candidate']:38} {shown:26} residual {row['residual']:.4f}"
        f"  raw {row['raw']:.3f}  Spearman {order}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns 0."""
    parser = argparse.ArgumentParser(description="STARC distances whose true value is known.")
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 2_000, 5_000, 30_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if min(*options.rows, 1) < 1:
        parser.error("--rows: at least 1 is wanted")
    before = machine()
    samples = [measured(rows, seed) for rows in options.rows for seed in options.seeds]
    if not options.json:
        sys.stdout.write(text_of(samples))
        return 0
    document = {
        "command": ["python", "benchmarks/starc.py", *(arguments or sys.argv[1:])],
        "machine": before,
        "env": ENV,
        "gamma": GAMMA,
        "directions": DIRECTIONS,
        "samples": samples,
    }
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
