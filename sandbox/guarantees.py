"""What a backend holds to and how hard: by which trials that is proven, and who may insist on it.

"hard" is kept by the kernel or an engine whatever the program does; "soft" is kept where nothing
fights it. A promise is worth its trials: where one was not made or not passed, "hard" is not said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from rewardsmith.errors import ConfigError

Guarantee = Literal["hard", "soft", "none"]

# Each guarantee with the doors that must have been tried and found closed, in the words of the
# probes ("cannot <door>", also from behind a backend's own walls alone).
PROOFS: Mapping[str, tuple[str, ...]] = {
    "files": ("read a file", "list a directory", "write a file"),
    "network": ("open an internet socket", "open a local socket"),
    "processes": ("start a process", "start a thread", "execute a program"),
    "memory": ("go over the memory limit",),
    "disk": ("write a file", "make a memory file"),
    "cpu": ("use a second core",),
    "time": ("outlive its end",),
    "output": ("send more than was asked for",),
}
KINDS = tuple(PROOFS)
_RANK: Mapping[str, int] = {"none": 0, "soft": 1, "hard": 2}


@dataclass(frozen=True)
class Check:
    """One enforced promise: whether it holds, what was found, and what would mend it."""

    name: str
    passed: bool
    found: str
    remedy: str = ""


def proven(claimed: Mapping[str, Guarantee], checks: Iterable[Check]) -> dict[str, Guarantee]:
    """Returns what is claimed, with "soft" for every "hard" that no trial stands behind."""
    held = {check.name.rpartition("cannot ")[2] for check in checks if check.passed}
    return {
        kind: "soft" if strength == "hard" and not held.issuperset(PROOFS[kind]) else strength
        for kind, strength in claimed.items()
    }


def required(text: str) -> dict[str, Guarantee]:
    """Reads e.g. "memory=hard,cpu=hard"; "" requires nothing.

    Raises:
        ConfigError: another kind or strength than there are, or one kind twice.
    """
    wanted: dict[str, Guarantee] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        kind, _, strength = (word.strip() for word in part.partition("="))
        if kind not in PROOFS or strength not in ("hard", "soft") or kind in wanted:
            raise ConfigError(
                f"--sandbox-require {text!r}: {part!r} is not understood; name each of "
                f"{', '.join(KINDS)} at most once, as hard or soft, e.g. memory=hard,cpu=hard"
            )
        wanted[kind] = "hard" if strength == "hard" else "soft"
    return wanted


def lacking(
    held: Mapping[str, Guarantee], wanted: Mapping[str, Guarantee]
) -> tuple[tuple[str, Guarantee, Guarantee], ...]:
    """Returns (kind, strength held, strength wanted) wherever less is held than wanted."""
    found = ((kind, held.get(kind, "none"), strength) for kind, strength in wanted.items())
    return tuple(row for row in found if _RANK[row[1]] < _RANK[row[2]])


def asked(sandbox: str, require: str = "") -> str:
    """Returns the one text that stands for both flags: "auto", or e.g. "auto:cpu=hard"."""
    return f"{sandbox}:{require}" if require else sandbox
