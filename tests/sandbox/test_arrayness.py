"""Which expressions hold one value per environment."""

import ast

import pytest

from rewardsmith.sandbox.arrayness import parameters, scope_of


def _function(body: str, header: str = "x, v, terminated") -> ast.FunctionDef:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    (function,) = ast.parse(f"def f({header}):\n{lines}").body
    assert isinstance(function, ast.FunctionDef)
    return function


@pytest.mark.parametrize(
    ("body", "is_array"),
    [
        ("r = x", True),
        ("r = 2 * x + 1", True),
        ("r = v[:, 0]", True),
        ("r = np.exp(-x)", True),
        ("r = [x, 1][0]", True),
        ("a = x; r = a", True),
        ("r = b; b = x", True),
        ("r = 0\nfor k in v: r = k", True),
        ("r = [k for k in v]", True),
        ("r = 1; r += x", True),
        ("(r, s) = x, 1", True),
        ("r: float = x", True),
        ("r = 1.0", False),
        ("r = len(x)", False),
        ("r = x.shape[0]", False),
        ("r = x.ndim > 1", False),
        ("r = x is None", False),
        ("r = 'a' in x", False),
        ("r = isinstance(x, int)", False),
        ("r = range(3)", False),
        ("r = lambda: x", False),
        ("r = np.pi", False),
    ],
)
def test_a_name_is_an_array_where_one_was_put_into_it(body: str, is_array: bool) -> None:
    assert ("r" in scope_of(_function(body)).arrays) is is_array


@pytest.mark.parametrize(
    ("body", "is_truth"),
    [
        ("r = x > 0", True),
        ("r = (x > 0) & (x < 1)", True),
        ("r = x > 0 and x < 1", True),
        ("r = not x", True),
        ("r = ~(x > 0)", True),
        ("r = np.logical_or(x, v)", True),
        ("r = np.isnan(x)", True),
        ("r = True", True),
        ("r = terminated", True),
        ("a = x > 0; r = a", True),
        ("r = x", False),
        ("r = x > 0; r = 1.0", False),
        ("r = ~x", False),
        ("r = (x > 0) & x", False),
        ("r = (x > 0) * 1.0", False),
        ("r = x > 0 or x", False),
        ("r = np.abs(x)", False),
    ],
)
def test_a_name_is_a_truth_value_where_nothing_else_was_put_into_it(
    body: str, is_truth: bool
) -> None:
    assert ("r" in scope_of(_function(body)).truths) is is_truth


def test_one_may_follow_some_of_the_parameters_only() -> None:
    function = _function("a = v[:, 0]\nb = x\nc = a + b")
    assert scope_of(function, {"v", "other"}).arrays == {"v", "a", "c"}


def test_a_chain_longer_than_any_program_claims_nothing() -> None:
    chain = "\n".join([f"a{i} = a{i + 1}" for i in range(200)] + ["a200 = x > 0"])
    scope = scope_of(_function(chain))
    assert "a200" in scope.arrays
    assert "a0" not in scope.arrays


def test_every_kind_of_named_parameter_counts() -> None:
    (function,) = ast.parse("def f(a, /, b, *, c): pass").body
    assert isinstance(function, ast.FunctionDef)
    assert [argument.arg for argument in parameters(function)] == ["a", "b", "c"]
