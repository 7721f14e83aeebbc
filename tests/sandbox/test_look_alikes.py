"""Characters that hide and names that look like others are named, with what to write instead."""

import ast
import unicodedata

import pytest

from rewardsmith.sandbox.look_alikes import (
    ascii_name,
    character_problems,
    hides,
    look_alike_problems,
)


def names(source: str) -> list[tuple[int | None, str]]:
    found = look_alike_problems(source.split("\n"), ast.parse(source))
    return [(problem.line, problem.text) for problem in found]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sp\u0435ed", "speed"),  # Cyrillic
        ("\uff4f\uff50\uff45\uff4e", "open"),  # full width: Python takes it for `open`
        ("\u017fpeed", "speed"),  # a long s, which Python folds as well
        ("\u03b1", "alpha"),
        ("\u0394_height", "delta_height"),
        ("gr\u00f6\u00dfe", ""),  # no letter alike
        ("h\u00f6he", "hohe"),
        ("\u9ad8\u5ea6", ""),
    ],
)
def test_a_name_outside_ascii_is_answered_with_the_one_meant(name: str, meant: str) -> None:
    assert ascii_name(name) == meant
    [(line, text)] = names(f"x = 1\n{name} = 2")
    assert line == 2
    assert ascii(name) in text
    assert (f"write `{meant}`" if meant else "use a-z, 0-9 and _") in text


@pytest.mark.parametrize(
    "source",
    [
        "f(h\u00f6he=1)",
        "x.h\u00f6he",
        "def h\u00f6he(): pass",
        "def f(h\u00f6he): pass",
        "class H\u00f6he: pass",
        "import math as h\u00f6he",
        "f'{h\u00f6he}'",
        "try: pass\nexcept OSError as h\u00f6he: pass",
    ],
)
def test_a_name_is_found_wherever_it_stands(source: str) -> None:
    assert len(names(source)) == 1


def test_letters_of_any_script_are_welcome_in_comments_and_texts() -> None:
    source = "x = 'gr\u00f6\u00dfe \u9ad8'  # \u03b1 \u26a0\ufe0f"
    assert names(source) == []
    assert list(character_problems([source])) == []


HIDDEN = [
    *(chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),  # bidirectional
    *"\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad",  # zero width
    *"\u2028\u2029\u0000\u001b\u007f\u0085",  # separators and controls
    *"\u115f\u3164\uffa0\u2800",  # blank letters
    "\U000e0041",  # a tag: text for machines only
]


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_a_character_that_shows_nothing_is_named_with_its_place(character: str) -> None:
    [problem] = character_problems(["ok = 1", f"x = 1  # a{character}b{character}"])
    assert problem.line == 2
    assert "column 11" in problem.text
    assert unicodedata.name(character, f"U+{ord(character):04X}") in problem.text


def test_what_is_seen_hides_nothing() -> None:
    assert not any(hides(chr(code)) for code in range(0x20, 0x7F))
    assert list(character_problems(["\tx = 1  # \u00e9\u4e2d\U0001f600"])) == []
