"""The reward program in a model's answer: tolerant of everything around it, strict about itself."""

import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rewardsmith.prompts.blocks import Block, blocks, readings
from rewardsmith.prompts.signature import distinct
from rewardsmith.prompts.structure import (
    Definition,
    Statement,
    attempts,
    bare_body,
    definition,
    parsed,
    syntax_error,
)
from rewardsmith.sandbox.program import MARK, ROWS_MARK
from rewardsmith.sandbox.subgoals import SUBGOALS

ExtractionCause = Literal["empty", "too_long", "no_code", "other_function", "syntax", "truncated"]
LONGEST_ANSWER = 60_000  # far above any reward; beyond it a model repeats itself
_BUILTINS = frozenset(dir(builtins)) | {"np", "numpy", "math"}
# Read by the worker, or asked beside the function: not used by the function itself.
_DECLARATIONS = frozenset({"MEMORY", SUBGOALS})


@dataclass(frozen=True)
class Extraction:
    """The program in an answer, or why there is none; exactly one of ``source`` and ``cause``.

    ``source`` compiles and defines the function. ``detail`` is phrased for the model, ``attempt``
    is the code that did not parse and ``line`` its line, for the repair turn. ``repairs`` says what
    was put to rights without a choice: never more than a missing ``def`` line, parentheses, or a
    parameter that stood there before.
    """

    source: str | None
    cause: ExtractionCause | None
    detail: str = ""
    attempt: str | None = None
    line: int | None = None
    repairs: tuple[str, ...] = ()


def extract_program(text: str, *, function: str = "compute_reward") -> Extraction:
    """The last complete definition of ``function`` in an answer, with what it needs.

    Fenced blocks come before text outside fences. Helper functions, constants and imports are kept
    from the same block or earlier ones where the function uses them, and so are subgoals and the
    line that chooses a shaping; calls, prints and other functions are left out. The function itself
    is never altered but for its indentation and what ``repairs`` tells: an answer whose function
    does not parse is a miss, however little is wrong.
    """
    if not text.strip():
        return Extraction(None, "empty", "the answer is empty")
    if len(text) > LONGEST_ANSWER:
        return Extraction(None, "too_long", f"the answer has {len(text)} characters")
    parts = blocks(text)
    found = _chosen(parts, function)
    if found is None:
        return _bare(parts, function) or _miss(parts, text, function)
    at, chosen, repairs = found
    if not chosen.complete and chosen.ends_block and not parts[at].closed:
        detail = f"the answer ends inside {function}, before it returns anything; be shorter"
        return Extraction(None, "truncated", detail, chosen.text)
    source = _with_mark(_assembled(chosen, parts[:at], function), parts[at].text)
    if parsed(source) is None:
        return _miss(parts, text, function)
    bracketed = "(not " in source and "(not " not in text
    repairs = (*("put parentheses round `not`",) * bracketed, *repairs)
    return Extraction(source, None, repairs=repairs)


def _bare(parts: tuple[Block, ...], function: str) -> Extraction | None:
    """The function made from an answer that holds its body alone."""
    for part in reversed(parts):
        found = bare_body(part.text, function)
        if found is not None:
            return Extraction(found.text, None, repairs=("gave the bare body a `def` line",))
    return None


def _chosen(
    parts: tuple[Block, ...], function: str
) -> tuple[int, Definition, tuple[str, ...]] | None:
    """The block to take and the definition in it: complete before sketched, fenced before not."""
    found = [
        (chosen.complete, part.fenced, at, chosen, repairs)
        for at, part in enumerate(parts)
        for chosen, repairs in _read(part.text, function)
    ]
    if not found:
        return None
    *_, at, chosen, repairs = max(found, key=lambda item: item[:3])
    return at, chosen, repairs


def _read(text: str, function: str) -> list[tuple[Definition, tuple[str, ...]]]:
    """The definition in the first reading of a block that holds a complete one, with repairs."""
    if function not in text:
        return []
    sketch: Definition | None = None
    for reading in readings(text):
        found = definition(reading, function)
        if found is not None and found.complete:
            return [(found, ())]
        sketch = sketch or found
    for reading in readings(text):
        once, names = distinct(reading, function)
        found = definition(once, function) if names else None
        if found is not None and found.complete:
            return [(found, tuple(f"dropped the repeated parameter `{n}`" for n in names))]
    return [(sketch, ())] if sketch else []


def _assembled(chosen: Definition, earlier: tuple[Block, ...], function: str) -> str:
    """The function with the statements that it needs, in the order in which they were written."""
    keep = _needed(chosen.around, chosen.uses | _DECLARATIONS)
    before = [s for at, s in enumerate(chosen.around) if s in keep and at < chosen.position]
    after = [s for at, s in enumerate(chosen.around) if s in keep and at >= chosen.position]
    bound = {name for s in keep for name in s.binds}
    used = (chosen.uses | {name for s in keep for name in s.uses}) - {function}
    wanted = {n for n in used - bound if n not in _BUILTINS or n in {"math", "numpy", "np"}}
    before = [*_from_earlier(earlier, frozenset(wanted)), *before]
    texts = [s.text.rstrip() for s in before]
    return "\n\n".join([*texts, chosen.text.rstrip(), *(s.text.rstrip() for s in after)]) + "\n"


def _with_mark(source: str, text: str) -> str:
    """The program with the line by which it chooses its shaping, wherever that stood."""
    lines = (line.strip() for line in text.split("\n"))
    marks = dict.fromkeys(line for line in lines if line.startswith(MARK) and line != ROWS_MARK)
    missing = [mark for mark in marks if mark not in source.split("\n")]
    return source + "".join(f"{mark}\n" for mark in missing)


def _needed(statements: tuple[Statement, ...], names: frozenset[str]) -> list[Statement]:
    """The statements that bind or change one of ``names``, and those that these in turn need."""
    names = frozenset(names)
    while True:
        kept = [s for s in statements if (s.binds | s.changes) & names]
        grown = names.union(*(s.uses for s in kept)) if kept else names
        if grown == names:
            return kept
        names = grown


def _from_earlier(earlier: tuple[Block, ...], wanted: frozenset[str]) -> list[Statement]:
    """What earlier blocks define of ``wanted``, the latest block first."""
    for at in range(len(earlier) - 1, -1, -1):
        if not wanted or not earlier[at].fenced:
            continue
        statements = tuple(_statements(earlier[at].text))
        kept = _needed(statements, wanted)
        bound = {name for s in kept for name in s.binds}
        if bound & wanted:
            used = {name for s in kept for name in s.uses}
            rest = frozenset((wanted | used) - bound - _BUILTINS)
            return [*_from_earlier(earlier[:at], rest), *kept]
    return []


def _statements(text: str) -> Iterator[Statement]:
    """Yields the module-level statements of a block that need not hold the wanted function."""
    probe = "_wanted_"
    for reading in readings(text):
        found = definition(f"{reading}\n\n\ndef {probe}():\n    return 0\n", probe)
        if found is not None and found.around:
            yield from found.around
            return


def _miss(parts: tuple[Block, ...], text: str, function: str) -> Extraction:
    """Why no program was found, with the attempt where there is one."""
    if not any(c.isalnum() for c in text):
        return Extraction(None, "empty", "the answer is empty")
    tries = [
        (part, attempt)
        for part in sorted(parts, key=lambda part: part.fenced)
        for attempt in attempts(part.text, function)
    ]
    if tries:
        part, attempt = tries[-1]
        line, message = syntax_error(attempt)
        if not part.closed and (line is None or line >= len(attempt.rstrip().split("\n"))):
            detail = f"the answer ends inside {function}; be shorter"
            return Extraction(None, "truncated", detail, attempt, line)
        return Extraction(None, "syntax", f"SyntaxError: {message}", attempt, line)
    if any("def " in part.text for part in parts if part.fenced):
        detail = f"the answer defines no function named {function}"
        return Extraction(None, "other_function", detail, text)
    return Extraction(None, "no_code", f"the answer holds no `def {function}(...)`", text)
