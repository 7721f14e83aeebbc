"""Rewritten programs mean on arrays what they meant for one environment, whatever they say."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rewardsmith.sandbox.rewrite import rewrite

NUMBERS = st.sampled_from(["0.0", "1.0", "-0.5", "2", "x", "y", "r", "s"])


@st.composite
def _values(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0:
        return draw(NUMBERS)
    inner = _values(depth - 1)
    kind = draw(st.sampled_from(["number", "sum", "max", "ternary", "math", "float", "abs"]))
    if kind == "number":
        return draw(NUMBERS)
    if kind == "sum":
        sign = draw(st.sampled_from(["+", "-", "*"]))
        return f"({draw(inner)} {sign} {draw(inner)})"
    if kind == "max":
        name = draw(st.sampled_from(["max", "min"]))
        return f"{name}({draw(inner)}, {draw(inner)})"
    if kind == "ternary":
        return f"({draw(inner)} if {draw(_tests(depth - 1))} else {draw(inner)})"
    if kind == "math":
        return f"math.{draw(st.sampled_from(['tanh', 'sin', 'atan']))}({draw(inner)})"
    if kind == "float":
        return f"float({draw(_tests(depth - 1))})"
    return f"abs({draw(inner)})"


@st.composite
def _tests(draw: st.DrawFn, depth: int = 1) -> str:
    value = _values(max(depth - 1, 0))
    kind = draw(st.sampled_from(["compare", "chain", "and", "or", "not"]) if depth else st.just(""))
    if kind == "chain":
        return f"{draw(value)} < {draw(value)} <= {draw(value)}"
    if kind in ("and", "or"):
        return f"({draw(_tests(depth - 1))} {kind} {draw(_tests(depth - 1))})"
    if kind == "not":
        return f"(not {draw(_tests(depth - 1))})"
    sign = draw(st.sampled_from(["<", ">", "<=", ">=", "!="]))
    return f"{draw(value)} {sign} {draw(value)}"


@st.composite
def _statements(draw: st.DrawFn, depth: int = 1) -> list[str]:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        target = draw(st.sampled_from(["r", "s"]))
        sign = draw(st.sampled_from(["=", "+=", "-="]))
        if depth == 0 or draw(st.booleans()):
            lines.append(f"{target} {sign} {draw(_values())}")
            continue
        lines.append(f"if {draw(_tests())}:")
        lines += [f"    {line}" for line in draw(_statements(depth - 1))]
        if draw(st.booleans()):
            lines.append(f"elif {draw(_tests())}:")
            lines += [f"    {line}" for line in draw(_statements(depth - 1))]
        if draw(st.booleans()):
            lines.append("else:")
            lines += [f"    {line}" for line in draw(_statements(depth - 1))]
    return lines


def _function(source: str) -> Any:
    names: dict[str, Any] = {"np": np, "math": math}
    exec(source, names)  # noqa: S102 - programs made above
    return names["compute_reward"]


@settings(max_examples=60, deadline=None)
@given(statements=_statements(), seed=st.integers(0, 99))
def test_every_environment_gets_what_it_would_have_got_alone(
    statements: list[str], seed: int
) -> None:
    body = "".join(f"    {line}\n" for line in ["r = 0.0 * x", "s = y + 0.0", *statements])
    source = f"def compute_reward(x, y):\n{body}    return r + 3.0 * s\n"
    assume(len(source) < 1200)
    done = rewrite(source)
    assert done.source.count("\n") == source.count("\n")
    assert rewrite(done.source).source == done.source
    alone, together = _function(source), _function(done.source)
    rows = np.random.default_rng(seed).normal(size=(2, 12)).round(1)
    wanted = [float(alone(float(x), float(y))) for x, y in rows.T]
    assume(all(abs(value) < 1e12 for value in wanted))
    try:
        found = np.broadcast_to(np.asarray(together(*rows), dtype=float), (12,))
    except ValueError:  # left as written where the first test is of no array: it is run by row
        assert any(line.lstrip().startswith("elif") for line in done.source.split("\n"))
        return
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


# Idioms in pairs on one line, so that one edit must not spoil the next.
CROWDED = (
    "r = max(x, 0.0) + max(y, 0.0); s = float(x > 0)",
    "r = max(min(x, 1.0), max(y, -1.0))",
    "r = (1.0 if x > 0 else 2.0) * (3.0 if y > 0 else 4.0)",
    "r = (x if 0 < x < 1 else y) if not y > 0 and x < 1 else -max(x, y)",
    "r = math.sin(max(x, y)) + math.cos(x if y > 0 else 0.0)",
    "r = x; r += max(y, 0.0) if x > 0 else min(y, 0.0)",
)


@pytest.mark.parametrize("line", CROWDED)
def test_many_idioms_on_one_line_are_all_mended(line: str) -> None:
    source = f"def compute_reward(x, y):\n    {line}\n    return r\n"
    done = rewrite(source)
    rows = np.random.default_rng(1).normal(size=(2, 40))
    wanted = [_function(source)(float(x), float(y)) for x, y in rows.T]
    np.testing.assert_allclose(_function(done.source)(*rows), wanted, rtol=1e-12)
    assert all(note.startswith("line 2: ") for note in done.notes)
