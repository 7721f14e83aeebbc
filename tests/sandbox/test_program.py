"""What is said of a program before it runs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure, Problem
from rewardsmith.sandbox.program import Parsed, RewardProgram, marked, parse, problems, rejection
from rewardsmith.sandbox.reward import RewardBatch


def test_equal_text_is_the_same_program() -> None:
    one, other = RewardProgram("x = 1\n"), RewardProgram("x = 1\n")
    assert one == other
    assert len(one.id) == 12
    assert one.id == other.id != RewardProgram("x = 2\n").id


def test_a_program_names_its_parameters() -> None:
    parsed = parse("def compute_reward(height, *, action, memory):\n    return height, {}\n")
    assert isinstance(parsed, Parsed)
    assert parsed.parameters == ("height", "action", "memory")
    assert parsed.uses_memory


def test_the_mark_of_the_mode_is_part_of_the_text() -> None:
    source = "def compute_reward(height):\n    return height, {}"
    by_row = marked(source, "rows")
    assert RewardProgram(source).mode == "batched"
    assert RewardProgram(by_row).mode == "rows"
    assert marked(by_row, "rows") == by_row
    assert by_row.startswith(source)


GOOD = (
    '"""Hop."""\nimport numpy as np\nimport math\nfrom typing import Dict\nfrom dataclasses '
    "import dataclass\n"
    "WEIGHT = 2.0\n\ndef squash(x):\n    return np.tanh(x)\n\n"
    "def compute_reward(height, prev_position, action, terminated):\n    # größer ist besser\n"
    '    return WEIGHT * squash(height), {"height": squash(height)}\n'
)


def test_an_honest_program_has_no_problems() -> None:
    assert problems(GOOD, EXAMPLE_SPEC) == ()
    assert rejection(GOOD, EXAMPLE_SPEC) is None


HEADER = "def compute_reward(height):\n"

REFUSED = {
    "syntax": ("def compute_reward(height:\n", "not valid Python", 1),
    "size": ("#" * 70_000, "larger than 64 KiB", None),
    "no function": ("def reward(height):\n    return height, {}\n", "the program has reward", None),
    "nothing": ("x = 1\n", "There is no function compute_reward", None),
    "in a class": ("class A:\n    def compute_reward(self): pass\n", "inside a class", None),
    "async": ("async def compute_reward(height): pass\n", "async function", None),
    "twice": (HEADER + "    pass\n" + HEADER + "    pass\n", "keep one", 3),
    "stars": ("def compute_reward(*fields):\n    pass\n", "name the fields", 1),
    "import": ("import torch\n" + HEADER + "    pass\n", "`torch` cannot be imported", 1),
    "import from": ("from os.path import join\n" + HEADER + "    pass\n", "cannot be imported", 1),
    "open": (HEADER + "    open('x')\n", "`open` is not available", 2),
    "eval": (HEADER + "    eval('x')\n", "`eval` is not available", 2),
    "getattr": (HEADER + "    getattr(np, 'load')\n", "write the attribute by name", 2),
    "dunder": (HEADER + "    height.__class__\n", "internal to Python", 2),
    "builtins": (HEADER + "    __builtins__\n", "internal to Python", 2),
    "random": (HEADER + "    np.random.rand()\n", "no randomness", 2),
    "file": (HEADER + "    np.load('x')\n", "cannot read files", 2),
    "global": ("n = 0\n" + HEADER + "    global n\n    n += 1\n", "declare MEMORY", 3),
    "yield": (HEADER + "    yield height\n", "no async, no yield", 2),
    "top-level call": ("print('x')\n" + HEADER + "    pass\n", "functions and constants only", 1),
    "top-level loop": ("for i in (1,): i\n" + HEADER + "    pass\n", "loops do not belong", 1),
    "bidi": ("# \u202e\n" + HEADER + "    pass\n", "RIGHT-TO-LEFT OVERRIDE", 1),
    "zero width": (HEADER + "    x\u200b = 1\n", "", 2),
    "look-alike": (HEADER + "    sp\u0435ed = 1\n", "outside ASCII", 2),
    "long line": (HEADER + "    x = " + "1+" * 1500 + "1\n", "keep it under", 2),
    "deep": (HEADER + "    x = " + "(" * 300 + ")" * 300 + "\n", "", None),
    "null byte": (HEADER + "    x = '\0'\n", "", None),
    "typo": ("def compute_reward(hieght):\n    pass\n", "did you mean `height`", 1),
    "no such field": (
        "def compute_reward(torque):\n    pass\n",
        "`torque` is not a field of Example-v0. The fields are: height,",
        1,
    ),
    "prev typo": ("def compute_reward(prev_heigth):\n    pass\n", "`prev_height`", 1),
    "observation": ("def compute_reward(obs):\n    pass\n", "there is no observation vector", 1),
    "hidden": ("def compute_reward(distance):\n    pass\n", "not available to a reward", 1),
    "fitness": ("def compute_reward(fitness):\n    pass\n", "not available to a reward", 1),
    "memory": ("def compute_reward(height, memory):\n    pass\n", "MEMORY is not declared", 1),
    "in a block": ("if True:\n    def compute_reward(): pass\n", "or a block", None),
    "top-level with": (
        "with np.errstate(): x = 1\n" + HEADER + "    pass\n",
        "`with` does not belong",
        1,
    ),
    "internals of a library": (
        HEADER + "    np.polynomial._polybase.os\n",
        "`._polybase` begins with an underscore",
        2,
    ),
    "folded look-alike": (HEADER + "    \uff4e\uff50.sum(height)\n", "write `np`", 2),
    "line separator": ("# a\u2028b\n" + HEADER + "    pass\n", "LINE SEPARATOR", 1),
    "endless": (HEADER + "    while True:\n        height\n", "this loop has no end", 2),
    "in place": (HEADER + "    height[height < 0] = 0.0\n", "must not be changed in place", 2),
    "coroutine": (HEADER + "    async def wait(): pass\n", "no async, no yield", 2),
}
HONEST = {
    "names of its own": (
        "def compute_reward(height):\n    exit = height > 1\n    input = np.where(exit, 1.0, 0.0)\n"
        "    return input, {}\n"
    ),
    "a name to throw away": HEADER + "    __ = 1.0\n    return height * __, {}\n",
    "a note on itself": "__all__ = ['compute_reward']\n" + HEADER + "    return height, {}\n",
    "a constant of the module": (
        "SCALE = 2.0\n" + HEADER + "    global SCALE\n    return SCALE * height, {}\n"
    ),
    "a sum inside a call": (
        HEADER + "    total = 0.0\n    def add(x):\n        nonlocal total\n"
        "        total = total + x\n    add(height)\n    return total, {}\n"
    ),
    "a helper that yields": (
        "def terms(x):\n    yield x\n\n" + HEADER + "    return sum(terms(height)), {}\n"
    ),
    "an attribute of its own": (
        "class Gains:\n    _up = 2.0\n\n" + HEADER + "    return Gains._up * height, {}\n"
    ),
    "a named tuple": (
        "from typing import NamedTuple\n\nclass Gains(NamedTuple):\n    up: float = 2.0\n\n"
        + HEADER
        + "    return Gains()._replace(up=1.0).up * height, {}\n"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_where_and_what_to_do(name: str) -> None:
    source, words, line = REFUSED[name]
    failure = rejection(source, EXAMPLE_SPEC)
    assert isinstance(failure, Failure)
    assert failure.kind == "rejected"
    assert words in failure.text
    assert line is None or failure.line == line


@pytest.fixture
def oracle(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return __import__("refusal_oracle")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_true_by_other_means_and_would_be_false_of_an_honest_program(
    name: str, oracle: ModuleType
) -> None:
    source = REFUSED[name][0]
    found = problems(source, EXAMPLE_SPEC)
    assert [p for p in found if not oracle.is_true(p, source, EXAMPLE_SPEC)] == []
    of_another = Problem(min(found[0].line or 1, 4), found[0].text)
    assert not oracle.is_true(of_another, GOOD, EXAMPLE_SPEC)


def test_a_reason_that_nobody_can_check_is_not_taken_for_true(oracle: ModuleType) -> None:
    assert not oracle.is_true(Problem(1, "I do not like it"), GOOD, EXAMPLE_SPEC)
    assert oracle.kind_of(Problem(1, "I do not like it")) == "unknown"


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_program_is_refused_nothing_and_runs(name: str) -> None:
    assert problems(HONEST[name], EXAMPLE_SPEC) == ()
    with RewardClient(HONEST[name], EXAMPLE_SPEC) as client:
        assert isinstance(client.rewards(example_steps(8)), RewardBatch)


@pytest.mark.parametrize("source", ["(" * 100_000, "x = " + "-" * 50_000 + "1", "\ud800", "\x00"])
def test_hostile_text_is_refused_without_harm(source: str) -> None:
    assert isinstance(parse(source), Failure)


def test_windows_line_ends_are_no_problem() -> None:
    assert problems(GOOD.replace("\n", "\r\n"), EXAMPLE_SPEC) == ()


def test_programs_are_read_in_many_threads_at_once() -> None:
    source = f"def compute_reward(height):\n    return {'(' * 60}height{')' * 60} * 2.0, {{}}\n"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: parse(source), range(400)))
    assert all(isinstance(item, Parsed) for item in found)
