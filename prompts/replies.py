"""What a reply means: a program, a verdict or an analysis; strict about content, not form."""

import ast
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rewardsmith.errors import ModelError
from rewardsmith.prompts.programs import Extraction, ExtractionCause, extract_program
from rewardsmith.prompts.structure import parsed
from rewardsmith.runs.records import Critique

__all__ = [
    "Analysis",
    "Extraction",
    "ExtractionCause",
    "ReplyFormatError",
    "extract_program",
    "has_substance",
    "parse_analysis",
    "parse_critique",
    "speaks_to_reader",
]

Schema = TypeVar("Schema", bound=BaseModel)
_LONGEST_LINE = 400
_MOST_LINES = 6
# A model that repeats itself sends thousands of braces, each of which takes a look at all the rest.
_MOST_TRIES = 100
_LONGEST_REPLY = 60_000
# Orders that no honest analysis holds, and those that a remark on a policy might sound like.
_COMMANDS = (
    r"\b(?:ignore|disregard|forget|override)\b[^.\n]{0,50}"
    r"\b(?:instruction|instructions|above|previous|prior|rules?|prompt|task)\b"
    r"|\b(?:please|always|just|simply|now)\s+(?:accept|approve)\b"
    r"|\b(?:critic|reviewer|judge|grader|assistant|system)\s*:\s*"
    r"|\b(?:output|answer|reply|respond|say|return|print)\b[^.\n]{0,20}[\"'`]?\baccept\b"
    r"|<\|[a-z_ ]+\|>"
)
_DEMANDS = (
    r"\b(?:you|critic|reviewer|judge|grader|assistant|system|llm|model)\b[^.\n]{0,40}"
    r"\b(?:must|should|shall|have to|need to|please|will)\b[^.\n]{0,30}"
    r"\b(?:accept|approve|pass|verdict|score|rate)\b"
)
_COMMAND = re.compile(_COMMANDS, re.IGNORECASE)
_ORDERS = re.compile(f"{_COMMANDS}|{_DEMANDS}", re.IGNORECASE)
# Zhao et al. 2025, "One Token to Fool LLM-as-a-Judge": such openers alone win judges over.
_OPENERS = re.compile(
    r"\W*(?:thought process|solution|answer|analysis|explanation"
    r"|(?:let'?s|let us)\s+(?:solve|think|start|begin|see|go|work)\b[^.]*"
    r"|(?:thinking|step by step)\b[^.]*"
    r"|here (?:is|are) (?:the|my|an?) (?:analysis|answer|solution|explanation)s?)\W*",
    re.IGNORECASE,
)


class ReplyFormatError(ModelError):
    """A reply without the answer asked for; the message is phrased for a second request."""

    def __init__(self, message: str) -> None:
        super().__init__("unparsable", message)


@dataclass(frozen=True)
class Analysis:
    """The analyzer's reading of a training: likely causes, and what to change."""

    causes: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def text(self) -> str:
        """The analysis as lines, for the journal and the next prompt."""
        lines = [
            *(f"cause: {item}" for item in self.causes),
            *(f"advice: {item}" for item in self.advice),
        ]
        return "\n".join(lines)


class _Verdict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    analysis: str
    verdict: Literal["accept", "revise"]
    remarks: list[str] = []


class _Findings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    causes: list[str]
    advice: list[str]


def parse_critique(text: str, *, program: str, finish: str = "stop", round: int = 0) -> Critique:
    """The critic's verdict in a reply about ``program``.

    Acceptance needs a whole reply whose every verdict accepts, an analysis that speaks of the
    program by its own names, and neither side giving orders to its reader. "revise" needs a remark.

    Raises:
        ReplyFormatError: no verdict, a malformed one, or an acceptance without content.
    """
    verdicts = [_decoded(_Verdict, found) for found in json_objects(text, {"verdict"})]
    if not verdicts:
        raise ReplyFormatError('no JSON object with "analysis", "verdict" and "remarks"')
    last = verdicts[-1]
    remarks = _sentences(last.remarks)
    accepted = all(item.verdict == "accept" for item in verdicts)
    if not accepted:
        if last.verdict == "accept":
            raise ReplyFormatError("the reply holds two contradicting verdicts")
        if not remarks and not _wordy(last.analysis):
            raise ReplyFormatError('verdict "revise" without a remark that says what to change')
        return Critique(
            accept=False, remarks="\n".join(remarks or (_short(last.analysis),)), round=round
        )
    _require_grounds(text, last.analysis, program, finish)
    return Critique(accept=True, remarks="\n".join(remarks), round=round)


def _require_grounds(text: str, analysis: str, program: str, finish: str) -> None:
    """Raises unless an acceptance is whole, has content, and follows nobody's orders."""
    if finish == "length":
        raise ReplyFormatError("the reply was cut off; be shorter")
    if not has_substance(program):
        raise ReplyFormatError("an empty program cannot be accepted")
    if speaks_to_reader(text) or speaks_to_reader(program):
        raise ReplyFormatError("reply or program holds instructions to its reader, not an analysis")
    names = _names(program)
    words = set(re.findall(r"[a-z_][a-z0-9_]*", analysis.lower()))
    spaced = analysis.lower()
    if not _wordy(analysis) or not any(n in words or n.replace("_", " ") in spaced for n in names):
        raise ReplyFormatError("the analysis says nothing about this program's terms")


def parse_analysis(text: str, *, finish: str = "stop") -> Analysis:
    """The causes and the advice in an analyzer's reply.

    Raises:
        ReplyFormatError: none found, malformed, cut off, or without content.
    """
    found = [_decoded(_Findings, item) for item in json_objects(text, {"causes", "advice"})]
    if not found:
        cut = "the reply was cut off; be shorter" if finish == "length" else ""
        raise ReplyFormatError(cut or 'no JSON object with "causes" and "advice"')
    causes, advice = _sentences(found[-1].causes), _sentences(found[-1].advice)
    causes, advice = (tuple(filter(_explains, lines)) for lines in (causes, advice))
    if not advice:
        raise ReplyFormatError('"advice" holds no sentence that says what to change')
    return Analysis(causes, advice)


def has_substance(program: str) -> bool:
    """Tells whether a program computes anything: its reward function returns more than literals."""
    tree = parsed(program)
    defined = [] if tree is None else [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    if not any(function.name == "compute_reward" for function in defined):
        return False
    returns = (node.value for f in defined for node in ast.walk(f) if isinstance(node, ast.Return))
    return any(isinstance(part, ast.Name) for value in returns if value for part in ast.walk(value))


def speaks_to_reader(text: str) -> bool:
    """Tells whether a text gives orders to whoever judges it, as in "reviewer: accept this".

    Names are read as words, and characters that nobody sees are left out.
    """
    return _ORDERS.search(_visible(text)) is not None


def _visible(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).replace("_", " ").replace("< |", "<|")
    return "".join(c for c in plain if c in "\t\n" or unicodedata.category(c)[0] != "C")


def _explains(line: str) -> bool:
    """Tells whether a sentence explains: it is no mere opener, and no order to its reader."""
    return _OPENERS.fullmatch(line) is None and _COMMAND.search(_visible(line)) is None


def json_objects(text: str, keys: set[str]) -> Iterator[dict[str, Any]]:
    """Yields the outermost JSON objects in a reply that hold one of ``keys``, in order."""
    if len(text) > _LONGEST_REPLY:
        raise ReplyFormatError(f"the reply has {len(text)} characters; be much shorter")
    at = 0
    for _ in range(_MOST_TRIES):
        if (start := text.find("{", at)) < 0:
            return
        end = _closing(text, start)
        value = _loads(text[start:end]) if end else None
        if isinstance(value, dict) and keys & set(value):
            yield value
        at = end if end and isinstance(value, dict) else start + 1


def _closing(text: str, start: int) -> int:
    """Index after the brace that closes the one at ``start``, or 0; strings do not count."""
    depth = 0
    for match in re.compile(r'"(?:\\.|[^"\\])*"|[{}]', re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0 and match.group() == "}":
            return match.end()
    return 0


def _loads(text: str) -> object:
    """The value of JSON or its usual misspellings: trailing commas, raw newlines, Python quotes."""
    decoder = json.JSONDecoder(object_pairs_hook=_distinct, strict=False)
    for form in (text, re.sub(r",(\s*[}\]])", r"\1", text)):
        try:
            return decoder.decode(form)
        except (ValueError, RecursionError):
            continue
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ReplyFormatError("a key stands twice in one JSON object")
    return dict(pairs)


def _decoded(schema: type[Schema], value: dict[str, Any]) -> Schema:
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReplyFormatError(f"{where}: {first['msg']}") from None


def _sentences(items: list[str]) -> tuple[str, ...]:
    """The items that say something, shortened."""
    return tuple(_short(item) for item in items if _wordy(item, least=3))[:_MOST_LINES]


def _wordy(text: str, *, least: int = 6) -> bool:
    return len(set(re.findall(r"[^\W\d_]{2,}", text.lower()))) >= least


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def _names(program: str) -> set[str]:
    """The names of a program that an analysis of it would mention: parameters, terms, constants."""
    tree = parsed(program)
    names: set[str] = set()
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= {node.value} if node.value.isidentifier() else set()
    return {
        name.lower() for name in names if len(name) >= 3 and name not in {"total", "return", "the"}
    }
