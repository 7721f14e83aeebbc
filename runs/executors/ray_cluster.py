"""Units on a Ray cluster: they are sent as bytes, and their results come back as bytes.

No folder has to be shared and nothing of ours is pickled but the name of one function. A worker or
a node that is lost costs the units that it was at; they are sent again, a bounded number of times.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith.errors import ConfigError, RewardsmithError, TrainingError
from rewardsmith.runs.executors import ProgressWatch
from rewardsmith.runs.executors.local import usable_cores
from rewardsmith.runs.executors.node import carry_out
from rewardsmith.runs.executors.shipping import bundle, order_parcel, take_in, unbundle
from rewardsmith.runs.executors.stacks import MOST_LANES, Job
from rewardsmith.runs.executors.trips import Outcome, Trip, carried
from rewardsmith.runs.records import TrainingReport, Unit

_TICK_S = 0.5


@dataclass(frozen=True)
class Ray:
    """Runs units on the nodes of a Ray cluster, where the same rewardsmith has to be installed.

    Units of a trainer that can stack (`StackTrainer`) are trained together, shared out evenly over
    ``workers`` tasks, or over the cores that the cluster has when they are sent.

    Args:
        address: of the cluster ("auto": the one on this machine); None: ``RAY_ADDRESS``, or else a
            cluster of this machine's cores that is started here and ends with this process.
        workers: tasks under way at most; None: all, and Ray has them wait for free cores. Say here
            how many cores a cluster that grows on demand may come to.
        wall_s: the longest that one attempt may take; a stack has that for each of its units.
        attempts: how often a unit is sent before it counts as lost.
        cpus: cores that Ray is to set aside for each task.
        stack: units to a task, at most; 1 sends each alone.
    """

    address: str | None = None
    workers: int | None = None
    wall_s: float | None = None
    attempts: int = 3
    cpus: float = 1.0
    stack: int = MOST_LANES

    def __post_init__(self) -> None:
        counts = (self.attempts, self.stack, 1 if self.workers is None else self.workers)
        if min(counts) < 1 or self.cpus <= 0:
            raise ConfigError(
                f"{self}: at least one worker, one attempt and one unit to a task, and cpus above "
                "0, are wanted"
            )

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields each unit with its report, in order of completion; see `Executor`.

        Progress of a unit on another machine is not seen here, only that it is under way.
        """
        return carried(
            units,
            lambda: _Carrier(_connected(self.address), self.cpus, self.wall_s),
            workers=self.workers,
            attempts=self.attempts,
            stack=self.stack,
            say=lambda trips: _say(watch, trips),
        )


def _say(watch: ProgressWatch | None, trips: Sequence[Trip]) -> None:
    if watch is None:
        return
    for trip in trips:
        stage = "on the cluster" if trip.attempt == 1 else "on the cluster again"
        for unit, _ in trip.jobs:
            watch(unit.id, {"stage": stage, "attempt": trip.attempt})


class _Carrier:
    """Sends units as tasks of Ray."""

    def __init__(self, ray: Any, cpus: float, wall_s: float | None) -> None:
        self._ray, self._cpus, self._wall_s = ray, cpus, wall_s
        # No repeats by Ray: it would not say so, and how often is ours to bound.
        self._task = ray.remote(num_cpus=cpus, max_retries=0)(carry_out)

    def places(self) -> int | None:
        return int(self._ray.cluster_resources().get("CPU", 0) / self._cpus) or None

    def send(self, trip: Trip) -> Any:
        orders = bundle([order_parcel(unit, folder) for unit, folder in trip.jobs])
        return self._task.remote(orders, self._wall_s)

    def ended(self, away: Sequence[Trip]) -> list[tuple[Trip, Sequence[Outcome]]]:
        trips = {trip.ticket: trip for trip in away}
        back, _ = self._ray.wait(list(trips), timeout=_TICK_S)
        return [(trips[ref], self._came_of(trips[ref])) for ref in back]

    def cancel(self, trip: Trip) -> None:
        self._ray.cancel(trip.ticket, force=True)

    def _came_of(self, trip: Trip) -> Sequence[Outcome]:
        try:
            parcels = _fetched(self._ray, trip)
        except RewardsmithError as error:
            return [error] * len(trip.jobs)
        return [_taken(job, parcel) for job, parcel in zip(trip.jobs, parcels, strict=True)]


def _taken(job: Job, parcel: bytes) -> Outcome:
    try:
        return take_in(*job, parcel)
    except RewardsmithError as error:
        return error


def _fetched(ray: Any, trip: Trip) -> list[bytes]:
    """Returns what a trip's job has sent back: a parcel for each unit.

    Raises:
        TrainingError: the worker or its node is gone, the job could not even be started, or what
            came is something else.
    """
    try:
        parcels = unbundle(ray.get(trip.ticket))
        if len(parcels) != len(trip.jobs):
            raise ValueError(f"{len(trip.jobs)} parcels were expected, {len(parcels)} came")
        return parcels
    except ValueError as error:
        raise TrainingError(f"{trip.name}: what came back is no result: {error}") from error
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0]
        what = f"{type(error).__name__}: {first}"
        raise TrainingError(
            f"{trip.name}: attempt {trip.attempt} on the cluster was lost ({what})"
        ) from error


def _connected(address: str | None) -> Any:
    """Returns Ray, connected to the cluster.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """
    # Before the import: Ray reports to its makers and serves a page unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ConfigError(
            f'the executor ray needs the package ray ({error}): pip install "rewardsmith[ray]"'
        ) from error
    if ray.is_initialized():
        return ray
    where = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"address": where} if where else _own_cluster()
    try:
        ray.init(log_to_driver=False, configure_logging=False, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"no Ray cluster at {where or 'this machine'}: {error}") from error
    return ray


def _own_cluster() -> dict[str, Any]:
    return {"num_cpus": len(usable_cores()), "include_dashboard": False}
