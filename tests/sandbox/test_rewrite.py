"""Rewrites keep the meaning, the line numbers, and say what they did."""

import numpy as np
import pytest

from rewardsmith.sandbox.rewrite import rewrite


def _rewritten(body: str) -> str:
    source = f"def compute_reward(x, y, v):\n    {body}\n    return r, {{}}\n"
    return rewrite(source).source.split("\n")[1].strip()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("r = max(x, 0.0)", "r = np.maximum(x, 0.0)"),
        ("r = min(x, y, 1)", "r = np.minimum(np.minimum(x, y), 1)"),
        ("r = max([x, y])", "r = np.maximum(x, y)"),
        ("r = x if y > 0 else -1.0", "r = np.where(y > 0, x, -1.0)"),
        (
            "r = 1.0 if x > 0 and y > 0 else 0.0",
            "r = np.where(np.logical_and(x > 0, y > 0), 1.0, 0.0)",
        ),
        ("r = not x > 0", "r = np.logical_not(x > 0)"),
        ("r = x > 0 or y > 0", "r = np.logical_or(x > 0, y > 0)"),
        ("r = 0 < x < 1", "r = np.logical_and(0 < x, x < 1)"),
        ("r = math.exp(-x) * math.pi", "r = np.exp(-x) * np.pi"),
        ("r = float(x)", "r = x"),
        ("r = float(x > 0)", "r = np.where(x > 0, 1.0, 0.0)"),
        ("r = int(x > 0)", "r = np.where(x > 0, 1.0, 0.0)"),
        ("r = x.item()", "r = x"),
        ("r: float = x", "r = x"),
        ("x += 1", "x = x + 1"),
        ("x *= y - 1", "x = x * (y - 1)"),
    ],
)
def test_single_value_idioms_take_their_array_form(before: str, after: str) -> None:
    assert _rewritten(before) == after


@pytest.mark.parametrize(
    "line",
    [
        "r = max(v.shape)",
        "r = x * max(1, 2)",
        "r = x if len(v.shape) > 1 else y",
        "r = abs(x)",
        "r = x if v is None else y",
        "r = sum([x, y])",
        "r = np.where(x > 0, x, 0)",
        "r = x or y",
        "r = 'a' if x > 0 else 'b'",
        "r = math.floor(2.5)",
    ],
)
def test_what_is_no_array_idiom_stays(line: str) -> None:
    assert _rewritten(line) == line


def test_a_shadowed_name_is_not_the_builtin() -> None:
    source = "def max(a, b):\n    return a\ndef compute_reward(x):\n    return max(x, 1), {}\n"
    assert rewrite(source).source == source


IF_PROGRAM = """
def compute_reward(x, y):
    r = 0.0 * x
    if x > 0:
        r += x
        # upright
        if y > 0: r += 10; s = 1.0
        s = 2.0
    elif y > 1:
        s = 3.0
        r -= y
    else:
        s = -x
        r = x * (y +
                 1)
    if y < 0:
        r = r / y
    return r + 100 * s, {}
"""


def test_if_statements_mean_the_same_for_every_environment() -> None:
    rows = np.random.default_rng(0).normal(size=(2, 200)) * 2
    as_written: dict[str, object] = {"np": np}
    exec(IF_PROGRAM.replace("; s = 1.0", ""), as_written)  # noqa: S102
    on_arrays: dict[str, object] = {"np": np}
    exec(rewrite(IF_PROGRAM.replace("; s = 1.0", "")).source, on_arrays)  # noqa: S102
    one, many = as_written["compute_reward"], on_arrays["compute_reward"]
    assert callable(one)
    assert callable(many)
    wanted = [one(x, y)[0] for x, y in rows.T]
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(many(*rows)[0], wanted)


def test_every_line_keeps_its_number() -> None:
    source = (
        "import numpy as np\nimport math\n\ndef compute_reward(\n    x: float,\n    y: float,\n):\n"
        "    r = max(\n        x,\n        y,\n    )\n    if x > 0 and \\\n            y > 0:\n"
        "        r += (1 +\n              2)\n    return marker, {}\n"
    )
    changed = rewrite(source).source
    assert changed.count("\n") == source.count("\n")
    assert changed.split("\n")[15] == "    return marker, {}"
    compile(changed, "reward", "exec")


def test_an_if_that_assigns_on_one_side_only_is_left_alone() -> None:
    source = "def compute_reward(x):\n    if x > 0:\n        r = x\n    return r, {}\n"
    assert rewrite(source).source == source


def test_an_if_that_returns_is_left_alone() -> None:
    source = "def compute_reward(x):\n    if x > 0:\n        return x, {}\n    return -x, {}\n"
    assert rewrite(source).source == source


def test_a_component_set_under_a_condition_is_guarded() -> None:
    source = (
        'def compute_reward(x):\n    parts = {"a": 0.0 * x}\n    if x > 0:\n        parts["a"] '
        "= x\n"
        '    return parts["a"], parts\n'
    )
    names: dict[str, object] = {"np": np}
    exec(rewrite(source).source, names)  # noqa: S102
    function = names["compute_reward"]
    assert callable(function)
    np.testing.assert_array_equal(function(np.array([-1.0, 2.0]))[0], [0.0, 2.0])


def test_headers_lose_self_and_annotations() -> None:
    header = "def compute_reward(self, x: 'torch.Tensor', y: float = 0) -> Tuple[float, Dict]:\n"
    source = header + "    return x, {}\n"
    assert rewrite(source).source.startswith("def compute_reward(x, y = 0):")


def test_self_stays_where_it_is_used() -> None:
    source = "def compute_reward(self, x):\n    return self.k * x, {}\n"
    assert rewrite(source).source == source


def test_needless_imports_go_and_needed_ones_stay() -> None:
    source = (
        "import numpy as np\nimport numpy as xp\nfrom typing import Dict\nfrom math import sqrt\n"
    )
    program = source + "def compute_reward(x):\n    return xp.abs(x) + sqrt(2), {}\n"
    assert rewrite(program).source.split("\n")[:4] == [
        "",
        "import numpy as xp",
        "",
        "from math import sqrt",
    ]


def test_windows_line_ends_become_plain() -> None:
    source = "def compute_reward(x):\r\n    return max(x, 0), {}\r\n"
    assert rewrite(source).source == "def compute_reward(x):\n    return np.maximum(x, 0), {}\n"


def test_each_change_is_reported_with_its_line() -> None:
    notes = rewrite("import math\ndef compute_reward(x):\n    return max(x, 0), {}\n").notes
    assert notes == (
        "line 1: `import math` was dropped: it is not needed",
        "line 3: `max(a, b)` became np.maximum(a, b)",
    )


def test_rewriting_twice_changes_nothing_more() -> None:
    once = rewrite(IF_PROGRAM).source
    assert rewrite(once).source == once


@pytest.mark.parametrize(
    "source", ["", "def (", "x = 1", "\x00", "def compute_reward(x):\n  pass\n é"]
)
def test_unreadable_text_comes_back_as_it_is(source: str) -> None:
    assert rewrite(source).source == source
    assert rewrite(source).notes == ()


def test_letters_outside_ascii_do_not_shift_the_edit() -> None:
    source = 'def compute_reward(x):\n    s = "größe"; r = max(x, 0)  # ñ\n    return r, {}\n'
    assert 's = "größe"; r = np.maximum(x, 0)  # ñ' in rewrite(source).source
