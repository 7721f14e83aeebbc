"""The flags that ``design`` and ``sweep`` share, in one table: flag, key of ``RunConfig``, help."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

SANDBOXES = "auto, docker, bubblewrap, process or none"
REQUIRE = "refuse a sandbox that does not hold this, e.g. memory=hard,cpu=hard"
UNSANDBOXED = "let --sandbox none run where nobody sits at a terminal"
SHAPING = "operators over components, e.g. combine=geomean,squash=clip(-1,1), or: designer"
FLAGS: tuple[tuple[str, str, type, str], ...] = (
    ("--env", "env", str, "environment: a built-in task, any gymnasium.make id, or package:Id"),
    ("--card", "card", Path, "YAML card that names the fields of an environment of your own"),
    ("--fitness", "fitness", str, "FILE.py or module:function that judges an episode"),
    ("--env-kwargs", "env_kwargs", str, 'JSON for gymnasium.make, e.g. {"gravity": -9.8}'),
    ("--wrapper", "wrappers", list, "module:attr of a wrapper; may be repeated"),
    ("--llm", "llm", str, "PROVIDER[:MODEL]: local, openai, litellm, manual, scripted, replay"),
    ("--prompts", "prompts", Path, "folder whose templates replace those of the same name"),
    ("--candidates", "candidates", int, "candidates per generation"),
    ("--generations", "generations", int, "generations"),
    ("--strategy", "strategy", str, "greedy, eureka or iid"),
    ("--critic-rounds", "critic_rounds", int, "rounds of the critic before training, 0 to 3"),
    ("--repair-turns", "repair_turns", int, "turns to mend an answer that breaks the contract"),
    (
        "--probes",
        "probes",
        str,
        "on, off, or some: health,ranking,farming,sensitivity,starc,human,after",
    ),
    ("--audit-rejected", "audit_rejected", float, "share of the refused to train all the same"),
    ("--shaping", "shaping", str, SHAPING),
    ("--subgoals", "subgoals", bool, "ask the designer for subgoals, and tell where episodes stop"),
    ("--algo", "algo", str, "ppo, fast (ppo in JAX), sac, a2c, td3, ddpg, dqn or module:attr"),
    ("--hyperparams", "hyperparams", Path, "YAML with hyperparameters over the task's preset"),
    ("--steps", "steps", int, "environment steps per training"),
    ("--seed", "seed", int, "seed of the whole run"),
    ("--rungs", "rungs", str, "parts after which the better half goes on training: 0.2,0.5"),
    ("--seeds", "seeds", int, "training seeds per candidate"),
    ("--recheck-seeds", "recheck_seeds", int, "fresh seeds before a candidate becomes the best"),
    (
        "--recheck-candidates",
        "recheck_candidates",
        int,
        "how many of a generation get the fresh seeds",
    ),
    ("--final-seeds", "final_seeds", int, "held-out seeds of the final comparison"),
    ("--eval-episodes", "eval_episodes", int, "judged episodes per training"),
    ("--out", "out", Path, "folder of the run (default: results/<env>-<hash>)"),
    ("--workers", "workers", int, "trainings at a time (default: one per core)"),
    ("--executor", "executor", str, "where trainings run: serial, local, ray, slurm, module:attr"),
    ("--executor-arg", "executor_args", list, "KEY=VALUE for the executor; may be repeated"),
    ("--sandbox", "sandbox", str, SANDBOXES),
    ("--sandbox-require", "sandbox_require", str, REQUIRE),
    ("--yes-run-unsandboxed", "yes_run_unsandboxed", bool, UNSANDBOXED),
    ("--device", "device", str, "auto, cpu or cuda"),
    ("--max-usd", "max_usd", float, "stop before this much money is spent"),
    ("--max-tokens", "max_tokens", int, "stop before this many tokens are used"),
    ("--max-steps", "max_steps", int, "stop before this many environment steps are taken"),
    ("--max-time", "max_time_s", str, "stop after this long: 90s, 30m, 2h"),
    ("--prices", "prices", Path, "TOML with prices of models"),
    ("--llm-timeout", "llm_timeout_s", str, "give a question up after this long: 90s, 10m"),
)

_ALSO = {"--algo": ("--trainer",)}

# What `resume` takes: what may differ between two starts of one run.
LIMITS = frozenset(
    {
        "max_usd",
        "max_tokens",
        "max_steps",
        "max_time_s",
        "workers",
        "prices",
        "llm_timeout_s",
        "executor",
        "executor_args",
    }
)


def shared_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command with ``**flags`` every flag of the table; those not given arrive as None."""
    return _flagged(command, FLAGS)


def limit_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command with ``**flags`` the flags that may differ between two starts of one run."""
    return _flagged(command, tuple(row for row in FLAGS if row[1] in LIMITS))


def _flagged(
    command: Callable[..., None], rows: tuple[tuple[str, str, type, str], ...]
) -> Callable[..., None]:
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    added = [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_annotation(flag, kind, text),
        )
        for flag, key, kind, text in rows
    ]
    as_keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    command.__signature__ = inspect.Signature([*as_keywords, *added])  # type: ignore[attr-defined]
    return command


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the flags that were given, as values of ``RunConfig``.

    Raises:
        ConfigError: ``--env-kwargs`` is not JSON, a time not a duration, or an executor's
            argument not KEY=VALUE.
    """
    import json

    from rewardsmith.agent.config import seconds
    from rewardsmith.errors import ConfigError

    values = {key: value for key, value in flags.items() if value not in (None, [])}
    for key in ("max_time_s", "llm_timeout_s"):
        if key in values:
            values[key] = seconds(values[key])
    if "env_kwargs" in values:
        try:
            values["env_kwargs"] = json.loads(values["env_kwargs"])
        except ValueError as error:
            raise ConfigError(f"--env-kwargs is not JSON ({error})") from error
    _take_lists(values)
    for key in ("card", "hyperparams", "prompts", "out", "prices"):
        if key in values:
            values[key] = values[key].resolve()
    return values


def _take_lists(values: dict[str, Any]) -> None:
    """Replaces what was written as one text, or as several, by what it lists."""
    if "rungs" in values:
        values["rungs"] = [part.strip() for part in values["rungs"].split(",")]
    if values.get("probes") not in (None, "on", "off"):
        values["probes"] = [part.strip() for part in values["probes"].split(",")]
    if "executor_args" in values:
        values["executor_args"] = dict(_argument(text) for text in values["executor_args"])


def _argument(text: str) -> tuple[str, Any]:
    """Returns key and value of KEY=VALUE; numbers, true, false and null are what they look like."""
    import json

    from rewardsmith.errors import ConfigError

    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise ConfigError(f"--executor-arg {text!r}: KEY=VALUE is wanted, e.g. partition=gpu")
    try:
        plain = json.loads(value)
    except ValueError:
        return key, value
    return key, value if isinstance(plain, list | dict) else plain


def _annotation(flag: str, kind: type, text: str) -> Any:
    shown: Any = list[str] if kind is list else kind
    flags = (flag, *_ALSO.get(flag, ()))
    return Annotated[shown | None, typer.Option(*flags, help=text, show_default=False)]
