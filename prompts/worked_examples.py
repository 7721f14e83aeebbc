"""Worked rewards of other environments, and the ones nearest to an instruction."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and as at be by for from in into is it its little of on or possible so soon that the "
        "then there to up very with without while",
    )
)


class ExampleField(BaseModel):
    """One name of an example's card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, ...]
    unit: str
    meaning: str


class ExampleAction(BaseModel):
    """What the example's environment takes: ``count`` choices, or reals of ``shape``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meaning: str
    shape: tuple[int, ...] = ()
    count: Annotated[int, Field(gt=1)] | None = None


class WorkedExample(BaseModel):
    """An instruction, the card it was written for, and a reward that meets the contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str
    instruction: str
    names: tuple[ExampleField, ...]
    action: ExampleAction
    code: str


@dataclass(frozen=True)
class ShownExample:
    """An example as a prompt shows it, each name with shape, unit and meaning on a line."""

    environment: str
    instruction: str
    names: tuple[str, ...]
    code: str


@lru_cache(maxsize=1)
def worked_examples() -> tuple[WorkedExample, ...]:
    """All examples of the package, by name of their files."""
    import yaml

    folder = files("rewardsmith.prompts") / "examples"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    texts = (f.read_text(encoding="utf-8") for f in found)
    return tuple(WorkedExample.model_validate(yaml.safe_load(text)) for text in texts)


def nearest(
    instruction: str, env_id: str, k: int, *, memory: bool = True
) -> tuple[WorkedExample, ...]:
    """The ``k`` examples whose instructions share the most words with ``instruction``, best first.

    An example of the task's own environment, whatever its version, is never among them. Equal
    overlap is settled by the order of the files, so the answer is the same everywhere. Without
    ``memory`` no example uses it: small models copy it without need.
    """
    wanted = _stems(instruction)
    others = [e for e in worked_examples() if _family(e.environment) != _family(env_id)]
    others = [e for e in others if memory or "MEMORY" not in e.code]
    return tuple(sorted(others, key=lambda e: -_overlap(wanted, _stems(e.instruction)))[:k])


def shown(example: WorkedExample) -> ShownExample:
    """An example as its prompt lists it."""
    lines = [f"`{f.name}` {_shape(f.shape)}, {f.unit}: {f.meaning}" for f in example.names]
    lines.append(f"`action` {_shape(example.action.shape)}: {example.action.meaning}")
    return ShownExample(example.environment, example.instruction, tuple(lines), example.code)


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(["N", *map(str, shape)]) + ("," if not shape else "") + ")"


def _overlap(wanted: frozenset[str], has: frozenset[str]) -> float:
    return len(wanted & has) / max(len(wanted | has), 1)


def _stems(text: str) -> frozenset[str]:
    """The words of a text that carry meaning, cut to six letters so that forms of one word meet."""
    return frozenset(w[:6] for w in re.findall(r"[a-z]+", text.lower()) if w not in _COMMON)


def _family(env_id: str) -> str:
    """An environment's name without namespace, version and kind of action."""
    name = re.sub(r"-v\d+$", "", env_id.rsplit("/", 1)[-1].rsplit(":", 1)[-1]).lower()
    return re.sub(r"(continuous|discrete|hardcore)$", "", name)
