"""Short slices of work in turn, with processor time beside wall time, and what others used.

A slice during which other processes used more than 0.12 of a core says little about the machine.
It is left out as long as enough quiet ones remain.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

QUIET_CORES = 0.12
ENOUGH = 5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Work(Protocol):
    """Something that is measured: ``run`` works for some seconds, in this process or a child."""

    def run(self, seconds: float) -> tuple[int, float]:
        """Returns the units done (env steps), and the processor seconds they took."""
        ...


@dataclass(frozen=True)
class Slice:
    """One turn of one way of working; ``others`` is the cores that other processes used."""

    units: int
    wall_s: float
    cpu_s: float
    others: float

    @property
    def per_s(self) -> float:
        """Units per second of wall time."""
        return self.units / self.wall_s

    @property
    def per_core_s(self) -> float:
        """Units per second of processor time."""
        return self.units / self.cpu_s

    @property
    def quiet(self) -> bool:
        """Whether the machine was this slice's own."""
        return self.others <= QUIET_CORES


class Looped:
    """Calls a function, which does ``units``, in this process until the time is over."""

    def __init__(self, function: Callable[[], object], units: int) -> None:
        self._function = function
        self._units = units

    def run(self, seconds: float) -> tuple[int, float]:
        """Returns units and processor seconds of all threads."""
        cpu, end, done = time.process_time(), time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            self._function()
            done += self._units
        return done, time.process_time() - cpu


def slices(ways: Mapping[str, Work], *, seconds: float, budget_s: float) -> dict[str, list[Slice]]:
    """Lets the ways take turns until each has enough quiet slices, or the time is spent.

    Args:
        ways: name -> work, warmed up here by one short turn each.
        seconds: length of a slice.
        budget_s: seconds after which no further round begins; one round is always measured.
    """
    for work in ways.values():
        work.run(seconds / 4)
    found: dict[str, list[Slice]] = {name: [] for name in ways}
    end = time.perf_counter() + budget_s
    while True:
        for name, work in ways.items():
            found[name].append(_slice(work, seconds))
        if all(sum(s.quiet for s in mine) >= ENOUGH for mine in found.values()):
            return found
        if time.perf_counter() > end:
            return found


def _slice(work: Work, seconds: float) -> Slice:
    busy, begin = busy_s(), time.perf_counter()
    units, cpu = work.run(seconds)
    wall = time.perf_counter() - begin
    return Slice(units, wall, cpu, max(0.0, (busy_s() - busy - cpu) / wall))


def busy_s() -> float:
    """Returns the processor seconds that all processes of this machine have used; 0 elsewhere."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    spent = [int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(spent) - spent[3] - spent[4]) / _TICKS_PER_S


def summary(mine: Sequence[Slice]) -> dict[str, Any]:
    """Returns medians over the quiet slices, or over all where there are too few."""
    used = _quiet(mine)
    return {
        "per_s": round(median(s.per_s for s in used), 1),
        "per_core_s": round(median(s.per_core_s for s in used), 1),
        "cores": round(median(s.cpu_s / s.wall_s for s in used), 2),
        "slices": len(mine),
        "quiet": sum(s.quiet for s in mine),
    }


def ratio(ours: Sequence[Slice], theirs: Sequence[Slice]) -> dict[str, Any]:
    """Returns the median of the ratios of slices of one round, by wall and by processor time.

    ``noisy`` says that too few rounds were quiet for both, so that all were used.
    """
    rounds = list(zip(ours, theirs, strict=True))
    quiet = [pair for pair in rounds if pair[0].quiet and pair[1].quiet]
    used = quiet if len(quiet) >= ENOUGH else rounds
    return {
        "wall": round(median(a.per_s / b.per_s for a, b in used), 3),
        "per_core": round(median(a.per_core_s / b.per_core_s for a, b in used), 3),
        "rounds": len(used),
        "noisy": len(quiet) < ENOUGH,
    }


def _quiet(mine: Sequence[Slice]) -> list[Slice]:
    quiet = [s for s in mine if s.quiet]
    return quiet if len(quiet) >= ENOUGH else list(mine)
