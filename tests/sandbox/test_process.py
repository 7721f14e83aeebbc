"""The ``process`` backend holds, for whoever runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import (
    EXAMPLE_SPEC,
    BackendConformance,
    attempt,
    example_steps,
)
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.process import ProcessBackend


class TestProcessBackend(BackendConformance):
    """All promises, on this machine, as this user."""

    def backend(self) -> ProcessBackend:
        return ProcessBackend()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while _alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not _alive(pid)


def test_the_self_test_passes_and_is_quick() -> None:
    began = time.monotonic()
    result = ProcessBackend().self_test()
    assert result.failed == ()
    assert result.passed
    assert time.monotonic() - began < 3.0
    assert result.guarantees["memory"] == "hard"


def test_without_walls_the_same_attempts_succeed() -> None:
    """The positive control: what the walls deny is possible where there are none."""
    program = attempt("return os.listdir('/') and os.getpid()")
    with RewardClient(
        program, EXAMPLE_SPEC, sandbox=ProcessBackend(walls=False), policy=False
    ) as client:
        answer = client.rewards(example_steps(9))
    assert isinstance(answer, Failure)
    assert "it got" in answer.text


def test_a_worker_is_nobody() -> None:
    worker = ProcessBackend().start(Limits())
    try:
        assert worker.hello["uid"] == (65534 if os.getuid() == 0 else os.getuid())
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status or os.getuid() != 0
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
    finally:
        worker.stop()


def test_stopping_twice_leaves_nothing() -> None:
    worker = ProcessBackend().start(Limits())
    assert worker.stop() == -signal.SIGKILL
    assert worker.stop() == -signal.SIGKILL
    assert not _alive(worker.process.pid)


def test_a_worker_that_does_not_start_in_time_is_the_machines_fault() -> None:
    with pytest.raises(SandboxUnavailable, match="did not start"):
        ProcessBackend().start(Limits(start_s=0.001))


_SUPERVISOR = """
import sys, time
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.process import ProcessBackend
worker = ProcessBackend().start(__import__("rewardsmith.sandbox.backend", fromlist=["x"]).Limits())
print(worker.process.pid, flush=True)
if sys.argv[1] == "busy":
    source = "def compute_reward(height):\\n    while True: pass\\n"
    worker.pipes.send({"id": 1, "do": "load", "source": source + "while True: pass\\n",
                       "function": "f", "memory": False, "by_row": False, "parameters": []},
                      deadline=time.monotonic() + 5)
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_worker_dies_with_its_supervisor(state: str) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, state], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    assert _alive(pid)
    time.sleep(0.1)
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    assert _gone_within(pid, 2.0)
