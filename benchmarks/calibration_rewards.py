"""The rewards of the calibration: what their files say, and the training of every one of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rewardsmith.agent.choices import executor_of, recipe_of
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.single import recorded_steps
from rewardsmith.envs.registry import find_task
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.sandbox.check import check

FOLDER = Path(__file__).parent / "rewards"
ENVS = ("Hopper-v5", "HalfCheetah-v5", "Reacher-v5", "LunarLander-v3")
HUMAN = "human"
RANDOM = "random"  # the untrained policy
PER_POINT = {"HalfCheetah-v5": 1}  # judged episodes at a point of the curve: these last longest
HUMAN_SEEDS = 5  # its interval says who is honest, and two seeds have hardly one


@dataclass(frozen=True)
class Reward:
    """A reward of the calibration; ``program`` is None for the environment's own."""

    env: str
    name: str
    by: str
    program: str | None
    built_to_be_hacked: bool = False


def rewards(env: str) -> tuple[Reward, ...]:
    """Returns the rewards of an environment, its own first."""
    written = yaml.safe_load((FOLDER / f"{env}.yaml").read_text())
    own = Reward(env, HUMAN, "the environment's authors", None)
    return (own, *(Reward(env, name, **entry) for name, entry in written.items()))


def train_all(
    env: str, config: RunConfig, out: Path, tell: Callable[[str], object]
) -> dict[str, list[TrainingReport]]:
    """Trains every reward of an environment that keeps the contract, whatever probes say of it.

    Args:
        env: one of `ENVS`.
        config: trainer, steps, seeds, workers.
        out: folder of the jobs; what is finished there is not trained again.
        tell: is told of each training that ended.

    Returns:
        The reports by reward, one for each seed.
    """
    units = {reward.name: _units(reward, config) for reward in rewards(env)}
    recipe = recipe_of(find_task(env), config)
    units[RANDOM] = recipe.units(RANDOM, None, "select", 1, steps=0)
    jobs = [(unit, out / env / unit.id) for many in units.values() for unit in many]
    done: dict[str, TrainingReport] = {}
    for unit, report in executor_of(config).run(jobs, lambda name, facts: None):
        done[unit.id] = report
        tell(f"{env} {unit.id}: {report.failure.text if report.failure else report.fitness}")
    return {name: [done[unit.id] for unit in many] for name, many in units.items()}


def _units(reward: Reward, config: RunConfig) -> tuple[Unit, ...]:
    task = find_task(reward.env)
    recipe = recipe_of(task, config)
    changes: dict[str, Any] = {"eval_episodes_per_point": PER_POINT.get(reward.env, 3)}
    if reward.program is None:
        return recipe.units(reward.name, None, "select", HUMAN_SEEDS, **changes)
    report = check(reward.program, task.env, recorded_steps(task), sandbox=config.confinement)
    if report.failure is not None:
        raise SystemExit(f"{reward.env} {reward.name}: {report.failure.text}")
    return recipe.units(
        reward.name, report.source, "select", config.seeds, mode=report.mode, **changes
    )


def kept(path: Path) -> dict[str, dict[str, list[TrainingReport]]]:
    """Returns the reports that `keep` wrote, by environment and reward."""
    return {
        env: {
            name: [TrainingReport.model_validate(report) for report in reports]
            for name, reports in by_name.items()
        }
        for env, by_name in json.loads(path.read_text()).items()
    }


def keep(path: Path, found: dict[str, dict[str, list[TrainingReport]]]) -> None:
    """Writes the reports, without the columns of their episodes, which are bulky."""
    plain = {
        env: {name: [_slim(report) for report in reports] for name, reports in by_name.items()}
        for env, by_name in found.items()
    }
    path.write_text(json.dumps(plain, separators=(",", ":")) + "\n")


def _slim(report: TrainingReport) -> dict[str, object]:
    slim = report.model_dump(mode="json", exclude={"versions"})
    for episode in slim["episodes"]:
        episode["fields"] = {}
    return slim
