"""A worker's answers to requests, asked in this process: nothing hostile runs here."""

import json
from typing import Any

import numpy as np
import pytest

from rewardsmith.sandbox.inside.worker import _Worker, versions
from rewardsmith.sandbox.wire import HEADER_BYTES, decode

REGION = 1 << 12


def _loaded(source: str, **more: Any) -> tuple[_Worker, dict[str, Any]]:
    worker = _Worker(bytearray(REGION))
    request = {
        "id": 1, "do": "load", "source": source, "function": "compute_reward",
        "parameters": ["x"], "memory": False, "by_row": False, **more,
    }  # fmt: skip
    reply, _ = worker.answer(request)
    return worker, reply


def _call(worker: _Worker, rows: int = 9, **more: Any) -> tuple[dict[str, Any], bytes]:
    request = {
        "id": 2, "do": "call", "rows": rows, "envs": rows, "carry": False, "out": 1024,
        "columns": [["x", "<f8", [rows], 0]], **more,
    }  # fmt: skip
    reply, blob = worker.answer(request)
    return reply, bytes(blob)


def _error(source: str) -> dict[str, Any]:
    worker, reply = _loaded(source)
    if "error" not in reply:
        reply, _ = _call(worker)
    error = reply["error"]
    assert isinstance(error, dict)
    return error


def _body(line: str) -> str:
    return f"def compute_reward(x):\n    {line}\n"


def test_a_program_is_loaded_and_rewards() -> None:
    worker, reply = _loaded(_body('return x + 1.0, {"x": x}'))
    assert reply == {"id": 1}
    reply, blob = _call(worker)
    assert reply == {"id": 2, "names": ["x"], "constants": []}
    assert np.frombuffer(blob).reshape(2, 9).tolist() == [[1.0] * 9, [0.0] * 9]


def test_a_call_before_a_program_is_an_error() -> None:
    reply, _ = _call(_Worker(bytearray(REGION)))
    assert reply["error"]["kind"] == "bad_output"
    assert "no program was loaded" in reply["error"]["text"]


def test_inputs_are_read_only() -> None:
    error = _error(_body("x[0] = 1.0; return x, {}"))
    assert "read-only" in error["text"]


def test_lines_run_from_the_outer_to_the_inner_function() -> None:
    error = _error(
        "def inner(y):\n    z = y * 2\n    return z / None\n\n" + _body("return inner(x), {}")
    )
    assert error["lines"] == [6, 3]
    assert error["type"] == "TypeError"
    assert error["locals"] == {"y": [[9], "float64"], "z": [[9], "float64"]}


def test_an_error_while_loading_has_its_line() -> None:
    assert _error("a = 1\nb = a / 0\n")["lines"] == [2]
    assert _error("def f(:\n")["lines"] == [1]


def test_a_module_without_the_function_is_explained() -> None:
    assert "there is no function compute_reward" in _error("x = 1\n")["text"]
    assert "there is no function" in _error("compute_reward = 3\n")["text"]


def test_memory_that_fails_is_out_of_memory() -> None:
    assert _error(_body("raise MemoryError"))["kind"] == "oom"


@pytest.mark.parametrize(
    "line", ["raise SystemExit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"]
)
def test_whatever_is_raised_becomes_a_reply(line: str) -> None:
    assert _error(_body(line))["kind"] == "reward_error"


# Programs of which the reply might break the frame if it held all that they say.
LOUD = {
    "long text": _body("raise ValueError('x' * 10**6)"),
    "emoji": _body("print('\U0001f680' * 10**5); raise ValueError('\U0001f680' * 10**5)"),
    "surrogates": _body("print('\\ud800'); raise ValueError('\\udfff')"),
    "long names": _body("; ".join(f"{'a' * 1500}{i} = 1" for i in range(60)) + "; x / None"),
    "deep recursion": "def f(x):\n    return f(x)\n" + _body("return f(x), {}"),
    "long type": f"class {'E' * 5000}(Exception): pass\n" + _body(f"raise {'E' * 5000}()"),
    "hostile text": "class E(Exception):\n    def __str__(self):\n        raise ValueError\n"
    + _body("raise E()"),
    "chain": _body("e = ValueError('a'); e.__cause__ = e; raise e"),
    "component": _body("return x, {'a' * 10**6: x}"),
    "surrogate component": _body("return x, {'\\ud800': x}"),
}


@pytest.mark.parametrize("name", LOUD)
def test_every_reply_fits_a_frame_that_the_trusted_side_accepts(name: str) -> None:
    worker, reply = _loaded(LOUD[name])
    if "error" not in reply:
        reply, _ = _call(worker)
    text = json.dumps(reply).encode()
    assert len(text) < HEADER_BYTES
    assert "error" in decode(text)


def test_prints_come_with_the_next_reply_and_once() -> None:
    worker, reply = _loaded("print('loading')\n" + _body("print('hi'); return x, {}"))
    assert reply["printed"] == "loading\n"
    assert _call(worker)[0]["printed"] == "hi\n"
    assert _call(worker)[0]["printed"] == "hi\n"


def test_the_versions_are_those_of_this_interpreter() -> None:
    assert versions()["numpy"] == np.__version__
