"""Where the code is in a model's answer: fenced blocks, stray fences, and the text between them."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"(?P<before>.*?)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>.*)$")
_TAG = re.compile(r"[\w+.#-]*(?:[ \t]+(?:\{.*\}|title=.*|copy))?[ \t]*$")
_CODE_AFTER_TAG = re.compile(r"(?:python3?|py|\w*)[ \t]+(?=(?:def|import|from|class|async)\b)")
_HTML_TAG = re.compile(r"</?(?:pre|code|br)\b[^>]*>", re.IGNORECASE)
_LOOKALIKES = str.maketrans(
    {
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2033": '"',
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u2032": "'",
        "\u2212": "-", "\u2013": "-", "\u2014": "-",
        "\u00d7": "*", "\u22c5": "*", "\u00f7": "/", "\uff08": "(", "\uff09": ")", "\uff0c": ",",
    }
)  # fmt: skip
_LOOSE_NOT = re.compile(
    r"(?<=[*/+%=<>-])([ \t]+)(not[ \t]+[\w.]+(?:\([^()\n]*\)|\[[^][\n]*\])?)(?=[ \t]*[,)\n#])"
)
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\x00"))
_SPACES = dict.fromkeys(map(ord, "\u00a0\u2000\u2002\u2003\u2007\u2009\u202f\u3000"), " ")


@dataclass(frozen=True)
class Block:
    """A stretch of an answer. ``closed`` is False where the answer ended inside a fence."""

    text: str
    fenced: bool
    closed: bool = True


def blocks(answer: str) -> tuple[Block, ...]:
    """Splits an answer at its fences, in order; a fence that is never closed runs to the end.

    A fence may carry any language tag or none, stand inside a sentence or a list, and hold code
    on its own line. Nothing is lost: the text outside fences comes as blocks as well.
    """
    text = re.sub(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]", "\n", answer)
    text = text.translate(_INVISIBLE).translate(_SPACES)
    found: list[Block] = []
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        fence = _step(line, fence, lines, found)
    found.append(Block("\n".join(lines), bool(fence), closed=not fence))
    return tuple(block for block in found if block.text.strip())


def _step(line: str, fence: str, lines: list[str], found: list[Block]) -> str:
    """Takes one line into account; returns the fence that is open after it, or an empty string."""
    match = _FENCE.match(line)
    if match is None or (fence and match["fence"][0] != fence[0]):
        lines.append(line)
        return fence
    before, info = match["before"], match["info"]
    if before.strip(" \t>"):
        lines.append(before)
    found.append(Block("\n".join(lines), bool(fence)))
    lines.clear()
    if fence and not info.strip():
        return ""
    return _open(match["fence"], info, lines)


def _open(fence: str, info: str, lines: list[str]) -> str:
    """Starts a block after an opening fence, whose line may itself hold code or a closing fence."""
    if info.rstrip().endswith(fence):
        inner = info.rstrip()[: -len(fence)]
        lines.extend([_CODE_AFTER_TAG.sub("", inner, count=1)] if not _TAG.match(inner) else [])
        return ""
    if not _TAG.match(info):
        lines.append(_CODE_AFTER_TAG.sub("", info, count=1))
    return fence


def readings(text: str) -> Iterator[str]:
    """Yields a block as written, then with its disguises undone, each reading once.

    Disguises are interpreter prompts, quotation marks of e-mail, HTML entities and tags,
    typographic quotes and operators, and tabs mixed with spaces; last, ``5 * not x`` is read as the
    only thing that it can mean, ``5 * (not x)``. No reading drops a line of code.
    """
    seen: set[str] = set()
    plain = _HTML_TAG.sub("\n", html.unescape(text)).translate(_LOOKALIKES)
    for reading in (text, html.unescape(text), text.translate(_LOOKALIKES), plain):
        for form in (reading, _unprompted(reading), reading.expandtabs(4), reading.expandtabs(8)):
            if form not in seen:
                seen.add(form)
                yield form
    if (form := _LOOSE_NOT.sub(r"\1(\2)", plain)) not in seen:
        yield form


def _unprompted(text: str) -> str:
    """The text without the prompts of an interactive session, or the ``>`` of a quotation."""
    lines = text.split("\n")
    if any(line.lstrip().startswith(">>>") for line in lines):
        session = [line for line in lines if re.match(r"[ \t]*(>>>|\.\.\.)", line)]
        kept = session if any(line.lstrip().startswith("...") for line in lines) else lines
        return "\n".join(re.sub(r"^[ \t]*(?:>>>|\.\.\.) ?", "", line) for line in kept)
    if all(line.startswith(">") for line in lines if line.strip()):
        return "\n".join(re.sub(r"^> ?", "", line) for line in lines)
    return text
