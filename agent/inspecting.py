"""Asks the probes about candidates: each program alone, then beside others, then as trained."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from rewardsmith.agent.evidence.probes import Probe, ledger, values_on
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.evidence.subgoals import subgoals
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import Task
from rewardsmith.runs.fold import BESIDE, TRAINING
from rewardsmith.runs.inspections import Inspections
from rewardsmith.runs.records import Candidate, Evidence, Inspection, RunState
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import RewardProgram, parse
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

Beside = Callable[[Mapping[str, RewardBatch], bool], Iterable[Probe]]
Alone = Callable[[str], Iterable[Probe]]
After = Callable[[Candidate, RunState], tuple[Evidence, ...]]
Goals = Callable[[str, Steps], RewardBatch | None]
Values = RewardBatch | Failure


@dataclass(frozen=True)
class Probes:
    """What is asked about every candidate, the cheap ones first; nothing where left out.

    ``alone`` makes the probes that read a program's values by themselves, before the critic is
    asked. ``beside`` makes those that compare them with the values of trained candidates, given by
    id, and is told whether any of the programs has memory. ``after`` looks at a candidate's
    trainings, given all that the run knows by then. ``goals`` asks for a program's subgoals, where
    it has any.
    """

    alone: Alone | None = None
    beside: Beside | None = None
    after: After | None = None
    goals: Goals | None = None


class Inspector:
    """Fills the ledgers of a run's candidates. A program is only ever evaluated in its worker.

    The bank is gathered once per generation, with all that was trained before it, so that the
    candidates of one generation are asked about the same rows.
    """

    def __init__(
        self,
        task: Task,
        probes: Probes,
        records: Inspections,
        *,
        gather: Callable[[], Stored],
        opened: Callable[[Candidate], RewardSource],
    ) -> None:
        """Takes the probes and what they need.

        Args:
            task: of the run.
            probes: what to ask.
            records: what is known already.
            gather: returns the bank as it is now.
            opened: starts the worker of a candidate's program, its shaping around it.
        """
        self._task = task
        self._probes = probes
        self._records = records
        self._gather = gather
        self._opened = opened
        self._lock = threading.Lock()
        self._generation: int | None = None
        self._bank: Stored | None = None
        self._values: dict[tuple[str, str], Values] = {}

    def alone(self, candidate: Candidate) -> Inspection:
        """Returns the ledger of a candidate as it is drafted, or what its program does wrong.

        Raises:
            SandboxUnavailable: this machine cannot confine the program.
        """
        make, program = self._probes.alone, candidate.program
        if make is None or program is None:
            return Inspection()

        def find() -> Inspection:
            bank = self._bank_of(candidate.generation)
            values = self._values_of(candidate, bank)
            if isinstance(values, Failure):
                return Inspection(failure=values)
            found = ledger(values, bank, self._task, make(program))
            return Inspection(evidence=(*found, *self._subgoals(program, bank)))

        return self._records.of(candidate.id, RewardProgram(program).id, find)

    def beside(self, candidate: Candidate, trained: Sequence[Candidate]) -> Inspection:
        """Returns what comparing a sound candidate with trained ones, or those about to be, says.

        Raises:
            SandboxUnavailable: this machine cannot confine the programs.
        """
        make = self._probes.beside
        if make is None:
            return Inspection()

        def find() -> Inspection:
            bank = self._bank_of(candidate.generation)
            known = {item.id: self._values_of(item, bank) for item in trained}
            others = {name: v for name, v in known.items() if isinstance(v, RewardBatch)}
            values = self._values_of(candidate, bank)
            if isinstance(values, Failure):  # on rows that its own ledger did not have
                return Inspection()
            timed = any(_has_memory(item.program or "") for item in (candidate, *trained))
            return Inspection(evidence=ledger(values, bank, self._task, make(others, timed)))

        return self._records.of(candidate.id, BESIDE, find)

    def after(self, candidate: Candidate, state: RunState) -> Inspection:
        """Returns what its trainings show of a candidate; ``state`` holds its generation's."""
        look = self._probes.after
        if look is None:
            return Inspection()

        def find() -> Inspection:
            return Inspection(evidence=look(candidate, state))

        return self._records.of(candidate.id, TRAINING, find)

    def _bank_of(self, generation: int) -> Stored:
        with self._lock:
            if self._bank is None or self._generation != generation:
                self._bank, self._generation, self._values = self._gather(), generation, {}
            return self._bank

    def _subgoals(self, program: str, bank: Stored) -> tuple[Evidence, ...]:
        """Returns what the bank says of a program's subgoals: words alone, never a refusal."""
        ask = self._probes.goals
        found = ask(program, bank.steps) if ask is not None else None
        return () if found is None else (subgoals(found, bank, self._task),)

    def _values_of(self, candidate: Candidate, bank: Stored) -> Values:
        shaping = candidate.shaping.text if candidate.shaping else ""
        key = (candidate.program or "", shaping)
        if key not in self._values:
            with closing(self._opened(candidate)) as source:
                self._values[key] = values_on(source, bank)
        return self._values[key]


def _has_memory(program: str) -> bool:
    parsed = parse(program)
    return not isinstance(parsed, Failure) and parsed.uses_memory
