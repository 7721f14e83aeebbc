"""The command `compare`: how far two rewards prefer the same, on one fresh bank."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith.agent.comparison import Side, compared
from rewardsmith.agent.evidence.gather import fresh_bank
from rewardsmith.agent.evidence.probes import values_on
from rewardsmith.agent.evidence.starc import GAMMA
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.shaping import Wish
from rewardsmith.agent.single import contract_check, read_text
from rewardsmith.agent.walls import announce
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import Unit
from rewardsmith.sandbox.failure import Failure

View = Callable[..., None]
Facts = dict[str, Any]
HUMAN = "human"  # in place of a file: the environment's own reward
ROWS = 10_000


@dataclass(frozen=True)
class Settings:
    """Where two rewards are compared.

    ``rows`` is about how many transitions a fresh bank has at most, ``gamma`` the discount of the
    potential shaping that makes no difference.
    """

    env: str
    card: Path | None = None
    sandbox: str = "auto"
    yes: bool = False
    rows: int = ROWS
    seed: int = 0
    gamma: float = GAMMA


def compare_files(
    first: str, second: str, settings: Settings, *, view: View, bank: Stored | None = None
) -> tuple[Facts, str]:
    """Returns how far two rewards agree and what each prefers, as a document and as text.

    A program that breaks the contract is a finding, in ``failures``; then nothing is compared.

    Args:
        first: path of a reward program, or "human".
        second: another.
        settings: where.
        view: is told warnings.
        bank: transitions of that environment, fresh ones if None.

    Raises:
        ConfigError: a file cannot be read, the environment is unknown or has no human reward.
        SandboxUnavailable: this machine cannot confine reward code.
    """
    task = find_task(settings.env, card=settings.card)
    names = first, second
    sources = [_source(name, task) for name in names]
    facts: Facts = {"first": first, "second": second, "env": settings.env, "failures": {}}
    if sources != [None, None]:
        announce(settings.sandbox, view, yes=settings.yes)
    units = [_unit(source, task, settings) for source in sources]
    if failures := _failures(names, units):
        return _failed(facts, failures)
    if bank is None:
        bank = fresh_bank(task, rows=settings.rows, seed=settings.seed)
    pairs = zip(names, units, strict=True)
    sides = [_asked(name, unit, bank) for name, unit in pairs if isinstance(unit, Unit)]
    if failures := _failures(names, sides):
        return _failed(facts, failures)
    one, two = (side for side in sides if isinstance(side, Side))
    found = compared(bank, one, two, gamma=settings.gamma)
    steps = sum(episode.length for episode in bank.simulated)
    facts |= {"steps": steps, "seed": settings.seed, "gamma": settings.gamma, **found.facts()}
    head = f"on {settings.env}, {steps} steps of {found.agreement.episodes} episodes"
    return facts, f"{first} and {second} {head}\n{found.text(task)}"


def _source(name: str, task: Task) -> str | None:
    """Returns a program's text, None for the environment's own reward."""
    if name != HUMAN:
        return read_text(Path(name))
    if not task.human_reward:
        raise ConfigError(f"{task.id} has no human reward; name two reward programs instead")
    return None


def _unit(source: str | None, task: Task, settings: Settings) -> Unit | Failure:
    """Returns what a training would be told of a reward, or what its program does wrong."""
    how: Facts = {"program": None}
    if source is not None:
        report = contract_check(source, task, Wish(sandbox=settings.sandbox))
        if report.failure is not None:
            return report.failure
        how = {"program": report.source, "mode": report.mode, "shaping": report.shaping}
    return Unit(
        id="compared",
        task=task,
        trainer="none",
        hyperparams={"gamma": settings.gamma},
        seed=settings.seed,
        steps=settings.rows,
        eval_seeds=(),
        sandbox=settings.sandbox,
        **how,
    )


def _asked(name: str, unit: Unit, bank: Stored) -> Side | Failure:
    """Returns a reward's values on the bank, shaped as its mark says, or what it does wrong."""
    from rewardsmith.runs.training.reward_sources import open_reward
    from rewardsmith.sandbox.program import Parsed, parse

    with closing(open_reward(unit)) as source:
        values = values_on(source, bank)
    if isinstance(values, Failure):
        return values
    parsed = parse(unit.program) if unit.program is not None else None
    return Side(name, values, memory=isinstance(parsed, Parsed) and parsed.uses_memory)


def _failures(names: Sequence[str], found: Sequence[object]) -> dict[str, Failure]:
    pairs = zip(names, found, strict=True)
    return {name: item for name, item in pairs if isinstance(item, Failure)}


def _failed(facts: Facts, failures: Mapping[str, Failure]) -> tuple[Facts, str]:
    told = {name: failure.model_dump(mode="json") for name, failure in failures.items()}
    lines = [f"{name}: {failure.kind}: {failure.text}" for name, failure in failures.items()]
    return facts | {"failures": told}, "\n".join([*lines, "nothing was compared"])
