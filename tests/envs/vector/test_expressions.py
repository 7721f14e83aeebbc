"""Which sources have a form over arrays, and which run row by row."""

import ast
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rewardsmith.envs.columns import function_of
from rewardsmith.envs.sources import BOUND
from rewardsmith.envs.vector.exact import FUNCTIONS
from rewardsmith.envs.vector.expressions import NUMBER, VECTOR, NotVectorised, vectorised

NAMES = {"qpos": VECTOR, "touch": NUMBER}


def form(source: str) -> tuple[str, int]:
    part = vectorised(ast.parse(source, mode="eval").body, NAMES, frozenset({"speed"}))
    return ast.unparse(ast.fix_missing_locations(part.code)), part.rank


@pytest.mark.parametrize(
    ("source", "code", "rank"),
    [
        ("qpos[1]", "qpos[:, 1]", NUMBER),
        ("qpos[1:3]", "qpos[:, 1:3]", VECTOR),
        ("-qpos[0] + 2", "-qpos[:, 0] + 2", NUMBER),
        ("info['speed'] * touch", "info['speed'] * touch", NUMBER),
        ("qpos * qpos[0]", "qpos * qpos[:, 0][:, None]", VECTOR),
        ("math.cos(qpos[0])", "_each(math.cos, qpos[:, 0])", NUMBER),
        ("math.cos(0.5)", "math.cos(0.5)", 0),
        ("qpos[0] ** 2", "_power(qpos[:, 0], 2)", NUMBER),
        ("qpos ** 2", "qpos ** 2", VECTOR),
        ("np.exp(qpos[0])", "_each(np.exp, qpos[:, 0])", NUMBER),
        ("np.sqrt(qpos)", "np.sqrt(qpos)", VECTOR),
    ],
)
def test_a_source_over_arrays(source: str, code: str, rank: int) -> None:
    assert form(source) == (code, rank)


@pytest.mark.parametrize(
    "source",
    [
        "qpos[0] if touch else 0.0",
        "qpos[0] and touch",
        "qpos[touch]",
        "info['other']",
        "np.exp(qpos)",
        "np.dot(qpos, qpos)",
        "qpos ** 3",
        "qpos[0] ** touch",
        "qpos[0] % 2",
        "(qpos[0] > 0) * 2",
        "qpos > 0",
        "other[0]",
        "math.nosuch(touch)",
        "[qpos[0]]",
    ],
)
def test_what_has_no_form_over_arrays_says_so(source: str) -> None:
    with pytest.raises(NotVectorised):
        form(source)


CONSTANTS = st.sampled_from(["0.5", "2", "-3.25", "math.pi", "1e-3"])
LEAVES = CONSTANTS | st.sampled_from(
    ["qpos[0]", "qpos[-1]", "qpos[2:5][1]", "info['speed']", "touch", "np.linalg.norm(qpos[1:4])"]
)


def bigger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions over one simulation's numbers, and over three of its numbers at once."""
    one = st.sampled_from(["-{}", "abs({})", "{} ** 2", "{} ** 3", "math.sin({})", "math.atan({})",
                           "np.sqrt(abs({}))", "np.tanh({})", "float({})", "np.square({})",
                           "np.linalg.norm(qpos[0:3] * {})", "(qpos[0:3] + {})[2]",
                           "np.abs(qpos[1:4] / ({}))[0]", "(qpos[0:3] ** 2 - {})[1]"])  # fmt: skip
    two = st.sampled_from(["({} + {})", "({} - {})", "({} * {})", "({} / {})", "max({}, {})",
                           "min({}, {})", "math.hypot({}, {})", "math.atan2({}, {})",
                           "np.minimum({}, {})", "float({} < {})"])  # fmt: skip
    return st.builds(lambda f, a: f.format(f"({a})"), one, parts) | st.builds(
        lambda f, a, b: f.format(f"({a})", f"({b})"), two, parts, parts
    )


def one_by_one(source: str, qpos: Any, speed: Any, touch: Any) -> list[float]:
    code = compile(source, "<source>", "eval")
    names = {**BOUND, "__builtins__": {}}
    return [
        float(eval(code, names | {"qpos": q, "info": {"speed": s}, "touch": t}))  # noqa: S307
        for q, s, t in zip(qpos, speed, touch, strict=True)
    ]


@settings(max_examples=300, deadline=None)
@given(source=st.recursive(LEAVES, bigger, max_leaves=8), seed=st.integers(0, 99))
def test_any_source_over_arrays_gives_the_bits_of_one_at_a_time(source: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Strided, as views of the simulator's state are.
    qpos = rng.normal(scale=3.0, size=(7, 11))[:, 2:8]
    speed, touch = rng.normal(size=7), rng.integers(0, 2, 7).astype(np.float64)
    with np.errstate(all="ignore"):
        try:
            wanted = one_by_one(source, qpos, speed, touch)
        except (ArithmeticError, ValueError, TypeError):
            assume(False)
        try:
            part = vectorised(ast.parse(source, mode="eval").body, NAMES, frozenset({"speed"}))
        except NotVectorised:
            assume(False)
        compute = function_of(part.code, ("qpos", "info", "touch"), FUNCTIONS)
        found = np.broadcast_to(compute(qpos, {"speed": speed}, touch), 7)
    assert found.astype(np.float64).tolist() == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)
