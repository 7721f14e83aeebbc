"""A pool on this machine: as many jobs at a time as there are cores, one core each."""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rewardsmith.errors import ConfigError
from rewardsmith.runs.executors import ProgressWatch
from rewardsmith.runs.executors.child import Cancelled, Rules, failed, run_unit
from rewardsmith.runs.executors.stacks import MOST_LANES, Job, Told, grouped, run_stack
from rewardsmith.runs.records import TrainingReport, Unit


def usable_cores() -> list[int]:
    """Returns the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass(frozen=True)
class _Event:
    """What a waiting thread has to tell: progress, a report, or an error."""

    unit: Unit
    progress: dict[str, Any] | None = None
    report: TrainingReport | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Local:
    """Runs units in child processes, ``workers`` at a time (default: one per usable core).

    Each worker's jobs are pinned to one core where the system can; ``wall_s`` limits one attempt.
    Units of a trainer that can stack (`StackTrainer`) are trained together, up to ``stack`` in one
    process; a stack that is lost falls back to its units.
    """

    workers: int | None = None
    wall_s: float | None = None
    pin: bool = True
    stack: int = MOST_LANES
    rules: Rules | None = None
    _cores: list[int] = field(default_factory=usable_cores, repr=False)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"{self.workers} workers: at least one is wanted")
        if self.stack < 1:
            raise ConfigError(f"stack is {self.stack}: at least one unit to a process is wanted")

    def run(
        self, units: Sequence[Job], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields each unit with its report, in order of completion; see `Executor`."""
        workers = self.workers or len(self._cores)
        jobs: _Jobs = queue.SimpleQueue()
        groups = grouped(units, workers, self.stack)
        for group in groups:
            jobs.put(group)
        events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        cancel = threading.Event()
        threads = [
            threading.Thread(target=self._work, args=(jobs, events, cancel, self._core(i)))
            for i in range(min(len(groups), workers))
        ]
        try:
            for thread in threads:
                thread.start()
            yield from _answers(events, len(units), watch)
        finally:
            # Also when the caller breaks off or Ctrl-C arrives: no child outlives this.
            cancel.set()
            for thread in threads:
                if thread.ident is not None:  # started: the system may have refused one
                    thread.join()

    def _core(self, worker: int) -> int | None:
        return self._cores[worker % len(self._cores)] if self.pin else None

    def _work(
        self,
        jobs: "_Jobs",
        events: "queue.SimpleQueue[_Event]",
        cancel: threading.Event,
        core: int | None,
    ) -> None:
        rules = self.rules or Rules(wall_s=self.wall_s)
        while not cancel.is_set():
            try:
                group = jobs.get_nowait()
            except queue.Empty:
                return
            try:
                for lost in _run(group, rules, core, cancel, events):
                    jobs.put((lost,))
            except Cancelled:
                return


_Jobs = queue.SimpleQueue[tuple[Job, ...]]


def _run(
    group: Sequence[Job],
    rules: Rules,
    core: int | None,
    cancel: threading.Event,
    events: "queue.SimpleQueue[_Event]",
) -> Sequence[Job]:
    """Runs one unit, or a stack of them; returns those of a stack that are to be run alone."""
    if len(group) > 1:
        try:
            return run_stack(group, rules, core=core, cancel=cancel, tell=_listener(events))
        except Cancelled:
            raise
        # A stack is but a faster way: what kept it from running is for each unit to meet, or not.
        except Exception:  # noqa: BLE001
            return group
    ((unit, folder),) = group
    try:
        report = run_unit(
            unit, folder, rules, core=core, cancel=cancel, watch=_teller(unit, events)
        )
        events.put(_Event(unit, report=report))
    except Cancelled:
        raise
    # The job boundary: whatever happens to one job is told, and the others go on.
    except Exception as error:  # noqa: BLE001
        events.put(_Event(unit, error=error))
    return ()


def _listener(events: "queue.SimpleQueue[_Event]") -> Callable[[Told], None]:
    return lambda told: events.put(_Event(told.unit, told.progress, told.report))


def _teller(unit: Unit, events: "queue.SimpleQueue[_Event]") -> Callable[[dict[str, Any]], None]:
    return lambda state: events.put(_Event(unit, progress=state))


def _answers(
    events: "queue.SimpleQueue[_Event]", count: int, watch: ProgressWatch | None
) -> Iterator[tuple[Unit, TrainingReport]]:
    lost: list[_Event] = []
    left = count
    while left:
        event = events.get()
        if event.progress is not None:
            if watch is not None:
                watch(event.unit.id, event.progress)
            continue
        left -= 1
        if event.report is not None:
            yield event.unit, event.report
        else:
            lost.append(event)
    if lost:
        raise failed([event.error for event in lost if event.error is not None])
