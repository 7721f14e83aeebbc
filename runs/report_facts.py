"""What a report tells beside the journal's fold: who was asked, where it ran, how to repeat it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewardsmith.envs.task import Task


@dataclass(frozen=True)
class LedgerRow:
    """What one role and model used; ``usd`` is None where a call had no known price."""

    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    wall_s: float = 0.0


@dataclass(frozen=True)
class RunFacts:
    """Facts of a run; whatever is not known is left out here and shown as missing, never guessed.

    ``seeds`` maps a purpose ("training", "held-out", "judging") to its seeds, ``phases`` a phase of
    the run to its wall seconds. ``sandbox`` is the backend's name; "none" puts a banner on top.
    ``video`` is a file inside the run folder; where there is none, ``video_note`` says why.
    ``load_policy`` are the lines of Python that load the best policy.
    """

    task: Task | None = None
    command: str = ""
    started: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    trainer: str = ""
    hyperparams: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    sandbox: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)
    ledger: tuple[LedgerRow, ...] = ()
    video: Path | None = None
    video_note: str = ""
    load_policy: str = ""
    stopped: str = ""  # why an unfinished run ended, where it did

    @property
    def unit(self) -> str:
        """Unit of the fitness, empty where the task is not known."""
        return self.task.fitness_unit if self.task else ""

    @property
    def fitness_label(self) -> str:
        """What a fitness axis is called."""
        return f"fitness [{self.unit}]" if self.unit else "fitness"
