"""Text of any kind is read, refused or run: it never harms the side that reads it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.sandbox.check import check
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.policy import MOST_DEPTH
from rewardsmith.sandbox.program import parse, problems, rejection
from rewardsmith.sandbox.rewrite import rewrite

STEPS = example_steps(60, 2)
HEAD = "def compute_reward(height, speed):\n"
END = "    return height, {}\n"


def _deep(kind: str, depth: int) -> str:
    lines = {
        "sum": "    x = height" + "+1" * depth,
        "lines of a sum": "    x = (height\n" + "+1\n" * depth + ")",
        "attributes": "    x = height" + ".T" * depth,
        "calls": "    x = " + "abs(" * depth + "height" + ")" * depth,
        "minus": "    x = " + "-" * depth + "height",
        "not": "    x = " + "not " * depth + "height",
        "brackets": "    x = " + "(" * depth + "height" + ")" * depth,
        "lists": "    x = " + "[" * depth + "height" + "]" * depth,
        "subscripts": "    x = height" + "[0]" * depth,
        "lambdas": "    x = " + "lambda: " * depth + "height",
        "ternaries": "    x = " + "1 if height > 0 else " * depth + "2",
        "power": "    x = height" + "**height" * depth,
        "elif": "    x = 1\n    if height > 1: x = 2\n"
        + "    elif height > 1: x = 3\n" * depth
        + "    y = x",
    }
    return HEAD + lines[kind] + "\n" + END


DEEP = (
    "sum", "lines of a sum", "attributes", "calls", "minus", "not", "brackets", "lists",
    "subscripts", "lambdas", "ternaries", "power", "elif",
)  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("depth", [60, 120, 450, 3000])
def test_nesting_of_any_kind_and_depth_is_judged_in_no_time(kind: str, depth: int) -> None:
    source = _deep(kind, depth)
    began = time.process_time()
    done = rewrite(source)
    found = rejection(done.source, EXAMPLE_SPEC)
    assert time.process_time() - began < 3.0
    if depth >= 450 and kind != "brackets":  # brackets alone leave no trace in the tree
        assert isinstance(found, Failure)
        assert done.source == source


def test_nesting_that_people_write_is_no_problem() -> None:
    assert problems(_deep("sum", MOST_DEPTH - 10), EXAMPLE_SPEC) == ()
    assert "deeper than 100 levels" in problems(_deep("sum", MOST_DEPTH + 10), EXAMPLE_SPEC)[0].text


LARGE = {
    "megabytes": "#" * 5_000_000 + "\n" + HEAD + END,
    "a literal": HEAD + "    x = [" + "1," * 2_000_000 + "]\n" + END,
    "many lines": HEAD + "    x = height\n" * 100_000 + END,
    "many rewrites": HEAD + "".join(f"    a{i} = max(height, {i})\n" for i in range(900)) + END,
    "a chain backwards": HEAD
    + "".join(f"    a{i} = a{i + 1}\n" for i in range(3000))
    + "    a3000 = height\n"
    + END,
    "many conditions": HEAD
    + "    x = 0.0\n"
    + "".join(f"    if height > {i}: x = {i}\n" for i in range(50))
    + END,
    "very many conditions": HEAD
    + "    x = 0\n"
    + "".join(
        f"    if height > {i}:\n        x = {i}\n    else:\n        x += 1\n" for i in range(150)
    )
    + END,
    "many functions": "".join(f"def f{i}(x):\n    return max(x, {i})\n" for i in range(800))
    + HEAD
    + END,
    "a long name": HEAD + f"    {'a' * 60_000} = 1\n" + END,
    "many parameters": f"def compute_reward({', '.join(f'p{i}' for i in range(5000))}):\n" + END,
}


@pytest.mark.parametrize("kind", LARGE)
def test_size_costs_seconds_at_most(kind: str) -> None:
    began = time.process_time()
    found = rejection(rewrite(LARGE[kind]).source, EXAMPLE_SPEC)
    assert time.process_time() - began < 10.0
    assert found is None or len(found.text) < 20_000


def test_a_check_of_text_that_cannot_be_read_is_a_refusal() -> None:
    for source in ("", "\0", "\ud800", "x" * 10**6, _deep("sum", 900), _deep("lists", 99_000)):
        report = check(source, EXAMPLE_SPEC, STEPS)
        assert report.failure is not None
        assert report.failure.kind == "rejected"


GOOD = HEAD + '    r = max(speed, 0.0) + height\n    return r, {"r": r}\n'
SAME = {
    "windows": GOOD.replace("\n", "\r\n"),
    "old mac": GOOD.replace("\n", "\r"),
    "mixed": GOOD.replace("\n", "\r\n", 1),
    "byte order mark": "\ufeff" + GOOD,
    "byte order mark on windows": "\ufeff" + GOOD.replace("\n", "\r\n"),
    "tabs": GOOD.replace("    ", "\t"),
    "trailing spaces": GOOD.replace("\n", "   \n"),
    "no end": GOOD.rstrip("\n"),
    "blank lines": "\n\n\n" + GOOD + "\n\n\n",
    "coding line": "# -*- coding: latin-1 -*-\n" + GOOD,
    "docstring": '"""Größe → höher."""\n' + GOOD,
    "continued": GOOD.replace("max(speed, 0.0) + height", "max(speed, 0.0) + \\\n        height"),
    "semicolons": GOOD.replace("\n    return", "; return"),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_program_in_other_spelling_is_the_same_program(kind: str) -> None:
    wanted = check(GOOD, EXAMPLE_SPEC, STEPS)
    report = check(SAME[kind], EXAMPLE_SPEC, STEPS)
    assert report.failure is None, report.failure
    assert report.mode == "batched"
    assert report.stats == wanted.stats
    assert "\r" not in report.source
    assert "\ufeff" not in report.source


# name: (source, words of the refusal)
ODD = {
    "form feed": (GOOD.replace("    r =", "\f    r =", 1), "invisible character"),
    "null byte": (GOOD.replace("0.0", "0.0\0"), ""),
    "right to left": (GOOD + "# \u202e\n", "RIGHT-TO-LEFT"),
    "isolate": (GOOD + "# \u2066\n", "ISOLATE"),
    "zero width": (GOOD.replace("r = max", "r\u200b = max"), ""),
    "soft hyphen": (GOOD.replace("r = max", "s\u00adx = 1; r = max"), ""),
    "mark inside": (GOOD + "# \ufeff\n", "ZERO WIDTH"),
    "escape": (GOOD + "# \x1b[2J\n", "invisible character"),
    "cyrillic": (GOOD.replace("r = max", "\u0440 = 1; r = max"), "outside ASCII"),
    "full width": (GOOD.replace("    r = max", "    \uff4fpen(1); r = max"), "`open` is not"),
    "unreadable": (GOOD.replace("0.0", "0.0  # \u202e\x1b[2J\u2066"), "not valid Python"),
    "mixed tabs": (GOOD.replace("    return", "\treturn"), "not valid Python"),
}


@pytest.mark.parametrize("kind", ODD)
def test_characters_that_hide_something_are_refused(kind: str) -> None:
    source, words = ODD[kind]
    report = check(source, EXAMPLE_SPEC, STEPS)
    assert report.failure is not None
    assert report.failure.kind == "rejected"
    assert words in report.failure.text
    assert not set("\u202e\u2066\x1b\0\u200b") & set(report.failure.text) or kind == "zero width"


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    for source in (text, HEAD + "    " + text + "\n" + END):
        done = rewrite(source)
        found = parse(done.source)
        assert isinstance(found, Failure) or found.parameters == ("height", "speed")


WORDS = (
    "height speed x np . max min ( ) [ ] { } , : = += if else and or not < > == + - * / ** 1 0.5 "
    "lambda for in return 'a' :="
)
TOKENS = st.sampled_from(WORDS.split(" "))


@settings(max_examples=200, deadline=None)
@given(tokens=st.lists(TOKENS, max_size=25))
def test_rewriting_never_breaks_what_was_python(tokens: list[str]) -> None:
    source = HEAD + "    x = " + " ".join(tokens) + "\n" + END
    before, done = parse(source), rewrite(source)
    after = parse(done.source)
    assert isinstance(before, Failure) == isinstance(after, Failure)
    assert done.source.count("\n") == source.count("\n")
    assert rewrite(done.source).source == done.source


def test_the_statistics_of_a_check_are_plain_finite_numbers() -> None:
    report = check(GOOD, EXAMPLE_SPEC, STEPS)
    for column in report.stats.values():
        assert set(column) == {"mean", "std", "min", "max"}
        assert all(type(value) is float and np.isfinite(value) for value in column.values())
