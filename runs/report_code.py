"""Programs on the page: line by line, highlighted, compared. Nothing is executed."""

import difflib
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from rewardsmith.runs.report_words import MINUS, visible

# Tolerant on purpose: a program that does not parse is shown too, so no tokenizer that raises.
_TOKEN = re.compile(
    r"(?P<comment>\#[^\n]*)"
    r"|(?P<string>\"\"\"[\s\S]*?(?:\"\"\"|\Z)|'''[\s\S]*?(?:'''|\Z)"
    r"|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?)"
    r"|(?P<number>\b\d[\w.]*)"
    r"|(?P<word>[^\W\d]\w*)"
)
_KEPT = {"comment": "c", "string": "s", "number": "n"}


@dataclass(frozen=True)
class DiffLine:
    """One line of a unified difference; ``kind`` is "add", "del", "hunk" or "same"."""

    kind: str
    mark: str
    html: Markup


def highlighted(source: str) -> Markup:
    """Returns the escaped, visible source with spans of the classes c, s, n, k and f."""
    clean = visible(source)
    return Markup("").join(_spans(clean))


def _spans(source: str) -> Iterator[Markup]:
    end = 0
    for match in _TOKEN.finditer(source):
        yield escape(source[end : match.start()])
        yield _span(match, source)
        end = match.end()
    yield escape(source[end:])


def _span(match: re.Match[str], source: str) -> Markup:
    words = match.group()
    kind = _KEPT.get(match.lastgroup or "", "") or _word_kind(match, source)
    if not kind:
        return escape(words)
    # A span never crosses a line, so that lines can be numbered apart.
    opened = Markup('<span class="{}">').format(kind)
    return Markup("\n").join(
        opened + escape(line) + Markup("</span>") for line in words.split("\n")
    )


def _word_kind(match: re.Match[str], source: str) -> str:
    if keyword.iskeyword(match.group()):
        return "k"
    return "f" if source[: match.start()].endswith("def ") else ""


def code_lines(source: str) -> tuple[Markup, ...]:
    """Returns the highlighted source line by line."""
    return tuple(Markup(line) for line in str(highlighted(source.rstrip("\n"))).split("\n"))


def difference(old: str, new: str, *, context: int = 3) -> tuple[DiffLine, ...]:
    """Returns the unified difference of two programs, empty where they are equal."""
    lines = difflib.unified_diff(
        visible(old).splitlines(), visible(new).splitlines(), lineterm="", n=context
    )
    return tuple(_diff_line(line) for line in list(lines)[2:])


def _diff_line(line: str) -> DiffLine:
    kind = {"+": "add", "-": "del", "@": "hunk"}.get(line[:1], "same")
    if kind == "hunk":
        return DiffLine(kind, "", escape(line))
    return DiffLine(kind, line[:1].replace("-", MINUS), highlighted(line[1:]))


def changed_lines(diff: tuple[DiffLine, ...]) -> tuple[int, int]:
    """Returns how many lines were added and how many removed."""
    kinds = [line.kind for line in diff]
    return kinds.count("add"), kinds.count("del")
