"""The configuration of a run: every error at once, the nearest name for each unknown key."""

import difflib
import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.guarantees import asked, required
from rewardsmith.sandbox.shaping import parse_shaping

StrategyName = Literal["greedy", "eureka", "iid"]
SandboxName = Literal["auto", "docker", "bubblewrap", "process", "none"]

BY_DESIGNER = "designer"
# In the order in which a candidate meets them; "after" are all those of a training.
ProbeName = Literal["health", "ranking", "farming", "sensitivity", "starc", "human", "after"]

# What may differ between two starts of the same run: where it lies, its limits, its helpers.
NOT_IDENTITY = {
    "out", "workers", "pause_after", "max_usd", "max_tokens", "max_steps", "max_time_s", "prices",
    "llm_timeout_s", "sandbox_require", "yes_run_unsandboxed", "executor",
    "executor_args",
}  # fmt: skip


class RunConfig(BaseModel):
    """Everything that decides a run. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str
    text: str | None = None  # the behaviour in words; the task's own text if None
    card: Path | None = None
    fitness: str | None = None
    env_kwargs: dict[str, Any] = {}
    wrappers: tuple[str, ...] = ()

    llm: str | None = None
    roles: dict[Literal["designer", "critic", "analyzer"], str] = {}
    prompts: Path | None = None
    candidates: int = Field(4, ge=1, le=256)
    generations: int = Field(2, ge=1, le=1000)
    strategy: StrategyName = "greedy"
    critic_rounds: int | None = Field(None, ge=0, le=3)  # None: 1, or 0 for the local model
    repair_turns: int = Field(1, ge=0, le=3)
    probes: bool | tuple[ProbeName, ...] = True  # all, none, or these
    audit_rejected: float = Field(0.0, ge=0, le=1)  # share of the refused that train all the same
    shaping: str | None = None  # operators over components; "designer" leaves the choice to it
    subgoals: bool = False  # ask the designer for subgoals

    algo: str | None = None  # None: the task's preset
    hyperparams: Path | None = None
    steps: int | None = Field(None, ge=1)  # None: the preset's
    seed: int = Field(0, ge=0, le=3_500)  # of the run: the ranges of all other seeds derive from it
    rungs: tuple[float, ...] = ()  # parts of a training after which the better half goes on
    seeds: int = Field(1, ge=1, le=100)  # training seeds per candidate in the search
    recheck_seeds: int = Field(1, ge=0, le=100)  # fresh seeds before a candidate becomes the bar
    recheck_candidates: int = Field(2, ge=1, le=256)  # how many of a generation get them
    final_seeds: int = Field(3, ge=0, le=100)  # held-out seeds of the final comparison
    eval_episodes: int = Field(10, ge=1, le=10_000)

    sandbox: SandboxName = "auto"
    sandbox_require: str = ""  # e.g. "cpu=hard": what the sandbox must hold, and how hard
    yes_run_unsandboxed: bool = False  # for sandbox "none" where nobody sits at a terminal
    device: str = "auto"
    workers: int | None = Field(None, ge=1)
    executor: str = "local"  # serial, local, ray, slurm or module:attr
    executor_args: dict[str, str | int | float | bool | None] = {}
    out: Path | None = None
    pause_after: bool = False  # stop after every generation and wait for a person
    video: bool = True
    max_usd: float | None = Field(None, gt=0)
    max_tokens: int | None = Field(None, gt=0)
    max_steps: int | None = Field(None, gt=0)
    max_time_s: float | None = Field(None, gt=0)
    prices: Path | None = None
    llm_timeout_s: float | None = Field(None, gt=0)  # of one question, its repeats included

    @field_validator("sandbox_require")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            required(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("shaping")
    @classmethod
    def _spelled(cls, value: str | None) -> str | None:
        try:
            return value if value is None or value == BY_DESIGNER else parse_shaping(value).text
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @property
    def confinement(self) -> str:
        """The sandbox and what it must hold, as one text that every job is given."""
        return asked(self.sandbox, self.sandbox_require)

    def probing(self, name: ProbeName) -> bool:
        """Tells whether a probe is asked in this run."""
        return self.probes if isinstance(self.probes, bool) else name in self.probes

    @field_validator("rungs")
    @classmethod
    def _increasing(cls, rungs: tuple[float, ...]) -> tuple[float, ...]:
        edges = (0.0, *rungs, 1.0)
        if any(not low < high for low, high in itertools.pairwise(edges)):
            raise ValueError("increasing parts between 0 and 1 are wanted, e.g. [0.2, 0.5]")
        return rungs

    @property
    def identity(self) -> str:
        """Eight hex digits over all that decides the run's outcome."""
        kept = self.model_dump(mode="json", exclude=NOT_IDENTITY)
        if not self.rungs:
            del kept["rungs"]  # without them a run is what it was before there were any
        for key in ("shaping", "subgoals"):
            if not kept[key]:
                del kept[key]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def make_config(values: Mapping[str, Any], *, source: str = "") -> RunConfig:
    """Returns the configuration of ``values``.

    Raises:
        ConfigError: names every unknown key (with the nearest known one) and every bad value.
    """
    try:
        return RunConfig.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        where = f"{source}: " if source else ""
        raise ConfigError(where + "; ".join(lines)) from error


def read_config(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file.

    Raises:
        ConfigError: no such file, not YAML, or not a mapping.
    """
    import yaml

    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a mapping of keys is wanted, e.g. `env: Hopper-v5`")
    return value


def seconds(text: str | float | None) -> float | None:
    """Returns a duration such as "90", "90s", "30m", "2h" or "1.5d" in seconds.

    Raises:
        ConfigError: anything else.
    """
    if text is None or isinstance(text, int | float):
        return text
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        return float(number) * unit
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a duration; write 90s, 30m, 2h or 1d") from error


def _explain(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, RunConfig.model_fields, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "see `rewardsmith design --help`"
        return f"unknown key {key!r}; {hint}"
    if item["type"] == "missing":
        return f"{key} is missing"
    return f"{key} is {item['input']!r}: {item['msg'].lower()}"
