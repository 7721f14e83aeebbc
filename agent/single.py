"""Commands for one reward that somebody wrote: train with it, look at a card."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rewardsmith.agent.assembly import random_steps
from rewardsmith.agent.choices import configured_task, executor_of, recipe_of
from rewardsmith.agent.config import RunConfig, make_config
from rewardsmith.agent.shaping import Wish, completed, wish_of
from rewardsmith.agent.walls import announce
from rewardsmith.envs.card import card_text
from rewardsmith.envs.registry import find_task, task_ids
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.stats import interval
from rewardsmith.sandbox.check import CheckReport

View = Callable[..., None]
Facts = dict[str, Any]


def contract_check(source: str, task: Task, wish: Wish) -> CheckReport:
    """Returns the contract check of a program, completed by its shaping and its subgoals."""
    from rewardsmith.runs.bank import RANDOM, Bank
    from rewardsmith.sandbox.check import check

    with tempfile.TemporaryDirectory(prefix="bank-") as folder:
        bank = Bank(Path(folder))
        report = check(source, task.env, random_steps(bank, task, 0), sandbox=wish.sandbox)
        return completed(report, task, wish, lambda: bank.episodes(policy=RANDOM))


def recorded_steps(task: Task) -> Steps:
    """Returns steps of untrained policies, for checks outside a run."""
    from rewardsmith.runs.bank import Bank

    with tempfile.TemporaryDirectory(prefix="bank-") as folder:
        return random_steps(Bank(Path(folder)), task, 0)


def train_file(reward: Path | None, flags: Mapping[str, Any], *, view: View) -> tuple[Facts, str]:
    """Trains one reward over the held-out seeds and returns its fitness with its interval.

    A reward program is checked first. ``--final-seeds`` says how many seeds; the job folders stay
    in ``--out``, and the same command continues after a stop.
    """
    config = make_config(flags)
    task = configured_task(config)
    if reward is not None:
        announce(config.confinement, view, yes=config.yes_run_unsandboxed)
    program, how = _checked_program(reward, task, config)
    units = recipe_of(task, config).units(
        "train", program, "final", max(1, config.final_seeds), **how
    )
    reports = _train(units, config, view)
    return _train_facts(reward, config, units, reports)


def list_tasks() -> tuple[Facts, str]:
    """Returns the built-in and installed tasks."""
    rows = [find_task(name) for name in task_ids()]
    facts = {
        "tasks": [
            {
                "id": name,
                "text": task.text,
                "fitness": task.fitness_meaning,
                "unit": task.fitness_unit,
            }
            for name, task in zip(task_ids(), rows, strict=True)
        ]
    }
    width = max(len(row["id"]) for row in facts["tasks"])
    return facts, "\n".join(f"{row['id']:{width}}  {row['text']}" for row in facts["tasks"])


def show_card(env: str, card: Path | None) -> tuple[Facts, str]:
    """Returns the card of one environment: what its rewards may use."""
    task = find_task(env, card=card)
    fields = [
        {"name": f.name, "shape": list(f.shape), "unit": f.unit, "meaning": f.meaning}
        for f in task.env.fields
    ]
    return {"env": env, "text": task.text, "fields": fields}, card_text(task.env)


def _checked_program(
    reward: Path | None, task: Task, config: RunConfig
) -> tuple[str | None, dict[str, Any]]:
    """Returns a program, and what a unit says of how it is evaluated."""
    wish = wish_of(config)
    if reward is None:
        if wish.chosen is not None:
            raise ConfigError("--shaping is of a program's components; give one with --reward")
        return None, {}
    report = contract_check(read_text(reward), task, wish)
    if report.failure is not None:
        raise ConfigError(f"{reward} breaks the reward contract: {report.failure.text}")
    return report.source, {"mode": report.mode, "shaping": report.shaping}


def _train(units: tuple[Unit, ...], config: RunConfig, view: View) -> list[TrainingReport]:
    with ExitStack() as stack:
        out = config.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="train-")))
        pool = executor_of(config)
        jobs = [(unit, out / unit.id) for unit in units]
        done = {
            unit.id: report
            for unit, report in pool.run(jobs, lambda name, f: view("training", unit=name, **f))
        }
    return [done[unit.id] for unit in units]


def _train_facts(
    reward: Path | None, config: RunConfig, units: tuple[Unit, ...], reports: list[TrainingReport]
) -> tuple[Facts, str]:
    values = [report.fitness for report in reports if report.fitness is not None]
    failures = [report.failure.text for report in reports if report.failure is not None]
    found = interval(values) if values else None
    facts = {
        "reward": str(reward) if reward else "the environment's own",
        "env": config.env,
        "steps": units[0].steps,
        "seeds": [unit.seed for unit in units],
        "fitness": values,
        "mean": found.mean if found else None,
        "interval": [found.low, found.high] if found and len(values) > 1 else None,
        "failures": failures,
        "out": str(config.out) if config.out else None,
    }
    return facts, _train_text(facts, units[0].task)


def _train_text(facts: Facts, task: Task) -> str:
    lines = [
        f"{facts['reward']} on {facts['env']}, {facts['steps']} steps, {len(facts['seeds'])} seeds"
    ]
    if facts["mean"] is not None:
        found = facts["interval"]
        spread = f", 95 % interval {found[0]:.3g} to {found[1]:.3g}" if found else ""
        lines.append(f"fitness {facts['mean']:.4g} {task.fitness_unit}{spread}")
    return "\n".join([*lines, *(f"failed: {text}" for text in facts["failures"])])


def read_text(path: Path) -> str:
    """Returns a program's text.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
