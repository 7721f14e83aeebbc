"""A program as JAX sees it: which names it has, how its answer is taken apart and put together."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="rewards with JAX need it: pip install rewardsmith[fast]")

from rewardsmith.sandbox.inside import jax_arrays, namespace
from rewardsmith.sandbox.inside.evaluate import BadAnswer
from rewardsmith.sandbox.inside.jax_arrays import JAX, Compiled, array_namespace, shortened
from rewardsmith.sandbox.inside.library import NUMPY

ROWS = np.arange(8.0, dtype=np.float32)  # the tests' own process has JAX's usual precision


def test_np_has_the_names_of_numpy_that_jax_has_and_no_other() -> None:
    array = array_namespace()
    assert set(vars(array)) <= set(namespace.public_names())
    for name in ("where", "clip", "linalg", "float64", "pi", "newaxis", "errstate", "isscalar"):
        assert hasattr(array, name)
    for name in ("random", "load", "save", "memmap", "lib"):
        with pytest.raises(AttributeError, match="not available"):
            getattr(array, name)
    with pytest.raises(AttributeError, match="evaluated with JAX"):
        _ = array.nditer


def test_an_answer_keeps_its_form_and_gets_arrays_of_numpy() -> None:
    def program(x: Any) -> object:
        return x + 1, {"double": x * 2, "number": 3.0, "word": "w"}

    total, parts = Compiled(program)(x=ROWS)
    assert type(total) is np.ndarray
    np.testing.assert_array_equal(total, ROWS + 1)
    np.testing.assert_array_equal(parts["double"], ROWS * 2)
    assert parts["number"] == 3.0
    assert parts["word"] == "w"


def test_memory_is_changed_in_place() -> None:
    def program(x: Any, memory: dict[str, Any]) -> object:
        memory["sum"] = memory["sum"] + x
        memory["new"] = 1.0
        return memory["sum"], {}

    memory = {"sum": ROWS}
    total, _ = Compiled(program)(x=ROWS, memory=memory)
    np.testing.assert_array_equal(total, 2 * ROWS)
    np.testing.assert_array_equal(memory["sum"], 2 * ROWS)
    assert memory["new"] == 1.0


def test_machine_code_is_kept_by_shape_and_the_oldest_goes() -> None:
    traced = []

    def program(x: Any) -> object:
        traced.append(x.shape)
        return x.sum(), {}

    compiled = Compiled(program)
    for _ in range(3):
        compiled(x=ROWS)
    assert len(traced) == 2, "twice for the comparison, and not again"
    for size in range(1, jax_arrays._MOST_PROGRAMS + 1):
        compiled(x=np.zeros(100 + size, dtype=np.float32))
    assert len(compiled._kept) == jax_arrays._MOST_PROGRAMS
    before = len(traced)
    compiled(x=ROWS)
    assert len(traced) == before + 2


def test_a_function_that_differs_when_traced_again_is_refused() -> None:
    calls: list[int] = []

    def program(x: Any) -> object:
        calls.append(1)
        return x * len(calls), {}

    with pytest.raises(BadAnswer, match="no module-level state"):
        Compiled(program)(x=ROWS)


def test_errors_lose_what_helps_nobody_outside() -> None:
    text = "Attempted boolean conversion.\nThe error occurred while tracing f at /x.py:1 for jit."
    assert shortened(text) == "Attempted boolean conversion."
    assert shortened("Use .at[]: https://docs.jax.dev/en") == "Use .at[]"
    assert shortened("plain") == "plain"


def test_arrays_of_each_library_are_described_and_nothing_else() -> None:
    import jax.numpy as jnp

    assert JAX.described(jnp.zeros((2, 3))) == [[2, 3], "float32"]
    assert JAX.described(ROWS) is None
    assert NUMPY.described(np.zeros(4)) == [[4], "float64"]
    assert NUMPY.described(1.0) is None
    assert (NUMPY.by_row, JAX.by_row) == (True, False)
    assert NUMPY.prepared(len) is len
