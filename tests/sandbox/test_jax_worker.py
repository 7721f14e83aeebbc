"""Rewards evaluated with JAX: the same numbers, the same walls, and errors that say what to do."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax", reason="rewards with JAX need it: pip install rewardsmith[fast]")

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.arrays import Arrays
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.backends import resolve
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import (
    EXAMPLE_SPEC,
    BackendConformance,
    attempt,
    example_steps,
)
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.process import ProcessBackend
from rewardsmith.sandbox.reward import RewardBatch

JAX = Arrays("jax")
LIMITS = Limits.for_arrays(JAX)


class TestWithJax(BackendConformance):
    """All promises with JAX as well, from a process whose threads run before the walls stand."""

    def backend(self) -> ProcessBackend:
        return ProcessBackend()

    def arrays(self) -> Arrays:
        return JAX

    def test_a_memory_bomb_is_a_failure(self) -> None:
        """One array too many; many small ones end at the deadline, since nothing is computed."""
        one = "def compute_reward(height):\n    return np.zeros(10**11), {}\n"
        assert self.failure_of(one).kind == "oom"
        filled = attempt("kept = []\nwhile True:\n    kept.append(b'x' * 10**8)")
        assert self.failure_of(filled, memory_bytes=3 * 2**30).kind in ("oom", "killed")


class _Attempts(BackendConformance):
    """The attempts to leave alone: a worker with JAX takes long to start."""

    def __init__(self, backend: Backend) -> None:
        self.made = backend

    def backend(self) -> Backend:
        return self.made

    def arrays(self) -> Arrays:
        return JAX


def test_every_attempt_to_leave_is_denied_behind_every_backend(
    backend: Backend, tmp_path: Path
) -> None:
    _Attempts(backend).test_every_attempt_to_leave_is_denied(tmp_path)


def test_the_walls_are_tried_with_jax_and_say_so(backend: Backend) -> None:
    result = backend.self_test(JAX)
    assert result.failed == ()
    assert result.facts["table"] == "jax"
    assert result.facts["library"] == "jax"
    names = {check.name for check in result.checks}
    assert {"cannot start a thread", "cannot map executable memory"} <= names
    assert result.guarantees["memory"] == "hard"


def test_code_may_be_made_but_never_be_written_and_run_at_once() -> None:
    """What a compiler needs and NumPy's worker is denied: the one door that JAX opens."""
    body = """
region = mmap.mmap(-1, 4096)
libc = ctypes.CDLL(None, use_errno=True)
address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(region)))
return [libc.mprotect(address, 4096, protection) for protection in (5, 7, 3)]
"""
    for limits, wanted in ((LIMITS, "[0, -1, 0]"), (Limits(), "[-1, -1, 0]")):
        with RewardClient(
            attempt(body), EXAMPLE_SPEC, sandbox=ProcessBackend(), limits=limits, policy=False
        ) as client:
            answer = client.rewards(example_steps(9))
        assert isinstance(answer, Failure)
        assert wanted in answer.text


PROGRAMS = {
    "arithmetic": """
def compute_reward(height, speed, position, action, prev_height, terminated):
    run = np.exp(-speed**2) + np.tanh(position @ np.ones(3)) + np.arctan2(height, speed)
    effort = np.linalg.norm(action, axis=-1)
    fallen = np.where(terminated, -1.0, 0.0)
    rise = np.clip(height - prev_height, -1.0, 1.0)
    return run - effort + fallen + rise, {"run": run, "effort": -effort, "fallen": fallen}
""",
    "statistics": """
def compute_reward(position, action):
    spread = np.std(position, axis=-1) + np.median(position, axis=-1)
    order = np.sort(position, axis=-1)[:, 0] + np.argmax(action, axis=-1)
    turn = np.cross(position, position[:, ::-1])[:, 1]
    bump = np.interp(position[:, 0], np.array([-1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]))
    with np.errstate(all="ignore"):
        log = np.nan_to_num(np.log(np.abs(position[:, 2])))
    return spread + order + turn + bump + log, {"spread": spread, "constant": 2.0}
""",
    "memory": """
MEMORY = {"best": 0.0, "count": 0.0}

def compute_reward(height, memory):
    gain = np.maximum(height - memory["best"], 0.0)
    memory["best"] = np.maximum(memory["best"], height)
    memory["count"] += 1
    return gain / memory["count"], {"gain": gain}
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_rewards_are_those_of_numpy(name: str) -> None:
    steps = example_steps(96, num_envs=4)
    answers = []
    for limits in (Limits(), LIMITS):
        with RewardClient(
            PROGRAMS[name], EXAMPLE_SPEC, sandbox=ProcessBackend(), limits=limits
        ) as client:
            answer = client.rewards(steps)
            again = client.rewards(steps)
        assert isinstance(answer, RewardBatch), answer
        assert isinstance(again, RewardBatch)
        assert answer.total.tobytes() == again.total.tobytes(), "pure: equal calls, equal bits"
        answers.append(answer)
    one, other = answers
    np.testing.assert_allclose(other.total, one.total, rtol=1e-9, atol=1e-12)
    assert list(one.components) == list(other.components)
    for component in one.components:
        np.testing.assert_allclose(
            other.components[component], one.components[component], rtol=1e-9, atol=1e-12
        )


def test_every_backend_computes_the_same_bits(backend: Backend) -> None:
    totals = []
    for one in (backend, ProcessBackend()):
        with RewardClient(
            PROGRAMS["arithmetic"], EXAMPLE_SPEC, sandbox=one, limits=LIMITS
        ) as client:
            answer = client.rewards(example_steps(200))
            assert client.worker_facts["table"] == "jax"
            assert client.worker_facts["landlock"] > 0
        assert isinstance(answer, RewardBatch)
        totals.append(answer.total.tobytes())
    assert totals[0] == totals[1]


def failure_of(program: str) -> Failure:
    with RewardClient(
        program, EXAMPLE_SPEC, sandbox=ProcessBackend(), limits=LIMITS, policy=False
    ) as client:
        answer = client.rewards(example_steps(20))
    assert isinstance(answer, Failure), answer
    return answer


CURES = {
    "a decision": ("if height.sum() > 0:\n        height = -height", "np.where"),
    "a mask": ("height = height.copy()\n    height[height > 0] = 1.0", "np.where(mask, value, r)"),
    "a number": ("height = height * float(height[0])", "no float()"),
    "math": ("height = math.exp(height)", "functions of np"),
    "a list": ("height = np.sum([height, height], axis=0)", "np.stack"),
    "shapes": ("height = height + position", "x[:, None]"),
    "a name that is missing": ("np.piecewise_linear(height)", "np has no function"),
    "files": ("np.save('x', height)", "cannot read or write files"),
    "what only NumPy has": ("np.nditer(height)", "evaluated with JAX"),
}


def test_what_cannot_be_compiled_is_explained() -> None:
    """One program whose number of rows says which of its mistakes to make: one worker for all."""
    functions = [
        f"def case_{index}(height, position):\n    {line}\n    return height, {{}}\n"
        for index, (line, _) in enumerate(CURES.values())
    ]
    names = ", ".join(f"case_{index}" for index in range(len(CURES)))
    program = (
        "".join(functions)
        + f"cases = [{names}]\n"
        + "def compute_reward(height, position):\n"
        + "    return cases[len(height) - 8](height, position)\n"
    )
    with RewardClient(
        program, EXAMPLE_SPEC, sandbox=ProcessBackend(), limits=LIMITS, policy=False
    ) as client:
        answers = [client.rewards(example_steps(8 + index)) for index in range(len(CURES))]
        assert client.ledger.starts == 1
    for answer, (name, (_, cure)) in zip(answers, CURES.items(), strict=True):
        assert isinstance(answer, Failure), name
        assert answer.kind == "reward_error"
        assert cure in answer.text, (name, answer.text)
        assert answer.line is not None
        assert "docs.jax.dev" not in answer.text
        assert "jax_arrays" not in answer.text, "no path of this machine"


@pytest.mark.parametrize(
    "body",
    [
        "kept[0] += 1\n    return height * kept[0], {}",
        "kept.append(height)\n    return kept[1], {}",
    ],
)
def test_state_between_calls_is_found_when_it_is_compiled(body: str) -> None:
    failure = failure_of(f"kept = [0]\ndef compute_reward(height):\n    {body}\n")
    assert failure.kind == "bad_output"
    assert "no counters, no module-level state" in failure.text


def test_a_program_for_one_row_is_refused_with_advice() -> None:
    failure = failure_of(
        "def compute_reward(height):\n    return height, {}\n# rewardsmith: one row at a time\n"
    )
    assert "one environment at a time" in failure.text
    assert "np.where" in failure.text


def test_a_wrong_answer_is_named_as_with_numpy() -> None:
    assert "(N, 3)" in failure_of("def compute_reward(position):\n    return position, {}\n").text
    assert "NoneType" in failure_of("def compute_reward(height):\n    return None\n").text


def test_walls_that_do_not_hold_with_jax_are_not_stepped_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A backend whose walls stand for NumPy is tried again before JAX runs behind it."""
    asked = []

    def self_test(self: ProcessBackend, arrays: Arrays) -> object:
        asked.append(arrays)
        raise SandboxUnavailable("tried")

    assert resolve("process").name == "process"
    monkeypatch.setattr(ProcessBackend, "self_test", self_test)
    with pytest.raises(SandboxUnavailable, match="tried"):
        resolve("process", JAX)
    assert asked == [JAX]
