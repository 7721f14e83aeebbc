"""What a configuration means: its task, its recipe of training, its models and its cores."""

import os
from pathlib import Path
from typing import Any

from rewardsmith.agent.config import RunConfig, read_config
from rewardsmith.agent.llm import Role
from rewardsmith.agent.models import default_spec
from rewardsmith.agent.proving import Recipe
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.executors import Executor, find_executor


def task_of(config: RunConfig) -> Task:
    """Returns the task that a configuration names.

    Raises:
        ConfigError: unknown environment, bad card or fitness; no text for one's own environment.
    """
    task = configured_task(config)
    if not task.text:
        raise ConfigError(f'say what {config.env} should learn: rewardsmith design "..." --env ...')
    return task


def configured_task(config: RunConfig) -> Task:
    """Returns the task that a configuration names, with or without a text.

    Raises:
        ConfigError: unknown environment, bad card or fitness.
    """
    return find_task(
        config.env,
        text=config.text,
        card=config.card,
        fitness=config.fitness,
        env_kwargs=config.env_kwargs or None,
        wrappers=config.wrappers,
    )


def recipe_of(task: Task, config: RunConfig) -> Recipe:
    """Returns what every training of a run has in common."""
    from rewardsmith.runs.training.presets import default_steps, default_trainer, hyperparams

    trainer = config.algo or default_trainer(task.env.id)
    changes = _hyperparams_file(config.hyperparams)
    if trainer == "fast":
        from rewardsmith.runs.training.trainers.fast_jax import require_jax

        require_jax()  # now, before a model is asked for anything
    return Recipe(
        task=task,
        trainer=trainer,
        hyperparams=hyperparams(trainer, task.env.id, changes),
        steps=config.steps or default_steps(task.env.id, trainer),
        run_seed=config.seed,
        eval_episodes=config.eval_episodes,
        sandbox=config.confinement,
        device=config.device,
    )


def model_spec(config: RunConfig, role: Role) -> str:
    """Returns ``provider:model`` of a role."""
    return config.roles.get(role) or config.llm or default_spec()


def critic_rounds(config: RunConfig) -> int:
    """Returns the rounds of the critic: one, or none with a small model on this machine's cores."""
    if config.critic_rounds is not None:
        return config.critic_rounds
    return 0 if model_spec(config, "critic").startswith("local") else 1


def worker_count(config: RunConfig) -> int:
    """Returns how many trainings run at a time: one per usable core unless said otherwise."""
    if config.workers:
        return config.workers
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def executor_of(config: RunConfig) -> Executor:
    """Returns where the trainings of a configuration run.

    Raises:
        ConfigError: there is no such executor, or it refuses its arguments.
    """
    arguments: dict[str, Any] = dict(config.executor_args)
    if config.executor == "local":
        arguments = {"workers": worker_count(config)} | arguments
    elif config.workers and config.executor in ("ray", "slurm"):
        arguments = {"workers": config.workers} | arguments
    return find_executor(config.executor, **arguments)


def _hyperparams_file(path: Path | None) -> dict[str, Any]:
    return read_config(path) if path else {}
