"""The contract check: a few milliseconds of calls that show whether a program may be trained with.

Findings are phrased for the model that wrote the program, one at a time, the most important first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.laws import Finding, broken_law, broken_law_with_memory, on_extremes
from rewardsmith.sandbox.probe_steps import probes, recorded, sequences
from rewardsmith.sandbox.program import Mode, Parsed, marked, parse, rejection
from rewardsmith.sandbox.reductions import first_reduction, speaks_of_the_batch
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.rewrite import rewrite
from rewardsmith.sandbox.shaping import Shaping

QUICK = Limits(call_s=5.0, total_s=30.0)
# Errors that a program written for one environment makes on arrays; row by row it may be right.
_PERHAPS_BY_ROW = ("reward_error", "bad_output")


@dataclass(frozen=True)
class CheckReport:
    """Whether a program keeps the contract, and the text to run: it carries the mark of its mode.

    ``stats`` maps the total ("total") and every component to mean, std, min and max over recorded
    steps. ``evaluation_ms`` is the time spent in calls, starting the worker not included.
    ``shaping`` and the names of ``subgoals`` are there once `shaped_check` has looked at them.
    """

    failure: Failure | None
    source: str
    rewrites: tuple[str, ...] = ()
    mode: Mode = "batched"
    components: tuple[str, ...] = ()
    stats: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evaluation_ms: float = 0.0
    shaping: Shaping | None = None
    subgoals: tuple[str, ...] = ()


def check(
    program: str, spec: EnvSpec, steps: Steps, *, sandbox: str | Backend = "auto"
) -> CheckReport:
    """Tries a program on recorded, perturbed and extreme steps.

    Args:
        program: source text as its author wrote it.
        spec: the environment whose fields it may ask for.
        steps: recorded steps of that environment, at least one; a few episodes are better.
        sandbox: as for ``RewardClient``.

    Raises:
        SandboxUnavailable: this machine cannot confine the program.
        ValueError: there are no steps.
    """
    if steps.rows == 0:
        raise ValueError("a program is checked on recorded steps, and there are none")
    done = rewrite(program)
    refused = rejection(done.source, spec)
    parsed = parse(done.source)
    if refused is not None or isinstance(parsed, Failure):
        return CheckReport(refused, done.source, done.notes)
    trial = _Trial(done.source, parsed, spec, steps, sandbox, "batched")
    batched, perhaps_by_row = _tried(trial, done.notes)
    if batched.failure is None or not perhaps_by_row:
        return batched
    by_row, _ = _tried(replace(trial, mode="rows"), done.notes)
    if by_row.failure is not None or _was_of_the_batch(batched, by_row):
        return batched
    note = _why_by_row(batched.failure, done.source)
    return replace(
        by_row, source=marked(done.source, "rows"), mode="rows", notes=(note, *by_row.notes)
    )


def _was_of_the_batch(batched: CheckReport, by_row: CheckReport) -> bool:
    """Whether a column says nothing of one environment that said something of many: x / max(x)."""
    varied = {name for name, column in batched.stats.items() if column["std"] > 0}
    return any(by_row.stats[name]["std"] == 0 for name in varied & set(by_row.stats))


def _why_by_row(failure: Failure, source: str) -> str:
    slower = (
        "The program works only one environment at a time, which is slower; it is run row by row."
    )
    reduction = first_reduction(source) if failure.kind == "contract" else None
    if reduction is None:
        return f"{slower} On arrays: {failure.text}"
    return (
        f"{slower} Line {reduction.line}: `{reduction.text}` is taken as meant within one "
        "environment; on arrays it takes all of them together. To make it fast, reduce the last "
        "axis of a vector field (axis=-1), and leave the reduction out where a field is one number "
        "per environment."
    )


@dataclass(frozen=True)
class _Trial:
    source: str
    parsed: Parsed
    spec: EnvSpec
    steps: Steps
    sandbox: str | Backend
    mode: Mode


def _tried(trial: _Trial, rewrites: tuple[str, ...]) -> tuple[CheckReport, bool]:
    """Tries one mode; also says whether a failure may be none in the other."""
    client = RewardClient(
        trial.source, trial.spec, sandbox=trial.sandbox, limits=QUICK, mode=trial.mode
    )
    with client:
        finding, batch = _first_finding(client, trial)
        calls_s = client.ledger.wall_s - client.ledger.start_s
        notes = _notes(client, batch) if batch is not None else ()
    report = CheckReport(
        finding.failure if finding is not None else None,
        trial.source,
        rewrites,
        trial.mode,
        tuple(batch.components) if batch is not None else (),
        _statistics(batch) if batch is not None else {},
        notes,
        calls_s * 1000,
    )
    return report, finding is not None and _perhaps_by_row(finding, trial)


def _perhaps_by_row(finding: Finding, trial: _Trial) -> bool:
    if finding.failure.kind in _PERHAPS_BY_ROW:
        return True
    return finding.perhaps_by_row and not speaks_of_the_batch(trial.source, trial.spec)


def _first_finding(
    client: RewardClient, trial: _Trial
) -> tuple[Finding | None, RewardBatch | None]:
    if trial.parsed.uses_memory:
        rows = sequences(trial.steps)
        batch = client.rewards(rows)
    else:
        rows = probes(trial.steps, trial.spec)
        batch = client.rewards(recorded(trial.steps))
    if isinstance(batch, Failure):
        return Finding(batch), None
    if not trial.parsed.uses_memory:
        return broken_law(client, rows, trial.source), batch
    extremes = client.rewards(probes(trial.steps, trial.spec))
    if isinstance(extremes, Failure):
        return Finding(on_extremes(extremes)), batch
    return broken_law_with_memory(client, rows, trial.source), batch


def _statistics(batch: RewardBatch) -> dict[str, dict[str, float]]:
    columns: dict[str, FloatArray] = {"total": batch.total, **batch.components}
    return {
        name: {
            "mean": float(np.mean(column)),
            "std": float(np.std(column)),
            "min": float(np.min(column)),
            "max": float(np.max(column)),
        }
        for name, column in columns.items()
    }


def _notes(client: RewardClient, batch: RewardBatch) -> tuple[str, ...]:
    found = []
    if np.ptp(batch.total) == 0:
        found.append("The total reward is the same in every recorded step: it teaches nothing.")
    still = [name for name, column in batch.components.items() if np.ptp(column) == 0]
    if still and np.ptp(batch.total) > 0:
        names = ", ".join(still)
        found.append(f"Without variation over the recorded steps: {names}.")
    if not batch.components:
        found.append(
            "There are no components; name the terms of the total to learn which one works."
        )
    if client.printed:
        found.append("The program prints; nobody reads it.")
    return tuple(found)
