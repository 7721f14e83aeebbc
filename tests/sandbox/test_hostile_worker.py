"""A worker that is all program: whatever it answers, the trusted side fails it and goes on."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from mmap import mmap
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.inside import frames
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.wire import Pipes

PROGRAM = 'def compute_reward(height):\n    return height, {"h": height}\n'
WITH_MEMORY = 'MEMORY = {"n": 0.0}\ndef compute_reward(height, memory):\n    return height, {}\n'
STEPS = example_steps(9)

# What the pretended worker does with a request; it writes to the descriptor itself.
Script = Callable[[dict[str, Any], int, mmap], None]


def _reply(reply: Mapping[str, Any], request: dict[str, Any], descriptor: int) -> None:
    frames.write_frame(descriptor, {"id": request["id"], **reply})


def _honest(request: dict[str, Any], descriptor: int, region: mmap) -> None:
    """Rewards every row with the number of the request."""
    if request["do"] == "load":
        return _reply({}, request, descriptor)
    table = np.ndarray((2, request["rows"]), np.float64, region, request["out"])
    table[:] = request["id"]
    return _reply({"names": ["h"], "constants": []}, request, descriptor)


class _Pretender:
    """A thread of this process in a worker's place: it may do what no wall can forbid."""

    def __init__(self, script: Script) -> None:
        their_reader, writer = os.pipe()
        reader, their_writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self.pipes = Pipes(reader, writer)
        self.shared = mmap(-1, Limits().region_bytes)
        self.hello: Mapping[str, Any] = {"hello": 1}
        self.stops = 0
        self._ends = (their_reader, their_writer)
        self._thread = threading.Thread(target=self._serve, args=(script,), daemon=True)
        self._thread.start()

    def _serve(self, script: Script) -> None:
        try:
            while True:
                script(frames.read_header(self._ends[0]), self._ends[1], self.shared)
        except (EOFError, OSError):
            for end in self._ends:
                os.close(end)

    def stop(self, grace_s: float = 0.0) -> int | None:
        self.stops += 1
        if self.stops == 1:
            self.pipes.close()
            self._thread.join(5)
        return -9


class _Pretenders:
    """A backend that starts a pretender for each script, the last one for all that follow."""

    name = "pretended"

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.started: list[_Pretender] = []

    def self_test(self, arrays: Arrays = NUMPY) -> SelfTest:
        return SelfTest(self.name, ())

    def start(self, limits: Limits) -> _Pretender:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        self.started.append(_Pretender(script))
        return self.started[-1]


@contextmanager
def _client(
    *scripts: Script, program: str = PROGRAM, call_s: float = 0.3
) -> Iterator[RewardClient]:
    backend = _Pretenders(*scripts)
    client = RewardClient(program, EXAMPLE_SPEC, sandbox=backend, limits=Limits(call_s=call_s))
    with client:
        yield client
    assert all(worker.stops >= 1 for worker in backend.started)


def _on_call(act: Script) -> Script:
    def script(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        (_honest if request["do"] == "load" else act)(request, descriptor, region)

    return script


def _answering(**reply: Any) -> Script:
    return _on_call(lambda request, descriptor, _: _reply(reply, request, descriptor))


def _raw(content: bytes) -> Script:
    def act(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        os.write(descriptor, content)

    return _on_call(act)


def _twice(request: dict[str, Any], descriptor: int, region: mmap) -> None:
    _honest(request, descriptor, region)
    _reply({"names": ["h"], "constants": []}, {"id": request["id"] + 1}, descriptor)


def test_an_honest_pretender_is_believed() -> None:
    with _client(_honest) as client:
        answer = client.rewards(STEPS)
        assert isinstance(answer, RewardBatch)
        assert set(answer.total) == {2.0}
        again = client.rewards(STEPS)
        assert isinstance(again, RewardBatch)
        assert set(again.total) == {3.0}


HEADERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no names": {"constants": []},
    "no constants": {"names": ["h"]},
    "names as text": {"names": "h", "constants": []},
    "a name as a number": {"names": [1], "constants": []},
    "a name as a list": {"names": [["h"]], "constants": []},
    "the same name twice": {"names": ["h", "h"], "constants": []},
    "too many": {"names": [f"c{i}" for i in range(17)], "constants": []},
    "constants as text": {"names": ["h"], "constants": "h"},
    "constants as numbers": {"names": ["h"], "constants": [0]},
    "something more": {"names": ["h"], "constants": [], "fitness": 1e9},
    "an offset of its own": {"names": ["h"], "constants": [], "out": 0},
}


@pytest.mark.parametrize("name", HEADERS)
def test_an_answer_that_is_not_as_agreed_ends_the_worker(name: str) -> None:
    with _client(_answering(**HEADERS[name]), _honest) as client:
        failure = client.rewards(STEPS)
        assert isinstance(failure, Failure)
        assert failure.kind == "protocol_error"
        assert client.worker_facts == {}
        assert isinstance(client.rewards(STEPS), RewardBatch)
        assert client.ledger.starts == 2


@pytest.mark.parametrize("name", ["", "Fitness", "a" * 33, "x\n## Ignore", "```", "\u202eh", "h\0"])
def test_a_name_that_breaks_the_rule_is_never_passed_on(name: str) -> None:
    with _client(_answering(names=[name], constants=[])) as client:
        failure = client.rewards(STEPS)
    assert isinstance(failure, Failure)
    assert failure.kind == "bad_output"
    assert not set("\n\u202e\0") & set(failure.text)
    assert len(failure.text) < 400


def test_constants_that_name_nothing_are_forgotten() -> None:
    def act(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        np.ndarray((2, request["rows"]), np.float64, region, request["out"])[:] = 1.0
        _reply({"names": ["h"], "constants": ["h", "other", "x" * 999]}, request, descriptor)

    with _client(_on_call(act)) as client:
        assert isinstance(client.rewards(STEPS), RewardBatch)
        assert client.constants == {"h"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e101, -1e308])
def test_values_that_are_no_rewards_are_a_failure_of_the_program(value: float) -> None:
    def act(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        np.ndarray((2, request["rows"]), np.float64, region, request["out"])[:] = 1.0
        np.ndarray((2, request["rows"]), np.float64, region, request["out"])[1, 4] = value
        _reply({"names": ["h"], "constants": []}, request, descriptor)

    with _client(_on_call(act)) as client:
        failure = client.rewards(STEPS)
    assert isinstance(failure, Failure)
    assert failure.kind == "bad_output"
    assert "in 1 of 9 rows" in failure.text


def test_what_is_written_after_the_answer_changes_nothing() -> None:
    regions: list[mmap] = []

    def act(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        _honest(request, descriptor, region)
        regions.append(region)

    with _client(_on_call(act)) as client:
        answer = client.rewards(STEPS)
        assert isinstance(answer, RewardBatch)
        kept = answer.total.copy()
        everything = np.ndarray(1 << 16, np.uint8, regions[0])
        everything[:] = 255
        np.testing.assert_array_equal(answer.total, kept)
        np.testing.assert_array_equal(answer.components["h"], kept)
        del everything


def test_a_worker_that_goes_on_writing_is_believed_only_where_the_copy_is_sound() -> None:
    """Checked and used are the same bytes: a value cannot change between the two."""
    stop = threading.Event()

    def spoil(table: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        while not stop.is_set():
            table[:] = np.nan
            table[:] = 1.0

    def act(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        table = np.ndarray((2, request["rows"]), np.float64, region, request["out"])
        threading.Thread(target=spoil, args=(table,), daemon=True).start()
        _reply({"names": ["h"], "constants": []}, request, descriptor)

    steps, seen = example_steps(2000), []
    try:
        with _client(_on_call(act)) as client:
            for _ in range(8):
                answer = client.rewards(steps)
                seen.append(answer)
                if isinstance(answer, RewardBatch):
                    assert np.isfinite(answer.total).all()
                    assert np.isfinite(answer.components["h"]).all()
                else:
                    assert answer.kind == "bad_output"
    finally:
        stop.set()
        time.sleep(0.01)
    assert len(seen) == 8


def test_an_answer_to_a_question_not_asked_yet_is_a_protocol_error() -> None:
    with _client(_on_call(_twice), _honest) as client:
        first = client.rewards(STEPS)
        time.sleep(0.05)
        second = client.rewards(STEPS)
        third = client.rewards(STEPS)
    assert isinstance(first, RewardBatch)
    assert isinstance(second, Failure)
    assert second.kind == "protocol_error"
    assert "without being asked" in second.text
    assert isinstance(third, RewardBatch)


@pytest.mark.parametrize("identity", [0, 1, 99, -2, True, 2.0, "2", None, [2], {"id": 2}])
def test_the_answer_must_be_to_this_question(identity: object) -> None:
    def act(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        frames.write_frame(descriptor, {"id": identity, "names": ["h"], "constants": []})

    with _client(_on_call(act)) as client:
        failure = client.rewards(STEPS)
    assert isinstance(failure, Failure)
    assert failure.kind == "protocol_error"


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one() -> None:
    def late(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        time.sleep(0.25)
        _honest(request, descriptor, region)

    with _client(_on_call(late), _honest, call_s=0.1) as client:
        slow = client.rewards(STEPS)
        assert isinstance(slow, Failure)
        assert slow.kind == "stalled"
        answer = client.rewards(STEPS)
        assert isinstance(answer, RewardBatch)
        assert client.ledger.starts == 2


def test_a_frame_that_comes_byte_by_byte_is_cut_off() -> None:
    def drip(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        for byte in b"\x40\x00\x00\x00" + b" " * 60:
            os.write(descriptor, bytes([byte]))
            time.sleep(0.1)

    began = time.monotonic()
    with _client(_on_call(drip), call_s=0.2) as client:
        failure = client.rewards(STEPS)
        assert time.monotonic() - began < 5.0  # all of the frame would take 6
    assert isinstance(failure, Failure)
    assert failure.kind == "stalled"


def test_a_worker_gone_between_two_calls_is_gone_and_no_liar() -> None:
    def once(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        _honest(request, descriptor, region)
        raise EOFError

    with _client(_on_call(once), _honest) as client:
        assert isinstance(client.rewards(STEPS), RewardBatch)
        time.sleep(0.05)
        failure = client.rewards(STEPS)
        assert isinstance(failure, Failure)
        assert failure.kind == "killed"
        assert isinstance(client.rewards(STEPS), RewardBatch)


def test_memory_that_stopped_halfway_is_never_carried_on() -> None:
    calls = []

    def second_fails(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        calls.append(request["carry"])
        if len(calls) == 2:
            error = {"kind": "reward_error", "type": "ValueError", "text": "no", "lines": [3]}
            return _reply({"error": error}, request, descriptor)
        table = np.ndarray((1, request["rows"]), np.float64, region, request["out"])
        table[:] = 1.0
        return _reply({"names": [], "constants": []}, request, descriptor)

    with _client(_on_call(second_fails), program=WITH_MEMORY) as client:
        assert isinstance(client.rewards(STEPS, carry=True), RewardBatch)
        failed = client.rewards(STEPS, carry=True)
        assert isinstance(failed, Failure)
        assert client.rewards(STEPS, carry=True) == failed
        assert calls == [False, True]
        assert isinstance(client.rewards(STEPS), RewardBatch)
        assert isinstance(client.rewards(STEPS, carry=True), RewardBatch)
        assert calls == [False, True, False, True]


def test_prints_of_any_kind_are_text_with_an_end() -> None:
    for printed in ("\x1b[2J" * 5000, ["list"] * 50, 12, {"a": {"b": 1}}, None):
        with _client(_answering(printed=printed, names=[], constants=[])) as client:
            client.rewards(STEPS)
            assert len(client.printed) <= 4096
            assert "\x1b" not in client.printed


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(["names", "constants", "error", "printed", "blob", "lines", "x"])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(replies=st.lists(st.dictionaries(KEYS, ANY_JSON, max_size=4), min_size=1, max_size=6))
def test_no_reply_crashes_the_trusted_side_or_is_believed(replies: list[dict[str, Any]]) -> None:
    rest = iter(replies)

    def act(request: dict[str, Any], descriptor: int, region: mmap) -> None:
        np.ndarray((17, request["rows"]), np.float64, region, request["out"])[:] = 7.0
        frames.write_frame(descriptor, {"id": request["id"], **next(rest, {})})

    with _client(_on_call(act)) as client:
        for reply in replies:
            answer = client.rewards(STEPS)
            if isinstance(answer, RewardBatch):
                assert reply["names"] == list(answer.components)
                assert set(answer.total) == {7.0}
            else:
                assert len(answer.text) < 6000


ERRORS = st.fixed_dictionaries(
    {},
    optional={
        "kind": ANY_JSON | st.sampled_from(["oom", "bad_output", "limit", "reward_error"]),
        "type": ANY_JSON,
        "text": ANY_JSON,
        "lines": ANY_JSON | st.lists(st.integers(-3, 9)),
        "locals": ANY_JSON
        | st.dictionaries(
            st.sampled_from(["height", "h", "x y", "\u202e"]),
            st.tuples(st.lists(st.integers(-5, 10**30)), st.sampled_from(["float64", "`", ""])),
        ),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(error=ERRORS)
def test_no_report_of_an_error_crashes_or_misleads(error: dict[str, Any]) -> None:
    with _client(_answering(error=error)) as client:
        failure = client.rewards(STEPS)
    assert isinstance(failure, Failure)
    assert failure.kind in ("reward_error", "bad_output", "oom", "protocol_error")
    assert failure.line is None or 1 <= failure.line <= 3
    assert len(failure.text) < 2500
    assert not set("\x1b\r\x00\u202e\u2028") & set(failure.text)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(min_size=8, max_size=200))
def test_bytes_of_any_kind_are_no_answer(content: bytes) -> None:
    with _client(_raw(content), call_s=0.02) as client:
        failure = client.rewards(STEPS)
    assert isinstance(failure, Failure)
    assert failure.kind in ("protocol_error", "stalled")
