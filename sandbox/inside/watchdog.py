"""The first process of a container: it starts the launcher, and its end ends everything there.

The pipe that requests come through is a lease as well: an engine closes it when the process that
asked is gone, however that ended. This process never reads from it; it only waits for its end, for
the worker's end, which it reports on the standard error that the worker does not hold, and for the
last moment that the container may see.
"""

import os
import select
import signal
import sys
from types import FrameType
from typing import NoReturn

REQUESTS, REPLIES = 3, 4
LEASE_ENDED, OUT_OF_TIME = 75, 76
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_OF_ENGINES = ("HOSTNAME", "TERM", "container")  # what Docker and podman add themselves


def _report_and_end(_signal: int, _frame: FrameType | None) -> NoReturn:
    _, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os.write(_STDERR, f"worker ended {code}\n".encode())
    os._exit(code if code >= 0 else 128 - code)


def _become_launcher(wake: tuple[int, int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    for end in wake:
        os.close(end)
    os.dup2(_STDIN, REQUESTS)
    os.dup2(_STDOUT, REPLIES)
    for name in _OF_ENGINES:
        os.environ.pop(name, None)
    from rewardsmith.sandbox.inside import outer

    outer.main()
    os._exit(0)


def watch(seconds: float, woken: int) -> int:
    """Returns the status to end with, once the lease or the time has run out.

    A signal just before the wait would not end it; the byte that it leaves in ``woken`` does, and
    the signal's function, which ends this process, runs before anything is returned.
    """
    poller = select.poll()
    poller.register(_STDIN, 0)  # nothing but its end
    poller.register(woken, select.POLLIN)
    return LEASE_ENDED if poller.poll(min(seconds, 2**20) * 1000) else OUT_OF_TIME


def main() -> None:
    """Starts the launcher with the last argument as its orders; the one before is the seconds."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, _report_and_end)
    if os.fork() == 0:
        _become_launcher((woken, wake))
    os.close(_STDOUT)
    os._exit(watch(float(sys.argv[-2]), woken))
