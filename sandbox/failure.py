"""What a reward program did wrong, as a value: never an exception, never a number."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

FailureKind = Literal[
    "no_code",  # the reply held no program with the wanted function
    "rejected",  # static policy: syntax, size, imports, names
    "contract",  # shapes, finiteness, batch behaviour, purity on recorded steps
    "reward_error",  # an exception in the program
    "bad_output",  # the answer was not what was declared
    "timeout",
    "stalled",
    "oom",
    "killed",
    "exited",
    "limit",
    "protocol_error",
    "impure",
    "diverged",  # the policy's loss or weights became non-finite under this reward
]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a program's text, phrased for its author to act on."""

    line: int | None
    text: str


class Failure(BaseModel):
    """Why a program has no result. ``text`` is phrased for the model that wrote it to act on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FailureKind
    text: str
    line: int | None = None  # of the program as its author wrote it
