"""Ctrl-C: an orderly end at first, a certain one soon after.

The main thread may be waiting for a model that never answers, and Python does not leave such a
wait; so the first Ctrl-C also starts a clock, and the second one does not wait for it. Nothing is
lost either way: all that counts is on disk, and trainings end with their parent.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 2.0


@contextmanager
def stoppable(leave: Callable[[], object], grace_s: float = GRACE_S) -> Iterator[None]:
    """Has SIGINT raise ``KeyboardInterrupt``, and ``leave`` called if that does not end the block.

    Args:
        leave: ends the process; called from another thread ``grace_s`` after the first SIGINT, or
            from the second one.
        grace_s: seconds.
    """
    clocks: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if clocks:
            leave()
            return
        clock = threading.Timer(grace_s, leave)
        clock.daemon = True
        clocks.append(clock)
        clock.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        for clock in clocks:
            clock.cancel()
        signal.signal(signal.SIGINT, before)
