"""What confines a worker: the protocol of backends, their limits and self-tests, and the choice.

A backend starts one process that holds the worker's program and nothing else, behind walls that the
kernel keeps; it knows nothing of rewards. There is no silent way down: where no backend passes its
enforcement self-test, ``SandboxUnavailable`` names what failed and what to do.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rewardsmith.errors import ConfigError, SandboxUnavailable
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.guarantees import KINDS, Check, Guarantee, lacking
from rewardsmith.sandbox.wire import Pipes

# Strongest first: the order in which `auto` looks.
STRENGTH = ("docker", "bubblewrap", "process")
UNCONFINED = "none"
_CONFINE = "Every backend but none holds it: use --sandbox auto"
_HARDER: Mapping[str, str] = {
    **dict.fromkeys(KINDS, _CONFINE),
    "cpu": "Use --sandbox docker with an engine that has CPU quotas (cgroups with cfs_quota)",
}
UNCONFINED_BANNER = (
    "WARNING: --sandbox none: reward code written by a language model runs on this machine "
    "with your "
    "rights, unconfined. It can read your files and keys and use your network."
)


@dataclass(frozen=True)
class Limits:
    """What one worker may use.

    A call may take ``call_s`` plus ``row_s`` a row; ``total_s`` bounds the sum of all calls, and
    ``idle_s`` (where there is a total) the time between them.
    ``memory_bytes`` is address space; ``region_bytes`` is the shared memory for one call's columns
    (larger calls are cut in pieces). ``arrays`` is the library it evaluates with, and the device;
    with JAX, ``Limits.for_arrays`` leaves room for a compiler.
    """

    memory_bytes: int = 2 * 2**30
    region_bytes: int = 128 * 2**20
    start_s: float = 30.0
    call_s: float = 10.0
    row_s: float = 2e-4
    total_s: float | None = None
    idle_s: float = 60.0
    text_characters: int = 2000
    arrays: Arrays = NUMPY

    @classmethod
    def for_arrays(cls, arrays: Arrays) -> "Limits":
        """Returns the limits of a worker that evaluates with ``arrays``: compiling takes more."""
        if arrays.library == "numpy":
            return cls()
        return cls(memory_bytes=6 * 2**30, start_s=90.0, call_s=60.0, arrays=arrays)


@dataclass(frozen=True)
class SelfTest:
    """What a backend proved on this machine by trying, not by asking."""

    backend: str
    checks: tuple[Check, ...]
    guarantees: Mapping[str, Guarantee] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    start_ms: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every promise holds; a backend that proved nothing has not passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The promises that do not hold."""
        return tuple(check for check in self.checks if not check.passed)


class Worker(Protocol):
    """One running worker: its pipes, its shared memory if it has any, and its end."""

    @property
    def pipes(self) -> Pipes:
        """The ends of the pipes on this side."""
        ...

    @property
    def shared(self) -> mmap.mmap | None:
        """The region that both sides see; None where columns go through the pipes."""
        ...

    @property
    def hello(self) -> Mapping[str, Any]:
        """What the worker said of itself after it was locked in."""
        ...

    def stop(self, grace_s: float = 0.0) -> int | None:
        """Waits ``grace_s`` for the worker's own end, then kills it.

        Returns its exit status (negative: the signal that ended it). Safe to call twice.
        """
        ...


class Backend(Protocol):
    """A way to confine a worker."""

    @property
    def name(self) -> str:
        """The word for it in ``--sandbox``."""
        ...

    def self_test(self, arrays: Arrays = NUMPY) -> SelfTest:
        """Tries the walls as they stand with ``arrays``; never raises for a missing one."""
        ...

    def start(self, limits: Limits) -> Worker:
        """Starts a worker that is locked in already.

        Raises:
            SandboxUnavailable: it could not be started or could not be confined.
        """
        ...


def choose(
    requested: str,
    tests: Mapping[str, SelfTest],
    wanted: Mapping[str, Guarantee] | None = None,
) -> tuple[str, tuple[str, ...]]:
    """Returns the name of the backend to use and the reasons, from what the backends proved.

    Args:
        requested: "auto", "none" or a backend's name.
        tests: self-tests by backend; for a name, only its own is needed.
        wanted: how hard each kind of limit has to be held at least (``guarantees``).

    Raises:
        SandboxUnavailable: what was asked for does not hold here; the message is a table of why.
        ConfigError: there is no backend of that name.
    """
    wanted = wanted or {}
    if requested == UNCONFINED:
        if wanted:
            raise _unavailable([_too_soft(SelfTest(UNCONFINED, ()), wanted)])
        return UNCONFINED, ("asked for by name",)
    if requested != "auto" and requested not in tests:
        known = ", ".join(("auto", *tests, UNCONFINED))
        raise ConfigError(f"--sandbox {requested!r} is not known; there are {known}")
    looked_at = [requested] if requested != "auto" else [n for n in STRENGTH if n in tests]
    reasons: list[str] = []
    for name in looked_at:
        reason = _why_not(tests[name]) or _too_soft(tests[name], wanted)
        if not reason:
            return name, (*reasons, f"{name}: all {len(tests[name].checks)} checks passed")
        reasons.append(reason)
    raise _unavailable(reasons)


def _unavailable(reasons: list[str]) -> SandboxUnavailable:
    return SandboxUnavailable(
        "reward code cannot be confined on this machine as asked, so nothing was run.\n"
        + "\n".join(reasons)
    )


def _why_not(test: SelfTest) -> str:
    if not test.checks:
        return f"  {test.backend}: proved nothing"
    return "\n".join(
        f"  {test.backend}: {check.name}: {check.found}. {check.remedy}".rstrip()
        for check in test.failed
    )


def _too_soft(test: SelfTest, wanted: Mapping[str, Guarantee]) -> str:
    return "\n".join(
        f"  {test.backend}: {kind} is {held}, {strength} is required. {_HARDER[kind]}"
        for kind, held, strength in lacking(test.guarantees, wanted)
    )
