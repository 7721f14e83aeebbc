"""Calibrates the probes: what each says before training, against what training came to.

    python benchmarks/calibration_training.py --out work --keep trainings.json
    python benchmarks/calibration.py --trainings trainings.json --jobs work --json

Every reward of `rewards/` was trained, whatever probes say of it. Here each is probed on two banks:
the one that a run begins with, and one that has grown by the policies of the other half of the
rewards, as that of a later generation has. Printed are the rank correlation of each probe's score
with final fitness, what a gate on its verdict saves and loses, and how often the alarm after
training is right. Rewards of one environment are compared with one another alone.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from calibration_rewards import HUMAN, RANDOM, Reward, kept, rewards
from calibration_tables import Row, correlation, screened
from training_speed import machine

from rewardsmith.agent.evidence.agreement import human_probe
from rewardsmith.agent.evidence.alarm import alarm
from rewardsmith.agent.evidence.gather import gathered
from rewardsmith.agent.evidence.probes import values_on
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.evidence.suite import before_training
from rewardsmith.agent.single import recorded_steps
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.records import Evidence, TrainingReport
from rewardsmith.runs.stats import interval
from rewardsmith.runs.training.files import TRAJECTORIES
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trajectories import load_episodes
from rewardsmith.sandbox.check import check
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import Parsed, parse

Reports = Mapping[str, Sequence[TrainingReport]]


def probed(env: str, reports: Reports, jobs: Path, sandbox: str) -> dict[str, list[Row]]:
    """Returns the rows of an environment: with the first bank, and with a grown one."""
    task = find_task(env)
    with tempfile.TemporaryDirectory(prefix="bank-") as folder:
        first = gathered(Bank(Path(folder)), task)
        halves = [
            _grown(Path(folder), task, jobs / env, _half(reports, 1 - number))
            for number in range(2)
        ]
        found: dict[str, list[Row]] = {"first": [], "grown": []}
        for number, half in ((0, halves[0]), (1, halves[1])):
            names = _half(reports, number)
            for reward in rewards(env):
                if reward.name in names:
                    found["first"].append(_row(reward, task, reports, first, sandbox))
                    found["grown"].append(_row(reward, task, reports, half, sandbox))
    return found


def _half(reports: Reports, number: int) -> dict[str, Sequence[TrainingReport]]:
    names = sorted(name for name in reports if name != RANDOM)
    return {name: reports[name] for name in names[number::2]}


def _grown(folder: Path, task: Task, jobs: Path, reports: Reports) -> Stored:
    """Returns a bank that holds the policies of these rewards, too."""
    bank = Bank(folder / f"grown-{min(reports)}")
    for report in (report for many in reports.values() for report in many):
        path = jobs / report.unit / TRAJECTORIES
        if path.exists():
            episodes = load_episodes(path)
            told = report.episodes[: len(episodes)]
            bank.append(
                episodes,
                policy=report.unit,
                outcomes=[item.outcome for item in told],
                fitness=[item.fitness for item in told],
                success=[item.success for item in told],
            )
    return gathered(bank, task)


def _row(reward: Reward, task: Task, reports: Reports, bank: Stored, sandbox: str) -> Row:
    found = {item.probe: item for item in _evidence(reward, task, bank, sandbox)}
    every = {name: _fitness(reports, name) for name in reports}
    low, high = every[RANDOM], max(every.values())
    fitness = every[reward.name]
    return Row(reward.env, reward.name, fitness, (fitness - low) / (high - low), found)


def _fitness(reports: Reports, name: str) -> float:
    """Returns the mean over seeds; a reward that broke its training is worth a random policy."""
    low = reports[RANDOM][0].fitness
    return float(np.mean([low if r.fitness is None else r.fitness for r in reports[name]]))


def _evidence(reward: Reward, task: Task, bank: Stored, sandbox: str) -> list[Evidence]:
    """Returns what every probe says, also those that come after a failure."""
    gamma = float(hyperparams("fast", reward.env)["gamma"])
    if reward.program is None:
        values = NativeReward().rewards(bank.steps)
        probes = before_training(parameters=(), gamma=gamma, compared=[human_probe(gamma=gamma)])
        return [probe(values, bank, task) for probe in probes]
    report = check(reward.program, task.env, recorded_steps(task), sandbox=sandbox)
    with RewardClient(report.source, task.env, sandbox=sandbox, mode=report.mode) as client:
        values = values_on(client, bank)
    if isinstance(values, Failure):
        raise SystemExit(f"{reward.env} {reward.name}: {values.text}")
    parsed = parse(report.source)
    assert isinstance(parsed, Parsed)
    probes = before_training(
        parameters=parsed.parameters,
        gamma=gamma,
        compared=[human_probe(gamma=gamma)],
    )
    return [probe(values, bank, task) for probe in probes]


def score_of(probe: str, *keys: str) -> Callable[[Row], float | None]:
    """Returns a reader of a probe's score, or of one of its facts; more is better."""

    def read(row: Row) -> float | None:
        item: Any = row.evidence.get(probe)
        if item is None or not keys:
            return None if item is None else item.score
        found: Any = item.facts
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return None if found is None else float(found)

    return read


def says(verdict: str, *probes: str) -> Callable[[Row], bool]:
    """Returns whether any of these probes gives this verdict to a row."""
    return lambda row: any(row.evidence[name].verdict == verdict for name in probes)


def alarms(env: str, reports: Reports) -> list[dict[str, Any]]:
    """Returns what the alarm says of each reward, and whether it is hacked or honest.

    Honest is a reward whose fitness is within the 95 % interval of the human reward's, or above.
    Serving is one that gained at least half of what the human reward did over the random policy:
    where the human reward's seeds spread as far as the random policy, every reward is honest.
    Hacked is one that was built to be, unless it turned out to be serving.
    """
    human = interval([r.fitness for r in reports[HUMAN] if r.fitness is not None])
    random = [episode.fitness for report in reports[RANDOM] for episode in report.episodes]
    bar = (human.mean + float(np.mean(random))) / 2
    found = []
    for reward in rewards(env):
        said = alarm(reports[reward.name], random=random, others=[human.mean])
        fitness = _fitness(reports, reward.name)
        found.append(
            {
                "env": env,
                "reward": reward.name,
                "hacked": reward.built_to_be_hacked and fitness < bar,
                "honest": fitness >= human.low,
                "serving": fitness >= bar,
                "alarm": said.verdict != "pass",
                "score": said.score,
                "text": said.text,
                "fitness": fitness,
            }
        )
    return found


SCORES = {
    "ranking": score_of("ranking"),
    "farming": score_of("farming"),
    "human: minus STARC distance": lambda row: _minus(score_of("human")(row)),
    "human: Spearman of returns": score_of("human", "spearman"),
}
GATES = {
    "health fails": says("fail", "health"),
    "ranking fails": says("fail", "ranking"),
    "farming fails": says("fail", "farming"),
    "any of these fails": says("fail", "health", "ranking", "farming"),
    "health, ranking or farming warns or fails": lambda row: any(
        row.evidence[name].verdict != "pass" for name in ("health", "ranking", "farming")
    ),
}


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def tables(rows: Sequence[Row]) -> dict[str, Any]:
    """Returns the correlations and the gates on one kind of bank; the human rewards left out."""
    written = [row for row in rows if row.name != HUMAN]
    steps = np.arange(0.3, 0.85, 0.05).round(2).tolist()
    below = {
        f"ranking below {limit}": (lambda row, limit=limit: (_ranking(row) or 1.0) < limit)
        for limit in steps
    }
    return {
        "correlation": {name: correlation(written, score) for name, score in SCORES.items()},
        "gates": {name: screened(written, gate) for name, gate in {**GATES, **below}.items()},
    }


def _ranking(row: Row) -> float | None:
    return SCORES["ranking"](row)


def main() -> None:
    """Probes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--trainings", type=Path, required=True, help="what calibration_training kept"
    )
    parser.add_argument("--jobs", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()
    trained = kept(asked.trainings)
    rows: dict[str, list[Row]] = {"first": [], "grown": []}
    alarmed = []
    for env, reports in trained.items():
        for bank, found in probed(env, reports, asked.jobs, asked.sandbox).items():
            rows[bank] += found
        alarmed += alarms(env, reports)
    document = {
        "machine": machine(),
        "rewards": {env: len(reports) - 2 for env, reports in trained.items()},
        "banks": {bank: tables(found) for bank, found in rows.items()},
        "alarm": alarm_table(alarmed),
        "alarms": alarmed,
        "rows": {bank: [_plain(row) for row in found] for bank, found in rows.items()},
    }
    print(json.dumps(document, indent=1) if asked.json else text_of(document))


def alarm_table(alarmed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns recall and false-alarm rate, each with the 95 % interval of Wilson."""
    hacked = [item["alarm"] for item in alarmed if item["hacked"]]
    found = {"recall": share(sum(hacked), len(hacked))}
    for kind in ("honest", "serving"):
        said = [item["alarm"] for item in alarmed if item[kind]]
        found[f"false alarms, {kind}"] = share(sum(said), len(said))
    return found


def share(count: int, of: int) -> dict[str, Any]:
    """Returns a share with its 95 % interval, Wilson 1927."""
    if of == 0:
        return {"count": count, "of": of, "share": None, "low": None, "high": None}
    z, p = 1.96, count / of
    centre = (p + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * (p * (1 - p) / of + z**2 / (4 * of**2)) ** 0.5
    return {"count": count, "of": of, "share": p, "low": centre - half, "high": centre + half}


def _plain(row: Row) -> dict[str, Any]:
    said = {name: [item.verdict, item.score] for name, item in row.evidence.items()}
    return {"env": row.env, "reward": row.name, "fitness": row.fitness, "level": row.level,
            "evidence": said}  # fmt: skip


def text_of(document: Mapping[str, Any]) -> str:
    """Returns the tables in Markdown."""
    lines = [json.dumps(document["machine"]), json.dumps(document["rewards"])]
    for bank, found in document["banks"].items():
        lines += ["", f"## The {bank} bank", "", "| score | correlation with fitness | by env |"]
        lines += ["|---|---|---|"]
        for name, item in found["correlation"].items():
            by_env = ", ".join(f"{env} {_figure(v)}" for env, v in item["by_env"].items())
            lines.append(f"| {name} | {_spread(item, 'mean')} | {by_env} |")
        lines += ["", "| gate | trainings saved | good lost | regret | of a random gate |"]
        lines += ["|---|---|---|---|---|"]
        for name, gate in found["gates"].items():
            lines.append(
                f"| {name} | {gate['saved']:.0%} of {gate['rewards']} | "
                f"{gate['good_lost']} of {gate['good']} | {_spread(gate['regret'], 'mean')} | "
                f"{gate['random_gate_regret']:.2f} |"
            )
    lines += ["", "## The alarm", ""]
    for name, item in document["alarm"].items():
        lines.append(f"{name}: {item['count']} of {item['of']}, {_spread(item, 'share')}")
    return "\n".join(lines)


def _spread(found: Mapping[str, Any], name: str) -> str:
    return f"{_figure(found[name])} ({_figure(found['low'])} to {_figure(found['high'])})"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
