"""Characters that hide and names that look like others: what a reader of a program cannot see."""

import ast
import io
import tokenize
import unicodedata
from collections.abc import Iterator

from rewardsmith.sandbox.failure import Problem

# Cyrillic letters that are drawn as Latin ones; Greek ones are better spelled by their names.
_DRAWN_AS = dict(zip("аеорсухіјѕвԁһԛԝАВЕКМНОРСТХ", "aeopcyxijsvdhqwABEKMHOPCTX", strict=True))
# Letters and signs without ink that are in no category of invisible characters.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_HIDING = frozenset({"Cf", "Cc", "Zl", "Zp"})


def character_problems(lines: list[str]) -> Iterator[Problem]:
    """Yields the first character of every line that shows nothing or turns the text around."""
    for number, line in enumerate(lines, start=1):
        if line.isascii() and line.isprintable():
            continue
        for column, character in enumerate(line, start=1):
            if character != "\t" and hides(character):
                name = unicodedata.name(character, f"U+{ord(character):04X}")
                text = f"there is an invisible character ({name}) in column {column}; remove it"
                yield Problem(number, text)
                break


def hides(character: str) -> bool:
    """Whether a character shows nothing: controls, formats, bidirectional marks, blank letters."""
    return unicodedata.category(character) in _HIDING or character in _BLANK


def look_alike_problems(lines: list[str], tree: ast.Module) -> Iterator[Problem]:
    """Yields names with letters outside ASCII, also those that Python itself takes for ASCII."""
    if all(line.isascii() for line in lines):
        return
    found = dict.fromkeys(_written(lines))
    folded = {_folded(name) for _, name in found}
    # Names inside f-strings are no tokens before Python 3.12.
    found |= dict.fromkeys(item for item in _parsed(tree) if item[1] not in folded)
    for line, name in sorted(found):
        meant = ascii_name(name)
        advice = f"write `{meant}`" if meant else "use a-z, 0-9 and _"
        yield Problem(line, f"the name {name!a} has letters outside ASCII; {advice}")


def ascii_name(name: str) -> str:
    """Returns what a name looks like in ASCII ("" where that is no name)."""
    drawn = "".join(_ascii_letter(character) for character in _folded(name))
    return drawn if drawn.isascii() and drawn.isidentifier() else ""


def _ascii_letter(character: str) -> str:
    if character.isascii() or character in _DRAWN_AS:
        return _DRAWN_AS.get(character, character)
    words = unicodedata.name(character, "").split()
    if words[:1] == ["GREEK"] and "LETTER" in words[:3]:
        return words[words.index("LETTER") + 1].lower()
    decomposed = unicodedata.normalize("NFKD", character)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _folded(name: str) -> str:
    """A name as Python's parser takes it: `ｏｐｅｎ` is `open`."""  # noqa: RUF002
    return unicodedata.normalize("NFKC", name)


def _written(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Names as they are written, before Python folds them."""
    text = io.StringIO("\n".join(lines) + "\n")
    try:
        for token in tokenize.generate_tokens(text.readline):
            if token.type == tokenize.NAME and not token.string.isascii():
                yield token.start[0], token.string
    except (tokenize.TokenError, SyntaxError):
        return  # what the parser took and this does not; the tree is looked at as well


def _parsed(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for name in _identifiers(node):
            if not name.isascii():
                yield getattr(node, "lineno", 1), name


def _identifiers(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.arg | ast.keyword):
        return (node.arg,) if node.arg else ()
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return (node.name,)
    return ()
