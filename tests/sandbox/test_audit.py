"""Audits of impure programs in real workers, and of what a window can and cannot tell."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.step import Steps
from rewardsmith.sandbox.audit import Auditor, Told, Window, comparable
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.child import ChildWorker
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.process import ProcessBackend
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.wire import Pipes

CALLS, ROWS = 12, 320
PICKED = (2, 7, 11, 5)  # places of the calls that are asked again
_NO_RULES = 'load = np.linalg.__dict__["__builtins__"]["__import__"]\n'
_REWARD = "def compute_reward(height, speed):\n"
_END = '    return total, {"part": total, "speed": speed}\n'


def _program(before: str, body: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{before}\n{_REWARD}    total = np.tanh(height)\n{lines}{_END}"


# What a program may do to answer differently when nobody looks; each is asked twelve times.
IMPURE = {
    "counts its calls in a list": _program(
        "N = [0]", "N[0] += 1\nif N[0] > 4: total = total + 1.0"
    ),
    "counts its calls in an attribute": _program(
        "class N: at = 0", "N.at += 1\nif N.at > 4: total = total + 1.0"
    ),
    "counts its calls in a default argument": _program(
        "def n(seen=[]):\n    seen.append(0)\n    return len(seen)",
        "if n() > 4: total = total + 1.0",
    ),
    "counts its calls in a closure": _program(
        "def make():\n    n = [0]\n    def more():\n        n[0] += 1\n        return n[0]\n"
        "    return more\nmore = make()",
        "if more() > 4: total = total + 1.0",
    ),
    "counts its calls in an attribute of a function": _program(
        "def n(): return n.at\nn.at = 0", "n.at += 1\nif n.at > 4: total = total + 1.0"
    ),
    "counts its calls in the module": _program(
        "",
        "globals_ = np.linalg.__dict__\nglobals_['n'] = globals_.get('n', 0) + 1\n"
        "if globals_['n'] > 4: total = total + 1.0",
    ),
    "is honest in its first call only": _program(
        "N = [0]", "N[0] += 1\nif N[0] > 1: total = total + 1.0"
    ),
    "cheats in every other call": _program(
        "N = [0]", "N[0] += 1\nif N[0] % 2: total = total + 1.0"
    ),
    "cheats in a component alone": _program("N = [0]", "N[0] += 1\nspeed = speed + N[0] // 4"),
    "answers in the order of what came before": _program(
        "S = [0.0]", "total = total + S[0]\nS[0] = float(height[0])"
    ),
    "looks at the clock": _program(_NO_RULES, "total = total + load('time').time() % 1.0"),
    "looks at a counter of performance": _program(
        _NO_RULES, "total = total + load('time').perf_counter() % 1.0"
    ),
    "waits until a moment is over": _program(
        _NO_RULES + "clock = load('time').monotonic\nT = clock()",
        "while CALLED and clock() < T + 0.05: pass\ntotal = total + (clock() > T + 0.05)\n"
        "CALLED.append(1)",
    ).replace("T = clock()", "T = clock()\nCALLED = []"),
    "looks at an address": _program("", "total = total + id(object()) % 4096 * 1e-3"),
    "looks at where an array lies": _program(
        "", "total = total + height.ctypes.data // 4096 % 977 * 1e-3"
    ),
    "hashes an object": _program("", "total = total + hash(object()) % 1009 * 1e-3"),
    "leaves memory unfilled": _program(
        "", "kept = np.empty(len(height))\ntotal = total + (kept != 0.0)\nkept[:] = 1.0\ndel kept"
    ),
    "counts its calls in NumPy's options": _program(
        "",
        "n = np.get_printoptions()['precision'] + 1\nnp.set_printoptions(precision=n)\n"
        "if n > 12: total = total + 1.0",
    ),
    "fails where it had answered": _program(
        "N = [0]", "N[0] += 1\nif N[0] == 1 and height[0] != FIRST: height.fill(0)"
    ).replace("FIRST", repr(float(example_steps(ROWS, 4, 0).after["height"][0]))),
}
HONEST = {
    "elementwise": _program("", "total = total + np.exp(-height**2) * np.sin(speed)"),
    "products and norms": (
        "def compute_reward(position, action):\n"
        "    run = position @ np.array([0.3, -0.7, 0.1]) - np.linalg.norm(action, axis=-1)\n"
        '    return run + np.sum(position**2, axis=-1), {"run": run}\n'
    ),
}  # fmt: skip


def asked(program: str, steps: Sequence[Steps], sandbox: str | Backend = "process") -> list[Window]:
    """Has one worker answer everything, as a training does."""
    windows: list[Window] = []
    with RewardClient(program, EXAMPLE_SPEC, sandbox=sandbox, policy=False) as client:
        for number, rows in enumerate(steps, 1):
            answer = client.rewards(rows, carry=True)
            assert isinstance(answer, RewardBatch), answer
            windows.append((Told(number, rows, answer, number == 1, whole=True),))
    return windows


def auditor(
    program: str, *, memory: bool = False, seed: int = 0, sandbox: str | Backend = "process"
) -> Auditor:
    """Audits in workers that are opened as the one above."""

    def fresh() -> RewardClient:
        return RewardClient(program, EXAMPLE_SPEC, sandbox=sandbox, policy=False)

    return Auditor(fresh, memory=memory, random=np.random.default_rng(seed))


def rollouts(envs: int = 4) -> list[Steps]:
    return [example_steps(ROWS, envs, seed) for seed in range(CALLS)]


@pytest.mark.parametrize("name", IMPURE)
def test_what_depends_on_more_than_its_parameters_is_impure(name: str) -> None:
    windows = asked(IMPURE[name], rollouts())
    failure = auditor(IMPURE[name]).found([windows[place] for place in PICKED])
    assert failure is not None
    assert failure.kind == "impure"
    assert "of the training" in failure.text
    assert "depends on its parameters only" in failure.text
    assert len(failure.text) < 1500


# What docs/attacks.md cites: a clock, random bits, a count, and what waits until the check is over.
FOUND_EVERYWHERE = (
    "looks at the clock",
    "looks at an address",
    "counts its calls in a list",
    "is honest in its first call only",
)


@pytest.mark.parametrize("name", FOUND_EVERYWHERE)
def test_an_audit_finds_them_out_behind_every_backend(backend: Backend, name: str) -> None:
    windows = asked(IMPURE[name], rollouts(), backend)
    failure = auditor(IMPURE[name], sandbox=backend).found([windows[place] for place in PICKED])
    assert failure is not None
    assert failure.kind == "impure"


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_program_answers_with_the_same_bits(name: str) -> None:
    windows = asked(HONEST[name], rollouts())
    for seed in range(3):
        inspector = auditor(HONEST[name], seed=seed)
        assert inspector.found([windows[place] for place in PICKED]) is None
        assert inspector.calls == 2 * len(PICKED) + 1


def test_a_clock_that_shows_whole_seconds_is_found_once_one_has_passed() -> None:
    program = _program("", "total = total + np.datetime64('now').astype(np.int64) % 1000")
    windows = asked(program, rollouts()[:2])
    time.sleep(1.0)
    assert auditor(program).found(windows) is not None


def test_a_difference_is_told_with_its_component_row_and_values() -> None:
    program = IMPURE["cheats in a component alone"]
    failure = auditor(program).found([asked(program, rollouts())[11]])
    assert failure is not None
    told = failure.text
    speed = float(rollouts()[11].after["speed"][0])
    assert told.startswith("Component 'speed' is impure: call 12 of the training")
    assert f"{speed + 3:.9g} in row 0" in told
    assert f"answers {speed:.9g}" in told
    assert "320 of 320 rows differ" in told


BATCH = {
    "the mean of a large batch": "if len(height) > 100: total = total - total.mean()",
    "the number of rows": "total = total + (len(height) > 100)",
    "the neighbour in a large batch": "if len(height) > 100: total = total + np.roll(height, 1)",
    "the rank in a large batch": "if len(height) > 100: total = np.argsort(total) * 1.0",
}


@pytest.mark.parametrize("name", BATCH)
def test_what_depends_on_the_other_rows_of_a_call_is_impure(name: str) -> None:
    """The contract check tries small batches; only a training asks for so many rows at once."""
    program = _program("", BATCH[name])
    windows = asked(program, rollouts())
    failure = auditor(program).found([windows[place] for place in PICKED])
    assert failure is not None
    assert failure.kind == "impure"
    assert "among other rows" in failure.text
    assert "its own values only" in failure.text


_MEMORY = """
MEMORY = {{"sum": 0.0}}
HIDDEN = [0.0]

def compute_reward(height, memory):
    memory["sum"] = memory["sum"] + height
    HIDDEN[0] += 1.0
    total = memory["sum"] {cheat}
    return total, {{"part": total}}
"""


def episodes(length: int, calls: int = 10, envs: int = 3, steps: int = 10) -> list[Steps]:
    """Rollouts in which every environment starts anew after ``length`` steps."""
    made = []
    for number in range(calls):
        rows = example_steps(steps * envs, envs, number)
        times = np.repeat(np.arange(number * steps, (number + 1) * steps), envs)
        rows.starts[:] = times % length == 0
        made.append(rows)
    return made


def together(windows: Sequence[Window], first: int, last: int) -> Window:
    return tuple(told for window in windows[first:last] for told in window)


def test_memory_that_goes_on_from_call_to_call_is_honoured() -> None:
    program = _MEMORY.format(cheat="")
    told = asked(program, episodes(25))
    windows = [together(told, 0, 2), together(told, 3, 9), together(told, 7, 10)]
    assert auditor(program, memory=True).found(windows) is None


@pytest.mark.parametrize("cheat", ["+ (HIDDEN[0] > 55)", "+ HIDDEN[0] % 2", "* (HIDDEN[0] < 90)"])
def test_what_is_kept_beside_memory_is_impure(cheat: str) -> None:
    program = _MEMORY.format(cheat=cheat)
    told = asked(program, episodes(25))
    failure = auditor(program, memory=True).found([together(told, 2, 10)])
    assert failure is not None
    assert failure.kind == "impure"


def test_lanes_that_look_at_each_other_are_impure() -> None:
    program = _MEMORY.format(cheat="+ np.roll(height, 1) * (len(HIDDEN) > 0)")
    told = asked(program, episodes(25, envs=12))
    failure = auditor(program, memory=True).found([together(told, 0, 3)])
    assert failure is not None
    assert "among other rows" in failure.text


def test_a_window_tells_nothing_of_episodes_that_began_before_it() -> None:
    told = asked(_MEMORY.format(cheat=""), episodes(25))
    before, since = together(told, 3, 4), together(told, 4, 7)
    assert not comparable(before, memory=True)[0].any()
    masks = comparable(since, memory=True)
    assert masks[0].tolist() == [False] * 30
    assert masks[1].tolist() == [True] * 30
    assert auditor("broken", memory=True).found([before]) is None


def test_the_first_call_of_a_training_is_comparable_from_its_first_row() -> None:
    told = asked(_MEMORY.format(cheat=""), [example_steps(30, 3)])
    told[0][0].steps.starts[:] = False
    assert comparable(told[0], memory=True)[0].all()


class Answers:
    """A source that answers from a list; the last answer is repeated."""

    def __init__(self, *answers: RewardBatch | Failure) -> None:
        self.answers = list(answers)
        self.asked: list[Steps] = []
        self.closed = False

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.asked.append(steps)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self) -> None:
        self.closed = True


def batch(value: float, rows: int = 20, **parts: float) -> RewardBatch:
    columns = {name: np.full(rows, part) for name, part in parts.items()}
    return RewardBatch(np.full(rows, value), columns)


STEPS = example_steps(20)
STALL = Failure(kind="stalled", text="it took too long")
BROKEN = Failure(kind="reward_error", text="line 3: no")


def judged(*sources: Answers, told: RewardBatch, seconds: float = np.inf) -> Failure | None:
    opened = iter(sources)
    inspector = Auditor(
        lambda: next(opened), memory=False, random=np.random.default_rng(0), seconds=seconds
    )
    return inspector.found([(Told(1, STEPS, told, True, whole=True),)])


def test_one_stall_may_be_the_machine_s_and_two_are_the_program_s() -> None:
    late, again = Answers(STALL), Answers(STALL)
    in_time = Answers(batch(1.0), batch(1.0, 64), batch(1.0))
    assert judged(late, in_time, told=batch(1.0)) is None
    assert len(in_time.asked) == 3
    failure = judged(Answers(STALL), again, told=batch(1.0))
    assert failure is not None
    assert failure.kind == "impure"
    assert "stalled: it took too long" in failure.text
    assert late.closed
    assert again.closed


def test_an_error_where_there_was_an_answer_is_impure_at_once() -> None:
    failure = judged(Answers(BROKEN), told=batch(1.0))
    assert failure is not None
    assert failure.kind == "impure"
    assert "line 3: no" in failure.text


def test_other_components_are_a_difference() -> None:
    failure = judged(Answers(batch(1.0, run=1.0)), told=batch(1.0, walk=1.0))
    assert failure is not None
    assert "named other components" in failure.text


def test_the_last_bit_counts_and_is_shown() -> None:
    failure = judged(Answers(batch(np.nextafter(1.0, 2.0))), told=batch(1.0))
    assert failure is not None
    assert "got 1 in row 0" in failure.text
    assert "answers 1.0000000000000002" in failure.text


def test_an_audit_that_has_no_time_left_asks_one_question() -> None:
    source = Answers(batch(1.0))
    assert judged(source, told=batch(1.0), seconds=0.0) is None
    assert len(source.asked) == 1


class Tapped(ProcessBackend):
    """Notes the header of every request that its workers get."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[list[dict[str, Any]]] = []

    def start(self, limits: Limits, probe: Mapping[str, Any] | None = None) -> ChildWorker:
        worker = super().start(limits, probe)
        headers: list[dict[str, Any]] = []
        self.sent.append(headers)

        class Noting(Pipes):
            def send(
                self, header: dict[str, Any], blob: bytes | memoryview = b"", *, deadline: float
            ) -> None:
                headers.append(header)
                super().send(header, blob, deadline=deadline)

        worker.pipes = Noting(worker.pipes.reader, worker.pipes.writer)
        return worker


@pytest.mark.parametrize("memory", [False, True])
def test_an_audit_looks_like_the_beginning_of_a_training(memory: bool) -> None:
    """Requests are equal to the byte; only the columns' contents are those of a later rollout."""
    program = _MEMORY.format(cheat="") if memory else HONEST["elementwise"]
    tapped = Tapped()

    def fresh() -> RewardClient:
        return RewardClient(program, EXAMPLE_SPEC, sandbox=tapped)

    told = []
    with fresh() as client:
        for number, steps in enumerate(episodes(10, calls=4), 1):
            answer = client.rewards(steps, carry=True)
            assert isinstance(answer, RewardBatch)
            told.append(Told(number, steps, answer, number == 1, whole=True))
    inspector = Auditor(fresh, memory=memory, random=np.random.default_rng(0))
    assert inspector.found([tuple(told[2:]) if memory else (told[3],)]) is None
    training, audit = tapped.sent
    first = 3 if memory else 2  # loading, and as many calls as the window has
    assert audit[:first] == training[:first]
    assert [header["id"] for header in audit] == list(range(1, len(audit) + 1))
