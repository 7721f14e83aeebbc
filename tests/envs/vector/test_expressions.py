"""Which sources have a form over arrays, and which run row by row."""

import ast

import pytest

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
