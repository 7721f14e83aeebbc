"""Edits of a text by place: bytes, lines, and nothing else moves."""

import ast

import pytest

from rewardsmith.sandbox.edits import Edit, apply, bracketed, edit_of, segment


def _expression(source: str) -> ast.expr:
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.Assign | ast.Expr)
    return statement.value


def test_a_span_on_one_line_is_replaced() -> None:
    assert apply("a = b + c\n", Edit((1, 4), (1, 5), "bb", "")) == "a = bb + c\n"


def test_columns_count_bytes() -> None:
    source = 's = "größe"; x = 1\n'
    node = ast.parse(source).body[1]
    assert apply(source, edit_of(node, "y = 2", "")) == 's = "größe"; y = 2\n'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("z", "x = (z\n\n)\ny = 1\n"),
        ("f(z)", "x = f(z\n\n)\ny = 1\n"),
        ("f(\nz\n)", "x = f(\nz\n)\ny = 1\n"),
        ("", "x = \n\n\ny = 1\n"),
    ],
)
def test_lost_lines_come_back_inside_brackets(text: str, wanted: str) -> None:
    source = "x = (1\n  + 2\n)\ny = 1\n"
    changed = apply(source, Edit((1, 4), (3, 1), text, ""))
    assert changed == wanted
    assert changed.count("\n") == source.count("\n")
    if text:
        assert ast.parse(changed).body[1].lineno == 4


def test_an_edit_knows_the_whole_of_its_node() -> None:
    edit = edit_of(_expression("x = f(a,\n      b)"), "g", "why")
    assert (edit.start, edit.end, edit.note) == ((1, 4), (2, 8), "why")


@pytest.mark.parametrize(
    "source",
    ["x = a + b", "x = f(a,\n   b)", 'x = "é" + ü', "x = (a\n + 'ñ'\n\f+ b)", "x = f'{a}'"],
)
def test_a_segment_is_the_text_as_written(source: str) -> None:
    node = _expression(source)
    assert segment(source, node) == ast.get_source_segment(source, node)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("x = a", "a"),
        ("x = a.b", "a.b"),
        ("x = a[0]", "a[0]"),
        ("x = f(a)", "f(a)"),
        ("x = 1.5", "1.5"),
        ("x = a + b", "(a + b)"),
        ("x = -a", "(-a)"),
        ("x = a if b else c", "(a if b else c)"),
        ("x = f(a,\n  b)", "(f(a,\n  b))"),
    ],
)
def test_brackets_stand_where_an_operator_would_bind_wrongly(source: str, wanted: str) -> None:
    assert bracketed(source, _expression(source)) == wanted
