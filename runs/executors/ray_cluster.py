"""Units on a Ray cluster: each is sent as bytes, and its results come back as bytes.

No folder has to be shared and nothing of ours is pickled but the name of one function. A worker or
a node that is lost costs the units that it was at; they are sent again, a bounded number of times.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith.errors import ConfigError, RewardsmithError, TrainingError
from rewardsmith.runs.executors import ProgressWatch
from rewardsmith.runs.executors.child import failed
from rewardsmith.runs.executors.local import usable_cores
from rewardsmith.runs.executors.node import carry_out
from rewardsmith.runs.executors.shipping import order_parcel, take_in
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files

_TICK_S = 0.5


@dataclass(frozen=True)
class _Trip:
    """One sending of a unit."""

    unit: Unit
    folder: Path
    attempt: int = 1

    def again(self) -> "_Trip":
        return _Trip(self.unit, self.folder, self.attempt + 1)


@dataclass(frozen=True)
class Ray:
    """Runs units on the nodes of a Ray cluster, where the same rewardsmith has to be installed.

    Args:
        address: of the cluster ("auto": the one on this machine); None: ``RAY_ADDRESS``, or else a
            cluster of this machine's cores that is started here and ends with this process.
        workers: units under way at most; None: all, and Ray has them wait for free cores.
        wall_s: the longest that one attempt may take.
        attempts: how often a unit is sent before it counts as lost.
        cpus: cores that Ray is to set aside for each unit.
    """

    address: str | None = None
    workers: int | None = None
    wall_s: float | None = None
    attempts: int = 3
    cpus: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.cpus <= 0 or (self.workers is not None and self.workers < 1):
            raise ConfigError(
                f"{self}: at least one worker and one attempt, and cpus above 0, are wanted"
            )

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields each unit with its report, in order of completion; see `Executor`.

        Progress of a unit on another machine is not seen here, only that it is under way.
        """
        todo: deque[_Trip] = deque()
        for unit, folder in units:
            known = files.finished(folder, unit)
            if known is not None:
                yield unit, known
            else:
                files.write_unit(folder, unit)
                todo.append(_Trip(unit, folder))
        if todo:
            yield from self._send(_connected(self.address), todo, watch)

    def _send(
        self, ray: Any, todo: deque[_Trip], watch: ProgressWatch | None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        # No repeats by Ray: it would not say so, and how often is ours to bound.
        remote = ray.remote(num_cpus=self.cpus, max_retries=0)(carry_out)
        away: dict[Any, _Trip] = {}
        lost: list[RewardsmithError] = []
        try:
            while todo or away:
                while todo and (self.workers is None or len(away) < self.workers):
                    trip = todo.popleft()
                    away[self._sent(remote, trip)] = trip
                for ref in ray.wait(list(away), timeout=_TICK_S)[0]:
                    trip = away.pop(ref)
                    found = _came_of(ray, ref, trip)
                    if isinstance(found, TrainingReport):
                        yield trip.unit, found
                    elif isinstance(found, TrainingError) and trip.attempt < self.attempts:
                        todo.append(trip.again())
                    else:
                        lost.append(found)
                _say(watch, (*away.values(), *todo))
        finally:
            for ref in away:
                ray.cancel(ref, force=True)
        if lost:
            raise failed(lost)

    def _sent(self, remote: Any, trip: _Trip) -> Any:
        return remote.remote(order_parcel(trip.unit, trip.folder), self.wall_s)


def _say(watch: ProgressWatch | None, trips: Sequence[_Trip]) -> None:
    if watch is None:
        return
    for trip in trips:
        stage = "on the cluster" if trip.attempt == 1 else "on the cluster again"
        watch(trip.unit.id, {"stage": stage, "attempt": trip.attempt})


def _came_of(ray: Any, ref: Any, trip: _Trip) -> TrainingReport | RewardsmithError:
    try:
        return take_in(trip.unit, trip.folder, _fetched(ray, ref, trip))
    except RewardsmithError as error:
        return error


def _fetched(ray: Any, ref: Any, trip: _Trip) -> object:
    """Returns what a unit's job has sent back.

    Raises:
        TrainingError: the worker or its node is gone, or the job could not even be started.
    """
    try:
        return ray.get(ref)
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0]
        what = f"{type(error).__name__}: {first}"
        raise TrainingError(
            f"{trip.unit.id}: attempt {trip.attempt} on the cluster was lost ({what})"
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
