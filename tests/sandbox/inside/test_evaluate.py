"""How a program is called: all rows, row by row, and along time with memory."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.sandbox.inside.evaluate import (
    LEAST_ROWS,
    Answer,
    BadAnswer,
    Program,
    evaluate,
    initial_memory,
    symbolic,
)

NO_STARTS = np.zeros(0, dtype=np.bool_)
Floats = npt.NDArray[np.float64]


def _program(
    function: Callable[..., Any],
    parameters: str = "x",
    *,
    by_row: bool = False,
    memory: dict[str, Any] | None = None,
) -> Program:
    initial = None if memory is None else initial_memory(memory)
    return Program(function, tuple(parameters.split()), by_row, initial)


def _called(function: Callable[..., Any], x: Iterable[float], *, by_row: bool = False) -> Answer:
    column = np.array(list(x))
    return evaluate(
        _program(function, by_row=by_row), {"x": column}, len(column), len(column), NO_STARTS, False
    )


def test_few_rows_are_padded_for_the_program_and_cut_for_the_answer() -> None:
    seen: list[int] = []

    def reward(x: Floats) -> Any:
        seen.append(len(x))
        assert (x[3:] == x[2]).all()
        return x * 2, {"x": x}

    answer = _called(reward, [1.0, 2.0, 3.0])
    assert seen == [LEAST_ROWS]
    assert answer.total.tolist() == [2.0, 4.0, 6.0]
    assert answer.components["x"].tolist() == [1.0, 2.0, 3.0]


def test_enough_rows_are_passed_as_they_are() -> None:
    column = np.arange(8.0)
    seen: list[Any] = []

    def reward(x: Floats) -> Any:
        seen.append(x)
        return x, {}

    program = _program(reward)
    evaluate(program, {"x": column}, 8, 8, NO_STARTS, False)
    assert seen[0] is column


def test_by_row_a_scalar_field_is_a_number_and_a_vector_its_own_copy() -> None:
    vector = np.arange(6.0).reshape(2, 3)
    seen: list[Any] = []

    def reward(x: Any, v: Any) -> Any:
        seen.append((np.ndim(x), v.shape))
        v[0] = 99.0
        return x + v[1], {"first": v[0]}

    columns: dict[str, npt.NDArray[Any]] = {"x": np.array([1.0, 2.0]), "v": vector}
    answer = evaluate(_program(reward, "x v", by_row=True), columns, 2, 2, NO_STARTS, False)
    assert seen == [(0, (3,)), (0, (3,))]
    assert answer.total.tolist() == [2.0, 6.0]
    assert vector[:, 0].tolist() == [0.0, 3.0]


@settings(max_examples=60, deadline=None)
@given(
    x=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    weight=st.floats(-10, 10),
    limit=st.floats(-10, 10),
)
def test_by_row_and_batched_agree(x: list[float], weight: float, limit: float) -> None:
    def reward(x: Any) -> Any:
        clipped = np.clip(x, -abs(limit), abs(limit))
        gain = np.where(x > limit, weight * x, np.tanh(clipped))
        return gain - 0.1 * clipped**2, {"gain": gain, "one": 1.0}

    many, each = _called(reward, x), _called(reward, x, by_row=True)
    np.testing.assert_allclose(many.total, each.total, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        many.components["gain"], each.components["gain"], rtol=1e-12, atol=1e-12
    )
    assert list(many.components) == list(each.components)
    assert "one" in many.constants


BAD = {
    "none": (lambda x: None, "a NoneType"),
    "array alone": (lambda x: x, r"an array of shape \(N,\)"),
    "list": (lambda x: [x, {}], "a list"),
    "three": (lambda x: (x, {}, 1), "a tuple of 3"),
    "no dict": (lambda x: (x, [x]), "must be a dict"),
    "dict subclass": (lambda x: (x, type("D", (dict,), {})()), "must be a dict"),
    "number as name": (lambda x: (x, {1: x}), "it must be a string"),
    "name too long": (lambda x: (x, {"a" * 33: x}), "at most 32"),
    "name with a surrogate": (lambda x: (x, {"\ud800": x}), "not allowed"),
    "too many": (lambda x: (x, {f"c{i}": x for i in range(17)}), "at most 16"),
    "text": (lambda x: ("high", {}), "the total reward is a str"),
    "complex": (lambda x: (x + 1j, {}), "real numbers"),
    "object": (lambda x: (x.astype(object), {}), "real numbers"),
    "dates": (lambda x: (x.astype("M8[s]"), {}), "real numbers"),
    "matrix": (lambda x: (x.view(np.matrix), {}), "a matrix"),
    "masked": (lambda x: (np.ma.array(x), {}), "a MaskedArray"),
    "column": (lambda x: (x[:, None], {}), r"\[:, 0\]"),
    "several columns": (lambda x: (np.stack([x, x], 1), {}), "its 2 columns"),
    "lost axis": (lambda x: (x[:5], {}), "first axis was lost"),
    "turned": (lambda x: (np.stack([x, x, x]), {}), "one value per environment"),
    "component": (lambda x: (x, {"part": None}), "component 'part'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer_is_explained(name: str) -> None:
    function, words = BAD[name]
    with pytest.raises(BadAnswer, match=words):
        _called(function, np.arange(9.0))


@pytest.mark.parametrize("number", [1, True, 0.5, np.float64(2), np.float32(2), np.int8(3)])
def test_a_number_stands_for_every_row_and_is_said_to(number: Any) -> None:
    answer = _called(lambda x: (x, {"n": number}), np.arange(9.0))
    assert answer.components["n"].tolist() == [float(number)] * 9
    assert answer.constants == ("n",)


def test_components_may_not_change_with_the_row() -> None:
    def reward(x: Any) -> Any:
        return x, ({"a": x} if x > 0 else {"b": x})

    with pytest.raises(BadAnswer, match="differ from call to call"):
        _called(reward, [1.0, -1.0], by_row=True)


def test_a_component_is_constant_only_where_it_always_was() -> None:
    values = iter([1.0, np.array(2.0), 3.0])
    answer = _called(lambda x: (np.array([x]), {"n": next(values)}), [1.0, 2.0, 3.0], by_row=True)
    assert answer.constants == ("n",)
    assert answer.components["n"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("declared", [None, {}, [], 3, "best"])
def test_memory_that_is_no_dict_is_explained(declared: object) -> None:
    with pytest.raises(BadAnswer, match="declare the values at the start"):
        initial_memory(declared)


@pytest.mark.parametrize("value", ["high", {"a": 1}, [1, [2, 3]], object(), [object()]])
def test_memory_holds_numbers(value: object) -> None:
    with pytest.raises(BadAnswer, match=r"MEMORY\['best'\] is not a number"):
        initial_memory({"best": value})


def _running_best(x: Any, memory: dict[str, Any]) -> Any:
    memory["best"] = np.maximum(memory["best"], x)
    memory["steps"] = memory["steps"] + 1.0
    return memory["best"], {"steps": memory["steps"]}


START = {"best": -1e9, "steps": 0.0}


def _plainly(
    x: Floats, starts: npt.NDArray[np.bool_], envs: int
) -> tuple[list[float], list[float]]:
    """The same program in plain Python, an environment at a time."""
    best, steps = [-1e9] * envs, [0.0] * envs
    totals, counts = [], []
    for row, value in enumerate(x):
        env = row % envs
        if starts[row]:
            best[env], steps[env] = -1e9, 0.0
        best[env], steps[env] = max(best[env], float(value)), steps[env] + 1.0
        totals.append(best[env])
        counts.append(steps[env])
    return totals, counts


@st.composite
def _sequences(draw: st.DrawFn) -> tuple[Floats, npt.NDArray[np.bool_], int, int]:
    envs, length = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rows = envs * length
    x = draw(st.lists(st.floats(-100, 100), min_size=rows, max_size=rows))
    starts = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    return np.array(x), np.array(starts), envs, draw(st.integers(0, length)) * envs


@settings(max_examples=80, deadline=None)
@given(sequence=_sequences(), by_row=st.booleans())
def test_memory_is_that_of_each_environment_and_episode(
    sequence: tuple[Floats, npt.NDArray[np.bool_], int, int], by_row: bool
) -> None:
    x, starts, envs, _ = sequence
    program = _program(_running_best, "x memory", by_row=by_row, memory=START)
    answer = evaluate(program, {"x": x}, len(x), envs, starts, False)
    totals, counts = _plainly(x, starts, envs)
    assert answer.total.tolist() == totals
    assert answer.components["steps"].tolist() == counts


@settings(max_examples=60, deadline=None)
@given(sequence=_sequences(), by_row=st.booleans())
def test_memory_carried_over_a_cut_is_memory_without_one(
    sequence: tuple[Floats, npt.NDArray[np.bool_], int, int], by_row: bool
) -> None:
    """And the part before the cut does not know what comes after it."""
    x, starts, envs, cut = sequence
    whole = evaluate(
        _program(_running_best, "x memory", by_row=by_row, memory=START),
        {"x": x}, len(x), envs, starts, False,
    )  # fmt: skip
    program = _program(_running_best, "x memory", by_row=by_row, memory=START)
    totals: list[float] = []
    for part in (slice(0, cut), slice(cut, len(x))):
        rows = len(x[part])
        if rows:
            answer = evaluate(program, {"x": x[part]}, rows, envs, starts[part], bool(totals))
            totals += answer.total.tolist()
    assert totals == whole.total.tolist()


def test_without_carry_memory_begins_afresh() -> None:
    program = _program(_running_best, "x memory", memory=START)
    column = np.full(9, 5.0)
    none = np.zeros(9, dtype=np.bool_)
    evaluate(program, {"x": column}, 9, 9, none, False)
    again = evaluate(program, {"x": column - 9}, 9, 9, none, False)
    assert again.total.tolist() == [-4.0] * 9
    other = evaluate(program, {"x": column[:4] - 20}, 4, 4, none[:4], True)
    assert other.total.tolist() == [-15.0] * 4  # another number of environments: no past


MISUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "undeclared": (lambda x, memory: (memory.update(new=x), (x, {}))[1], "is not declared"),
    "deleted": (lambda x, memory: (memory.pop("best"), (x, {}))[1], "was deleted"),
    "grown": (
        lambda x, memory: (memory.update(best=np.ones((len(x), 2))), (x, {}))[1],
        "its shape must stay",
    ),
    "text": (lambda x, memory: (memory.update(best="high"), (x, {}))[1], "was set to a str"),
}


@pytest.mark.parametrize("name", MISUSED)
def test_memory_that_is_misused_is_explained(name: str) -> None:
    function, words = MISUSED[name]
    program = _program(function, "x memory", memory={"best": 0.0})
    with pytest.raises(BadAnswer, match=words):
        evaluate(program, {"x": np.arange(9.0)}, 9, 9, np.ones(9, dtype=np.bool_), False)


def test_a_buffer_used_again_does_not_change_an_answer_given() -> None:
    buffer = np.zeros(9)

    def reward(x: Floats, memory: dict[str, Any]) -> Any:
        buffer[:] = x
        return buffer, {"x": buffer}

    program = _program(reward, "x memory", memory={"n": 0.0})
    column = np.arange(18.0)
    answer = evaluate(program, {"x": column}, 18, 9, np.zeros(18, dtype=np.bool_), False)
    assert answer.total.tolist() == column.tolist()
    assert answer.components["x"].tolist() == column.tolist()


@pytest.mark.parametrize(
    ("shape", "words"), [((9,), "(N,)"), ((9, 3), "(N, 3)"), ((3, 9), "(3, 9)"), ((), "()")]
)
def test_shapes_are_written_with_n_for_the_rows(shape: tuple[int, ...], words: str) -> None:
    assert symbolic(shape, 9) == words
