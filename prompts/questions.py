"""What an analyzer may ask about stored episodes: a few forms of questions, strictly read."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from rewardsmith.prompts.dissection import stored_episodes
from rewardsmith.prompts.replies import json_objects
from rewardsmith.runs.records import Evidence

Statistic = Literal["mean", "min", "max", "std", "median", "first", "last", "sum"]
STATISTICS: tuple[str, ...] = get_args(Statistic)
MOST_QUESTIONS = 8  # of one analysis
MOST_COLUMNS = 6  # of one window
_CONDITION = re.compile(
    r"\s*(?P<name>[A-Za-z_][\w.]*(?:\[\d+(?:,\d+)*\])?)\s*(?P<op><=|>=|==|!=|<|>)\s*"
    r"(?P<value>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
)
_NAME = Annotated[str, Field(min_length=1, max_length=80)]
FORMS = {
    "stat": '{"ask": "stat", "of": "NAME", "statistic": "mean", "group": "failed", '
    '"steps": [0, 50]}',
    "window": '{"ask": "window", "of": ["NAME", "NAME"], "episode": 0, "steps": [-10, -1]}',
    "count": '{"ask": "count", "where": "NAME < 0.5", "group": "all"}',
    "compare": '{"ask": "compare", "of": "NAME", "statistic": "max", "group": "failed", '
    '"with": "best"}',
    "decided": '{"ask": "decided", "episode": 0}',
}


@dataclass(frozen=True)
class Interview:
    """What an analyzer is told of asking: how often it may, and what about."""

    questions: int
    episodes: int
    columns: tuple[str, ...]
    endings: tuple[str, ...]
    forms: tuple[str, ...] = tuple(FORMS.values())
    statistics: tuple[str, ...] = STATISTICS


def interview_about(evidence: Iterable[Evidence], questions: int) -> Interview | None:
    """What may be asked about the stored episodes of a candidate, None if none are stored.

    Args:
        evidence: its ledger.
        questions: how many, at most; 0 for none.
    """
    stored = stored_episodes(evidence)
    if questions < 1 or not stored.get("columns"):
        return None
    columns, endings = tuple(map(str, stored["columns"])), tuple(map(str, stored["outcomes"]))
    return Interview(questions, int(stored["episodes"]), columns, endings)


@dataclass(frozen=True)
class Condition:
    """``column op value``, as in ``torso_height < 0.8``."""

    column: str
    op: str
    value: float


def condition_in(text: str) -> Condition:
    """Returns the one comparison in a text; nothing is ever evaluated as code.

    Raises:
        ValueError: it is no name, comparison and number.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError("a name, one of < <= > >= == != and a number are wanted")
    return Condition(found["name"], found["op"], float(found["value"]))


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class _Stretched(_Form):
    """``steps`` are first and last, both counted in; negative ones from the end."""

    steps: tuple[int, int] | None = None
    group: _NAME = "all"

    @field_validator("steps", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class Stat(_Stretched):
    """A statistic of a column over the episodes of a group."""

    ask: Literal["stat"]
    of: _NAME
    statistic: Statistic = "mean"


class Count(_Stretched):
    """How often a condition held in the episodes of a group."""

    ask: Literal["count"]
    where: _NAME

    @field_validator("where")
    @classmethod
    def _readable(cls, value: str) -> str:
        condition_in(value)
        return value


class Compare(_Stretched):
    """A statistic of a column in two groups."""

    ask: Literal["compare"]
    of: _NAME
    statistic: Statistic = "mean"
    against: _NAME = Field("best", alias="with")


class Window(_Form):
    """Rows of some columns of one episode."""

    ask: Literal["window"]
    of: tuple[_NAME, ...] = Field(min_length=1, max_length=MOST_COLUMNS)
    episode: int = Field(0, ge=0)
    steps: tuple[int, int]

    @field_validator("steps", "of", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class Decided(_Form):
    """From which step of an episode on it was lost, by playing on from there."""

    ask: Literal["decided"]
    episode: int = Field(0, ge=0)


AnyForm = Stat | Count | Compare | Window | Decided
Question = Annotated[AnyForm, Field(discriminator="ask")]
_READER: TypeAdapter[AnyForm] = TypeAdapter(Question)


@dataclass(frozen=True)
class Asked:
    """One question as it was put; ``problem`` says what is wrong with one that cannot be read."""

    text: str
    question: AnyForm | None
    problem: str = ""


def questions_in(reply: str) -> tuple[Asked, ...]:
    """Returns the questions of a reply in order, none of a reply that is an analysis.

    Raises:
        ReplyFormatError: it is far too long, or a key stands twice.
    """
    found = list(json_objects(reply, {"ask", "questions", "causes", "advice"}))
    if any({"causes", "advice"} & set(item) for item in found):
        return ()
    listed = [each for item in found for each in _listed(item)]
    return tuple(_asked(item) for item in listed)


def _listed(item: Mapping[str, Any]) -> Sequence[Any]:
    questions = item.get("questions")
    return questions if isinstance(questions, list) else [item]


def _asked(item: object) -> Asked:
    text = json.dumps(item, sort_keys=True, default=str)[:400]
    kind = item.get("ask") if isinstance(item, Mapping) else None
    example = FORMS.get(str(kind), "; ".join(FORMS.values()))
    try:
        return Asked(text, _READER.validate_python(item))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != kind)
        said = f"{where}: {first['msg']}" if where else first["msg"]
        return Asked(text, None, f"not a question that can be answered ({said}); wanted: {example}")
