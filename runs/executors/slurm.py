"""Units as jobs of Slurm, through submitit: the folder that all machines share is the only state.

What is submitted is the name of one function and the paths of units' folders. submitit pickles both
for its own process, and pickles what the function returns; that is never read here. A unit is done
when its report lies in its folder.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith.errors import ConfigError
from rewardsmith.runs.executors import ProgressWatch
from rewardsmith.runs.executors.child import Progress, unreported
from rewardsmith.runs.executors.node import run_here
from rewardsmith.runs.executors.stacks import MOST_LANES
from rewardsmith.runs.executors.trips import Outcome, Trip, carried
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files

SUBMISSIONS = ".submitit"  # beside the units' folders: what submitit writes


@dataclass(frozen=True)
class Slurm:
    """Runs units as jobs of one node each; the run's folder has to be on a shared file system.

    With ``workers`` given, units of a trainer that can stack (`StackTrainer`) are trained together,
    shared out evenly over so many jobs; otherwise each unit is a job.

    Args:
        partition: of Slurm; None for its default.
        time_min: the time limit of each job, in minutes, however many units it has.
        mem_gb: the memory of each job, in GB.
        cpus: cores of each job; a training uses one.
        account: to charge; None for the user's default.
        qos: quality of service; None for the default.
        workers: jobs submitted at a time; None: all at once.
        attempts: how often a unit is submitted before it counts as lost.
        settle_s: how long a report may take to become visible here after its job has ended.
        poll_s: how often the folders are looked at.
        stack: units to a job, at most.
        cluster: "slurm"; "local" runs the jobs on this machine, to try it out.
    """

    partition: str | None = None
    time_min: int = 240
    mem_gb: float = 4.0
    cpus: int = 1
    account: str | None = None
    qos: str | None = None
    workers: int | None = None
    attempts: int = 2
    settle_s: float = 30.0
    poll_s: float = 2.0
    stack: int = MOST_LANES
    cluster: str = "slurm"

    def __post_init__(self) -> None:
        sizes = (self.time_min, self.mem_gb, self.cpus, self.attempts, self.stack)
        if min(sizes) <= 0 or (self.workers is not None and self.workers < 1):
            raise ConfigError(
                f"{self}: time, memory, cores, attempts, stack and workers above 0 are wanted"
            )

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields each unit with its report, in order of completion; see `Executor`."""
        return carried(
            units,
            lambda: _Carrier(self, self._submitter(units[0][1].parent), watch),
            workers=self.workers,
            attempts=self.attempts,
            stack=self.stack,
            say=lambda trips: None,
        )

    def _submitter(self, beside: Path) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                f"the executor slurm needs the package submitit ({error}): "
                'pip install "rewardsmith[slurm]"'
            ) from error
        options = {"partition": self.partition, "account": self.account, "qos": self.qos}
        given = {f"slurm_{name}": value for name, value in options.items() if value is not None}
        try:
            made = submitit.AutoExecutor(folder=beside / SUBMISSIONS, cluster=self.cluster)
            made.update_parameters(
                name="rewardsmith",
                timeout_min=self.time_min,
                mem_gb=self.mem_gb,
                cpus_per_task=self.cpus,
                **given,
            )
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise ConfigError(
                f"submitit cannot submit to {self.cluster!r} here: {error}"
            ) from error
        return made


@dataclass
class _Ticket:
    """One submission; ``ended`` is when its job was first seen to be over, in s."""

    job: Any
    looks: tuple[Progress, ...]
    ended: float | None = None


class _Carrier:
    """Submits units, and waits for their reports in the shared folder."""

    def __init__(self, rules: Slurm, submitter: Any, watch: ProgressWatch | None) -> None:
        self._rules, self._submitter, self._watch = rules, submitter, watch

    def places(self) -> int | None:
        return None  # as many jobs as the queue lets run

    def send(self, trip: Trip) -> _Ticket:
        folders = [str(folder.resolve()) for _, folder in trip.jobs]
        try:
            job = self._submitter.submit(run_here, *folders)
        # What sbatch refuses comes as errors of submitit's own, without a common base.
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"{trip.name}: could not be submitted: {error}") from error
        return _Ticket(job, tuple(self._progress(*each) for each in trip.jobs))

    def _progress(self, unit: Unit, folder: Path) -> Progress:
        def tell(state: dict[str, Any]) -> None:
            if self._watch is not None:
                self._watch(unit.id, state)

        return Progress(folder, tell)

    def ended(self, away: Sequence[Trip]) -> list[tuple[Trip, Sequence[Outcome]]]:
        time.sleep(self._rules.poll_s)
        looked = [(trip, self._came_of(trip)) for trip in away]
        return [(trip, outcome) for trip, outcome in looked if outcome is not None]

    def cancel(self, trip: Trip) -> None:
        trip.ticket.job.cancel(check=False)

    def _came_of(self, trip: Trip) -> Sequence[Outcome] | None:
        reports = [files.finished(folder, unit) for unit, folder in trip.jobs]
        if all(reports) or self._is_over(trip.ticket):
            pairs = zip(trip.jobs, reports, strict=True)
            return [report or unreported(*job) for job, report in pairs]
        return None

    def _is_over(self, ticket: _Ticket) -> bool:
        for look in ticket.looks:
            look()
        if not ticket.job.done():
            return False
        now = time.monotonic()
        ticket.ended = ticket.ended or now
        # On a shared file system the end of a job may be known here before its last file is.
        return now - ticket.ended >= self._rules.settle_s
