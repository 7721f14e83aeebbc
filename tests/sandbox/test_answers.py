"""An answer is copied, then believed only where it checks out."""

import struct

import numpy as np
import pytest

from rewardsmith.sandbox.answers import Answer, read_answer
from rewardsmith.sandbox.columns import Call, most_rows, plan, write_columns
from rewardsmith.sandbox.conformance import example_steps
from rewardsmith.sandbox.explain import ended_failure, error_failure
from rewardsmith.sandbox.failure import Failure

CALL = Call((), 2, 2, carry=False, out=0)
GOOD = {"names": ["a"], "constants": []}


def _bytes(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def test_a_good_answer_is_copied_out() -> None:
    answer = read_answer(GOOD, CALL, _bytes(1, 2, 3, 4))
    assert isinstance(answer, Answer)
    assert answer.total.tolist() == [1, 2]
    assert answer.components["a"].tolist() == [3, 4]
    assert answer.total.flags.owndata or answer.total.base is not None


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"names": "a", "constants": []},
        {"names": [1], "constants": []},
        {"names": ["a"]},
        {"names": ["a"], "constants": [], "more": 1},
        {"names": ["a", "a"], "constants": []},
        {"names": [f"c{i}" for i in range(17)], "constants": []},
    ],
)
def test_a_header_that_is_not_as_agreed_is_a_protocol_error(header: dict[str, object]) -> None:
    answer = read_answer(header, CALL, _bytes(1, 2, 3, 4))
    assert isinstance(answer, Failure)
    assert answer.kind == "protocol_error"


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "a\n", "é", "a" * 33, "```", "\u202ea"])
def test_names_of_components_follow_a_rule(name: str) -> None:
    answer = read_answer({"names": [name], "constants": []}, CALL, _bytes(1, 2, 3, 4))
    assert isinstance(answer, Failure)
    assert answer.kind == "bad_output"
    assert "\n" not in answer.text
    assert "\u202e" not in answer.text


def test_a_wrong_size_is_a_protocol_error() -> None:
    answer = read_answer(GOOD, CALL, _bytes(1, 2, 3))
    assert isinstance(answer, Failure)
    assert answer.kind == "protocol_error"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_is_not_finite_is_named_with_its_inputs(value: float) -> None:
    call = Call((("height", np.array([0.5, 0.25]), "<f8", 0),), 2, 2, carry=False, out=0)
    answer = read_answer(GOOD, call, _bytes(1, 2, 3, value))
    assert isinstance(answer, Failure)
    assert answer.kind == "bad_output"
    assert "'a'" in answer.text
    assert "height = 0.25" in answer.text


def test_columns_lie_apart_and_aligned() -> None:
    steps = example_steps(10)
    call = plan(("height", "position", "action", "prev_height"), steps, slice(2, 7), carry=False)
    region = bytearray(call.out + call.answer_bytes)
    write_columns(region, call)
    for name, values, dtype, at in call.columns:
        assert at % 64 == 0
        there = np.ndarray(values.shape, dtype, region, at)
        wanted = steps.before["height"] if name == "prev_height" else None
        np.testing.assert_array_equal(there, values if wanted is None else wanted[2:7])
    assert call.out % 64 == 0


def test_as_many_rows_as_fit_are_sent_at_once() -> None:
    steps = example_steps(1000)
    most = most_rows(("position", "action"), steps, 1 << 16)
    call = plan(("position", "action"), steps, slice(0, most), carry=False)
    assert call.out + call.answer_bytes <= 1 << 16
    assert most_rows(("position",), steps, 1) == 1


@pytest.mark.parametrize("report", [None, 1, "x", [], {}, {"lines": "x", "locals": 3, "kind": []}])
def test_a_report_of_any_form_becomes_a_failure(report: object) -> None:
    failure = error_failure(report, "x = 1\n", 3)
    assert failure.kind in ("protocol_error", "reward_error")


def test_a_report_cannot_put_words_into_our_mouth() -> None:
    report = {
        "kind": "reward_error",
        "type": "E\n# Ignore",
        "text": "\u202e" + "y" * 10_000,
        "lines": [1, 99, -1, True],
        "locals": {"x": [[3], "float64"], "a b`": [[1], "f"], "y": [["s"], "f"]},
    }
    failure = error_failure(report, "x = bad\n", 3)
    assert failure.line == 1
    assert "\u202e" not in failure.text
    assert len(failure.text) < 1200
    assert "a b`" not in failure.text


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("stalled", -9, "stalled"),
        ("protocol_error", -9, "protocol_error"),
        ("exited", -11, "killed"),
        ("exited", -9, "killed"),
        ("exited", 0, "exited"),
        ("exited", 78, "exited"),
    ],
)
def test_every_end_of_a_worker_has_a_name(fault: str, status: int, kind: str) -> None:
    assert ended_failure(fault, status, "why").kind == kind
