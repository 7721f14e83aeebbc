"""The first process of a container ends with its lease, its worker or its time."""

import os
import subprocess
import sys
import time

import pytest

from rewardsmith.sandbox.inside.watchdog import LEASE_ENDED, OUT_OF_TIME

# The launcher's place is taken by a few lines that say what it found.
_STAND_IN = """
import os, sys
from rewardsmith.sandbox.inside import outer, watchdog
def stand_in():
    {body}
outer.main = stand_in
watchdog.main()
"""


# As the launcher does: outside a container nobody else would end it.
_ENDLESS = "__import__('ctypes').CDLL(None).prctl(1, 9); exec('while True: pass')"


def _started(body: str, seconds: float = 30.0, **given: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", _STAND_IN.format(body=body), str(seconds), "{}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | given,
    )


def _outcome(process: "subprocess.Popen[bytes]", lease: bytes | None = None) -> tuple[int, bytes]:
    """Waits for the end, with the lease held unless ``lease`` says what to write last."""
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stdout is not None
    if lease is not None:
        process.stdin.write(lease)
        process.stdin.close()
    status = process.wait(timeout=20)
    report = process.stderr.read()
    for end in (process.stdin, process.stdout, process.stderr):
        end.close()
    return status, report


@pytest.mark.parametrize(
    ("body", "status", "report"),
    [
        ("os._exit(0)", 0, b"worker ended 0\n"),
        ("os._exit(78)", 78, b"worker ended 78\n"),
        ("os.kill(os.getpid(), 11)", 139, b"worker ended -11\n"),
        ("os.kill(os.getpid(), 9)", 137, b"worker ended -9\n"),
    ],
)
def test_the_workers_end_is_reported_and_is_its_own(body: str, status: int, report: bytes) -> None:
    assert _outcome(_started(body)) == (status, report)


def test_the_lease_ends_a_worker_that_does_not_listen() -> None:
    process = _started(_ENDLESS)
    time.sleep(0.3)
    assert process.poll() is None
    began = time.monotonic()
    assert _outcome(process, lease=b"a request that nobody reads")[0] == LEASE_ENDED
    assert time.monotonic() - began < 5.0


def test_time_ends_it_too() -> None:
    assert _outcome(_started(_ENDLESS, seconds=0.3))[0] == OUT_OF_TIME


def test_the_worker_gets_the_pipes_and_no_word_of_the_engines() -> None:
    body = "os.write(4, os.read(3, 5)[::-1] + str(sorted(names & {*os.environ})).encode())"
    body = "names = {'HOSTNAME', 'TERM', 'container', 'KEPT'}; " + body
    process = _started(body, HOSTNAME="sandbox", TERM="xterm", container="podman", KEPT="1")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"12345")
    process.stdin.flush()
    assert os.read(process.stdout.fileno(), 100) == b"54321['KEPT']"
    assert _outcome(process) == (0, b"worker ended 0\n")
