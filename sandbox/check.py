"""The contract check: a few milliseconds of calls that show whether a program may be trained with.

Findings are phrased for the model that wrote the program, one at a time, the most important first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.laws import broken_law, broken_law_with_memory, on_extremes
from rewardsmith.sandbox.probe_steps import probes, recorded, sequences
from rewardsmith.sandbox.program import Mode, Parsed, marked, parse, rejection
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.rewrite import rewrite

_QUICK = Limits(call_s=5.0, total_s=30.0)
# Errors that a program written for one environment makes on arrays; row by row it may be right.
_PERHAPS_BY_ROW = ("reward_error", "bad_output")


@dataclass(frozen=True)
class CheckReport:
    """Whether a program keeps the contract, and the text to run: it carries the mark of its mode.

    ``stats`` maps the total ("total") and every component to mean, std, min and max over recorded
    steps. ``evaluation_ms`` is the time spent in calls, starting the worker not included.
    """

    failure: Failure | None
    source: str
    rewrites: tuple[str, ...] = ()
    mode: Mode = "batched"
    components: tuple[str, ...] = ()
    stats: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evaluation_ms: float = 0.0


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
    batched = _tried(_Trial(done.source, parsed, spec, steps, sandbox, "batched"), done.notes)
    if batched.failure is None or batched.failure.kind not in _PERHAPS_BY_ROW:
        return batched
    by_row = _tried(_Trial(done.source, parsed, spec, steps, sandbox, "rows"), done.notes)
    if by_row.failure is not None:
        return batched
    note = (
        "The program works only one environment at a time, which is slower; it is run row by row. "
        f"On arrays: {batched.failure.text}"
    )
    notes = (note, *by_row.notes)
    return CheckReport(
        None,
        marked(done.source, "rows"),
        done.notes,
        "rows",
        by_row.components,
        by_row.stats,
        notes,
        by_row.evaluation_ms,
    )


@dataclass(frozen=True)
class _Trial:
    source: str
    parsed: Parsed
    spec: EnvSpec
    steps: Steps
    sandbox: str | Backend
    mode: Mode


def _tried(trial: _Trial, rewrites: tuple[str, ...]) -> CheckReport:
    client = RewardClient(
        trial.source, trial.spec, sandbox=trial.sandbox, limits=_QUICK, mode=trial.mode
    )
    with client:
        failure, batch = _first_finding(client, trial)
        calls_s = client.ledger.wall_s - client.ledger.start_s
        notes = _notes(client, batch) if batch is not None else ()
    return CheckReport(
        failure,
        trial.source,
        rewrites,
        trial.mode,
        tuple(batch.components) if batch is not None else (),
        _statistics(batch) if batch is not None else {},
        notes,
        calls_s * 1000,
    )


def _first_finding(
    client: RewardClient, trial: _Trial
) -> tuple[Failure | None, RewardBatch | None]:
    if trial.parsed.uses_memory:
        rows = sequences(trial.steps)
        batch = client.rewards(rows)
    else:
        rows = probes(trial.steps, trial.spec)
        batch = client.rewards(recorded(trial.steps))
    if isinstance(batch, Failure):
        return batch, None
    if not trial.parsed.uses_memory:
        return broken_law(client, rows, trial.source), batch
    extremes = client.rewards(probes(trial.steps, trial.spec))
    if isinstance(extremes, Failure):
        return on_extremes(extremes), batch
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
