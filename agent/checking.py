"""The command `check`: whether a reward program keeps the contract, and what probes find on it."""

import textwrap
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rewardsmith.agent.evidence.probes import ledger, refused, values_on
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.shaping import Wish, preset_gamma, reward_source
from rewardsmith.agent.single import contract_check, read_text
from rewardsmith.agent.walls import announce
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.check import CheckReport
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.shaping import parse_shaping

View = Callable[..., None]
Facts = dict[str, Any]
_WIDTH = 100


def check_file(  # noqa: PLR0913  (one for each flag)
    file: Path,
    env: str,
    *,
    card: Path | None = None,
    sandbox: str = "auto",
    shaping: str | None = None,
    yes: bool = False,
    view: View,
    bank: Stored | None = None,
) -> tuple[Facts, str]:
    """Returns what contract check and probes say of a program, as a document and as text.

    A shaping (the one given, or the one that the program's mark asks for) is tried with it.
    ``refused`` tells whether a run would not train with it.

    Args:
        file: the program.
        env: id of the environment.
        card: of the environment, instead of its own.
        sandbox: as for ``RewardClient``.
        shaping: as spelled on the command line.
        yes: programs may run without walls.
        view: is told warnings.
        bank: the steps that probes ask about; those that a run would begin with if None.

    Raises:
        ConfigError: the file cannot be read, or the environment is unknown.
        SandboxUnavailable: this machine cannot confine reward code.
    """
    if shaping is not None:
        parse_shaping(shaping)  # misspelled: said before anything is played
    wish = Wish(shaping, sandbox=sandbox)
    task, source = find_task(env, card=card), read_text(file)
    announce(sandbox, view, yes=yes)
    report = contract_check(source, task, wish)
    failure: Failure | None = report.failure
    evidence: tuple[Evidence, ...] = ()
    if failure is None:
        failure, evidence = _probed(report, task, bank, sandbox)
    facts = {
        "file": str(file),
        "env": env,
        "failure": failure.model_dump(mode="json") if failure else None,
        "mode": report.mode,
        "components": list(report.components),
        "shaping": report.shaping.text if report.shaping else None,
        "subgoals": list(report.subgoals),
        "rewrites": list(report.rewrites),
        "notes": list(report.notes),
        "evidence": [item.model_dump(mode="json") for item in evidence],
        "refused": failure is not None or refused(evidence),
    }
    return facts, "\n".join([*_contract_lines(facts), *ledger_lines(evidence)])


def ledger_lines(evidence: Sequence[Evidence], *, width: int = _WIDTH) -> list[str]:
    """Returns a ledger as a table: verdict, probe, what it says, wrapped to ``width`` columns."""
    probe = max((len(item.probe) for item in evidence), default=0)
    heads = [f"{item.verdict:4}  {item.probe:{probe}}  " for item in evidence]
    return [
        textwrap.fill(
            item.text,
            width,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_on_hyphens=False,
        )
        for item, head in zip(evidence, heads, strict=True)
    ]


def _probed(
    report: CheckReport, task: Task, bank: Stored | None, sandbox: str
) -> tuple[Failure | None, tuple[Evidence, ...]]:
    """Returns what the probes before training find, or how the program failed on the bank."""
    from rewardsmith.agent.evidence.gather import fresh_bank
    from rewardsmith.agent.evidence.suite import before_training
    from rewardsmith.sandbox.program import Parsed, parse

    gamma = preset_gamma(task.env.id)
    stored = fresh_bank(task) if bank is None else bank
    opened = reward_source(
        report.source, report.shaping, env=task.env, gamma=gamma, sandbox=sandbox
    )
    with closing(opened) as source:
        values = values_on(source, stored)
    if isinstance(values, Failure):
        return values, ()
    parsed = parse(report.source)
    taken = parsed.parameters if isinstance(parsed, Parsed) else ()
    return None, ledger(values, stored, task, before_training(parameters=taken, gamma=gamma))


def _contract_lines(facts: Facts) -> list[str]:
    lines = [f"rewritten: {text}" for text in facts["rewrites"]]
    lines += [f"note: {text}" for text in facts["notes"]]
    if facts["failure"]:
        return [*lines, f"{facts['failure']['kind']}: {facts['failure']['text']}"]
    names = ", ".join(facts["components"]) or "none"
    lines += [f"the contract holds ({facts['mode']}); components: {names}"]
    lines += [f"shaping: {facts['shaping']}"] if facts["shaping"] else []
    lines += [f"subgoals: {', '.join(facts['subgoals'])}"] if facts["subgoals"] else []
    return lines
