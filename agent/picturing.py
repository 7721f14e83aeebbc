"""Asks a reward in its worker for what its pictures need, in three calls, and draws nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rewardsmith.agent.evidence.elements import Element, chosen, elements_read, typical_rows
from rewardsmith.agent.evidence.histograms import histograms_of, played
from rewardsmith.agent.evidence.probes import values_on
from rewardsmith.agent.evidence.slices import (
    Rows,
    asked,
    is_faint,
    is_flat,
    line_cuts,
    most_moving,
    slices_of,
    surface_cuts,
    surfaces_of,
)
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.runs.pictures import Finding, Pictures, Slice, Surface
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import Parsed, RewardProgram, parse
from rewardsmith.sandbox.reward import RewardSource
from rewardsmith.sandbox.shaping import Shaping

MOST_SLICES = 6
MOST_AXES = 3  # whose pairs are drawn as surfaces
SEED = 0  # of the typical steps


@dataclass(frozen=True)
class _Subject:
    """A reward on a bank: who is asked, about which rows, and how far its total varies there."""

    source: RewardSource
    bank: Stored
    task: Task
    rows: Rows
    std: float


def pictures_of(
    source: RewardSource,
    program: str,
    bank: Stored,
    task: Task,
    *,
    fields: str = "",
    shaping: Shaping | None = None,
) -> Pictures | Failure:
    """Returns the pictures of a reward, or what the program did wrong on one of the steps.

    Args:
        source: the reward as it trains, the program in its worker.
        program: its text.
        bank: stored steps with at least one episode that a policy played.
        task: whose fields it reads.
        fields: what to vary, "distance,joint_angles[1]"; empty: what moves the total most.
        shaping: what ``source`` makes of the program's answers, to be told.

    Raises:
        ConfigError: ``fields`` names what there is not, or what the program does not read.
    """
    parsed = parse(program)
    if isinstance(parsed, Failure):
        return parsed
    read = elements_read(parsed.parameters, task.env)
    wanted = chosen(fields, read, task.env) if fields else read
    values = values_on(source, bank)
    if isinstance(values, Failure):
        return values
    rows = bank.rows_of(played(bank))
    subject = _Subject(source, bank, task, rows, _spread(values.total[rows]))
    bases = typical_rows(bank, rows, read, values.total[rows], SEED)
    slices = _slices(subject, bases, wanted)
    if isinstance(slices, Failure):
        return slices
    order = tuple(range(len(slices))) if fields else most_moving(slices, MOST_SLICES)
    surfaces = _surfaces(subject, bases[:2], [wanted[k] for k in order[:MOST_AXES]])
    if isinstance(surfaces, Failure):
        return surfaces
    still = tuple(item.axis.name for item in slices if is_flat(item))
    faint = tuple(item.axis.name for item in slices if is_faint(item))
    return Pictures(
        program_id=RewardProgram(program).id,
        env=task.env.id,
        rows=len(rows),
        episodes=len(played(bank)),
        total_mean=float(values.total[rows].mean()),
        total_std=float(values.total[rows].std()),
        components=tuple(values.components),
        unmoved=still,
        slices=tuple(slices[k] for k in order),
        surfaces=surfaces,
        histograms=histograms_of(values, bank),
        findings=(
            *_shaped(shaping),
            *_overall(values.total[rows], still, faint, parsed),
        ),
    )


def _slices(
    subject: _Subject, bases: Rows, wanted: Sequence[Element]
) -> tuple[Slice, ...] | Failure:
    cuts = line_cuts(subject.bank, subject.rows, wanted, subject.task.env)
    if not cuts:
        return ()
    answer = subject.source.rewards(asked(subject.bank, bases, cuts))
    if isinstance(answer, Failure):
        return answer
    return slices_of(answer, subject.bank, bases, cuts, subject.std)


def _surfaces(
    subject: _Subject, bases: Rows, best: Sequence[Element]
) -> tuple[Surface, ...] | Failure:
    cuts = surface_cuts(subject.bank, subject.rows, [*combinations(best, 2)], subject.task.env)
    if not cuts:
        return ()
    answer = subject.source.rewards(asked(subject.bank, bases, cuts))
    if isinstance(answer, Failure):
        return answer
    return surfaces_of(answer, subject.bank, bases, cuts, subject.std)


def _spread(total: FloatArray) -> float:
    """Returns the unit of all sizes: the total's standard deviation, 1 where it is constant."""
    std = float(total.std())
    return std if std > 1e-9 * max(1.0, float(np.abs(total).max())) else 1.0


def _shaped(shaping: Shaping | None) -> Iterator[Finding]:
    if shaping is None:
        return
    text = f"the total is what trains, shaped by {shaping.text}; components are the program's own"
    gates = "; what is gated counts, as after enough successes" if shaping.gates else ""
    yield Finding(kind="shaped", text=text + gates)


def _overall(
    total: FloatArray, still: Sequence[str], faint: Sequence[str], parsed: Parsed
) -> Iterator[Finding]:
    if np.ptp(total) == 0:
        text = f"the total is {total[0]:.4g} in every stored step: it teaches nothing"
        yield Finding(kind="constant", text=text, size=0.0)
    if still:
        text = f"read, yet without effect at the typical steps: {', '.join(still)}"
        yield Finding(kind="flat", text=text, size=0.0)
    if faint:
        text = f"moves the total by less than a tenth of its std: {', '.join(faint)}"
        yield Finding(kind="faint", text=text)
    if parsed.uses_memory:
        text = "memory starts anew at every step of a slice, as at the start of an episode"
        yield Finding(kind="mixed", text=text)
