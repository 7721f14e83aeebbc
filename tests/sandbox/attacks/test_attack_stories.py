"""Attacks that need more than one program and one call: each with its own positive control."""

import os
import platform
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_bait import Bait
from attack_control import careless
from attack_probes import PRELUDE
from attack_record import CONTROL, Record

from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import CANARY, EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.inside import seccomp
from rewardsmith.sandbox.inside.outer import ALLOWED
from rewardsmith.sandbox.laws import broken_law
from rewardsmith.sandbox.process import ProcessBackend
from rewardsmith.sandbox.reward import RewardBatch

STEPS = example_steps(9)
HONEST = 'def compute_reward(height):\n    return 2.0 * height, {"h": height}\n'


def _saying(*lines: str, result: str = "") -> str:
    """A program that raises what it found."""
    body = "\n".join(f"    {line}" for text in lines for line in text.splitlines())
    end = result or "    raise RuntimeError(repr(found))"
    return f"{PRELUDE}\ndef compute_reward(height):\n    found = []\n{body}\n{end}\n"


def _client(source: str, backend: Backend, **limits: Any) -> RewardClient:
    return RewardClient(
        source, EXAMPLE_SPEC, sandbox=backend, policy=False, limits=Limits(**limits)
    )


def _said(source: str, backend: Backend) -> str:
    with _client(source, backend, text_characters=4000) as client:
        failure = client.rewards(STEPS)
    assert isinstance(failure, Failure)
    assert failure.kind == "reward_error", failure
    return failure.text


@pytest.mark.usefixtures("namespaces")
def test_the_environment_holds_no_key(
    backend: Backend, bait: Bait, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    # C's own list as well: Python's may have been tidied up.
    program = _saying(
        "found = sorted(os.environ)",
        "list_ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), 'environ')",
        "n = 0\nwhile list_[n]:\n    found.append(list_[n].split(b'=')[0].decode())\n    n += 1",
    )
    names = set(re.findall(r"'([^']+)'", _said(program, backend).split("RuntimeError: ")[1]))
    assert "PATH" in names
    assert names <= ALLOWED
    record.settle(3, "variables of the parent", backend.name, "N")
    got = careless(
        "def compute_reward(rows):\n    import os\n    return os.environ['SOME_API_KEY']\n",
        bait.folder,
        open_house=True,
    )
    assert CANARY in got
    record.settle(3, "variables of the parent", CONTROL, "open")


_OPEN = """for n in range(3, 1100):
    for what, action in (("r", lambda: os.read(n, 0)), ("w", lambda: os.write(n, b""))):
        try: action()
        except OSError: continue
        found.append(what)"""


@pytest.mark.usefixtures("namespaces")
def test_no_descriptor_but_the_protocols_is_inherited(
    backend: Backend, bait: Bait, record: Record
) -> None:
    descriptor = os.open(bait.folder / "secret", os.O_RDWR)
    try:
        os.set_inheritable(descriptor, True)
        text = _said(_saying(_OPEN), backend)
        assert "RuntimeError: ['r', 'w']" in text, text
        got = careless(
            f"def compute_reward(rows):\n    import os\n    return os.pread({descriptor}, 99, 0)\n",
            bait.folder,
            open_house=True,
        )
    finally:
        os.close(descriptor)
    assert CANARY in got
    record.settle(6, "descriptors of the parent", backend.name, "N")
    record.settle(6, "descriptors of the parent", CONTROL, "open")


def test_a_slow_reward_is_told_how_slow_it_is(backend: Backend, record: Record) -> None:
    slow = "def compute_reward(height):\n    sum(range(4 * 10**6))\n    return height, {}\n"
    with _client(slow, backend, total_s=0.5) as client:
        answers = [client.rewards(STEPS) for _ in range(99)]
    failure = answers[-1]
    assert isinstance(failure, Failure)
    assert failure.kind == "timeout"
    assert re.search(r"\d", failure.text)
    record.settle(21, "little by little", backend.name, "R timeout")
    with _client(slow, ProcessBackend(walls=False)) as client:
        assert all(isinstance(client.rewards(STEPS), RewardBatch) for _ in range(9))
    record.settle(21, "little by little", CONTROL, "open")


def test_a_program_cannot_tell_the_check_from_the_training(
    backend: Backend, record: Record
) -> None:
    """What it can see of its surroundings is the same, to the letter."""
    program = _saying(
        "frame = sys._getframe()",
        "while frame:\n    found += [frame.f_code.co_name, sorted(frame.f_locals)]\n"
        "    frame = frame.f_back",
        "found = [hash(repr(found)), hash(repr(sorted(sys.modules))), sorted(os.environ.items())]",
        "found += [[a for a in sys.orig_argv], sorted(outside('request'))]",
        "found = [hash(repr(found)), len(repr(found)), sys.orig_argv[-2:]]",
    )
    check, training = {"call_s": 5.0, "total_s": 30.0}, {"call_s": 10.0}
    other = {"memory_bytes": 2**30}  # what would be seen, as a positive control
    seen = []
    for limits in (check, training, other):
        with _client(program, backend, **limits) as client:
            failure = client.rewards(STEPS)
        assert isinstance(failure, Failure)
        # Descriptor numbers are what was free in this process; they say nothing.
        seen.append(re.sub(r"(requests|replies|shared)\": \d+", "", failure.text))
    assert seen[0] == seen[1]
    record.settle(60, "arguments, frames, modules", backend.name, "N")
    assert seen[0] != seen[2]
    record.settle(60, "arguments, frames, modules", CONTROL, "open")


def test_a_clock_is_found_out_by_asking_twice(backend: Backend, record: Record) -> None:
    clock = (
        f"{PRELUDE}\ndef compute_reward(height):\n    return height + load('time').time(), {{}}\n"
    )
    with _client(clock, backend) as client:
        finding = broken_law(client, example_steps(60), clock)
    assert finding is not None
    assert finding.failure.kind == "contract"
    record.settle(57, "a clock through the back door", backend.name, "D contract")
    with _client(HONEST, backend) as client:
        assert broken_law(client, example_steps(60), HONEST) is None
    record.settle(57, "a clock through the back door", CONTROL, "open")


_SWEEP = """
# The kernel takes 335 and 336, of its probes, past every filter, and ends who calls them.
allowed = ALLOWED + [335, 336]
library = ctypes.CDLL(None, use_errno=True)
library.syscall.restype = ctypes.c_long
for number in range(0, 700):
    if number not in allowed:
        result = library.syscall(*[ctypes.c_long(v) for v in (number, -1, -1, -1, -1, -1, -1)])
        if result != -1 or ctypes.get_errno() != 1:
            found.append((number, result, ctypes.get_errno()))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="tests/sandbox/test_seccomp.py has both")
def test_every_other_system_call_is_refused(backend: Backend, record: Record) -> None:
    numbers = {pair[0] for pair in (*seccomp.CALLS.values(), *seccomp.MAPPING.values())}
    text = _said(_saying(_SWEEP.replace("ALLOWED", repr(sorted(numbers)))), backend)
    assert "RuntimeError: []" in text, text
    record.settle(83, "all numbers up to 700", backend.name, "B")


# Uses the worker's own code to answer in its place.
_FORGING = """frames = sys.modules["rewardsmith.sandbox.inside.frames"]
request, replies, region = outside("request"), outside("replies"), outside("region")
inline = type(region).__name__ == "bytearray"
blob = np.zeros(9).tobytes() if inline else b""
def forge(after):
    names = {"names": [], "constants": []}
    frames.write_frame(replies, {"id": request["id"] + after, **names}, blob)"""
_FORGED = {
    "this request": (84, "forge(0)"),
    "this request, twice": (84, "forge(0)\nforge(0)"),
    "the next request": (85, "forge(1)"),
    "the next and this": (85, "forge(1)\nforge(0)"),
}


@pytest.mark.parametrize("name", _FORGED)
def test_an_answer_that_nobody_waits_for_ends_the_worker(
    backend: Backend, name: str, record: Record
) -> None:
    attack, forge = _FORGED[name]
    program = _saying(_FORGING, forge, result="    return height, {}")
    with _client(program, backend, call_s=5.0) as client:
        first = client.rewards(STEPS)
        time.sleep(0.2)
        later = first if isinstance(first, Failure) else client.rewards(STEPS)
        assert isinstance(later, Failure)
        assert later.kind == "protocol_error"
        assert client.worker_facts == {}
    record.settle(attack, name, backend.name, "K protocol_error")


@pytest.mark.parametrize("name", _FORGED)
def test_a_client_that_counts_no_answers_would_believe_it(name: str, record: Record) -> None:
    """The positive control: more answers than questions do come out of the pipe."""
    attack, forge = _FORGED[name]
    worker = ProcessBackend(walls=False).start(Limits())
    source = _saying(_FORGING, forge, result="    return height, {}")
    load = {"id": 1, "do": "load", "source": source, "function": "compute_reward"}
    call = {"id": 2, "do": "call", "rows": 9, "envs": 9, "carry": False, "out": 4096}
    try:
        soon = time.monotonic() + 10
        more = {"parameters": ["height"], "memory": False, "by_row": False}
        worker.pipes.send({**load, **more}, deadline=soon)
        assert worker.pipes.receive(deadline=soon)[0] == {"id": 1}
        worker.pipes.send({**call, "columns": [["height", "<f8", [9], 0]]}, deadline=soon)
        answers = [worker.pipes.receive(deadline=soon)[0] for _ in range(2)]
    finally:
        worker.stop()
    assert all("names" in answer for answer in answers)
    record.settle(attack, name, CONTROL, "open")


def test_an_answer_that_goes_on_changing_is_copied_before_it_is_checked(
    backend: Backend, record: Record
) -> None:
    program = _saying(
        _FORGING,
        "at, rows = (0, 9) if inline else (request['out'], 2000)",
        "out = np.ndarray(rows, 'f8', region, at)",
        "blob = np.zeros(request['rows']).tobytes() if inline else b''",
        "forge(0)\nfor _ in range(2000):\n    out[:] = np.nan\n    out[:] = 1.0",
        result="    while True: pass",
    )
    steps = example_steps(2000)
    for _ in range(3):
        with _client(program, backend, call_s=1.0) as client:
            answer = client.rewards(steps)
            if isinstance(answer, RewardBatch):
                first = answer.total.copy()
                time.sleep(0.05)
                assert np.isfinite(answer.total).all()
                np.testing.assert_array_equal(answer.total, first)
            else:
                assert answer.kind == "bad_output"
    record.settle(87, "a race with the reader", backend.name, "N")


def test_a_buffer_that_is_used_again_changes_no_earlier_answer(
    backend: Backend, record: Record
) -> None:
    program = (
        "BUFFER = np.zeros(9)\ndef compute_reward(height):\n"
        "    BUFFER[:] = BUFFER + 1.0\n    return BUFFER, {'b': BUFFER}\n"
    )
    with _client(program, backend) as client:
        first = client.rewards(STEPS)
        second = client.rewards(STEPS)
    assert isinstance(first, RewardBatch)
    assert isinstance(second, RewardBatch)
    assert set(first.total) == {1.0}
    assert set(second.total) == {2.0}
    record.settle(87, "the same buffer again", backend.name, "N")
    names: dict[str, Any] = {"np": np}
    exec(program, names)  # noqa: S102 - the positive control: our own text, and harmless
    kept, _ = names["compute_reward"](np.zeros(9))
    names["compute_reward"](np.zeros(9))
    assert set(kept) == {2.0}
    record.settle(87, "the same buffer again", CONTROL, "open")


_SEARCH = """needles = NEEDLES  # written backwards, and so is all that is searched
texts = [repr(sys.orig_argv), repr(dict(os.environ)), repr(sys.path)]
for one in load("gc").get_objects():
    if type(one) is dict:
        texts += [value for value in list(one.values()) if type(value) is str]
    elif type(one) in (tuple, list):
        texts += [value for value in one if type(value) is str]
list_ = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
last, n = 0, 0
while list_[n]: last, n = max(last, list_[n]), n + 1
texts.append(ctypes.string_at(last - 8192, 8192).decode("latin-1"))  # of the stack: arguments
found = sorted({needles.index(x) for x in needles for text in texts if x in text[::-1]})"""


@pytest.mark.usefixtures("namespaces")
def test_its_own_memory_holds_nothing_of_its_surroundings(
    backend: Backend, bait: Bait, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key anywhere; where there are namespaces, no path of the checkout either."""
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    needles = [CANARY, "SOME_API" + "_KEY", str(bait.folder)]
    if backend.name != "process":
        checkout = os.path.realpath(__file__).split("/tests/")[0]
        needles.append(checkout)
        if not sys.base_prefix.startswith(str(Path.home())):  # the interpreter is shown as it lies
            needles.append(str(Path.home()))
    search = _SEARCH.replace("NEEDLES", repr([one[::-1] for one in needles]))
    assert "RuntimeError: []" in _said(_saying(search), backend)
    record.settle(96, "keys and paths", backend.name, "N")
    got = careless(
        _saying(search).replace("(height)", "(height, outside_=None)"),
        bait.folder,
        open_house=True,
    )
    assert re.search(r"RuntimeError \[0, 1", got), got
    record.settle(96, "keys and paths", CONTROL, "open")


def test_one_hostile_worker_does_not_disturb_the_honest_ones(
    backend: Backend, record: Record
) -> None:
    fill = (
        "def compute_reward(height):\n    kept = []\n    while True: kept.append(np.ones(10**6))\n"
    )
    steps = example_steps(64)
    with (
        _client(fill, backend, memory_bytes=2**29) as hostile,
        _client(HONEST, backend) as one,
        _client(HONEST, backend) as other,
    ):
        first = [client.rewards(steps) for client in (one, other)]
        thread = threading.Thread(target=hostile.rewards, args=(steps,))
        thread.start()
        second = [client.rewards(steps) for client in (one, other, one, other)]
        thread.join(60)
    totals = {answer.total.tobytes() for answer in first + second
              if isinstance(answer, RewardBatch)}  # fmt: skip
    assert len(first + second) == 6
    assert all(isinstance(answer, RewardBatch) for answer in first + second)
    assert len(totals) == 1
    record.settle(79, "one of three", backend.name, "N")


def test_a_worker_that_disappears_is_a_failure_and_the_next_is_confined(
    backend: Backend, record: Record
) -> None:
    loop = "def compute_reward(height):\n    while height[0] < 5: pass\n    return height, {}\n"
    steps = example_steps(9)
    with _client(loop, backend, call_s=20.0) as client:

        def end() -> None:
            worker: Any = client._worker
            if backend.name == "docker":
                worker.engine.remove(worker.container)
            else:
                os.kill(worker.process.pid, signal.SIGKILL)

        timer = threading.Timer(2.0, end)
        timer.start()
        failure = client.rewards(steps)
        timer.join()
        assert isinstance(failure, Failure)
        assert failure.kind == "killed", failure
        steps.after["height"][:] = 9.0
        assert isinstance(client.rewards(steps), RewardBatch)
        assert client.worker_facts["seccomp"] is True
        assert client.ledger.starts == 2
    record.settle(80, "killed in a call", backend.name, "K killed")


def test_a_reward_may_be_absurd_and_is_a_reward_all_the_same(
    backend: Backend, record: Record
) -> None:
    absurd = "def compute_reward(height):\n    return height * 0 + 1e99, {}\n"
    with _client(absurd, backend) as client:
        answer = client.rewards(STEPS)
    assert isinstance(answer, RewardBatch)
    assert set(vars(answer)) == {"total", "components"}, "there is nothing here to judge with"
    record.settle(82, "a quirk", backend.name, "N")


def test_every_backend_computes_the_same_bits(backend: Backend) -> None:
    program = (
        "def compute_reward(speed, position, action):\n"
        "    run = np.exp(-speed**2) + position @ np.ones(3)\n"
        '    return np.tanh(run) - np.sum(action**2, axis=-1), {"run": run}\n'
    )
    steps, totals = example_steps(500), set()
    for one in (backend, ProcessBackend()):
        with RewardClient(program, EXAMPLE_SPEC, sandbox=one) as client:
            answer = client.rewards(steps)
        assert isinstance(answer, RewardBatch)
        totals.add(answer.total.tobytes())
    assert len(totals) == 1
