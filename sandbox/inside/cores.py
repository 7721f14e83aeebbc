"""One core while a compiler counts them: its pools of threads have the size of what it finds.

On a machine with a hundred cores XLA would start hundreds of threads, whose stacks alone exceed a
worker's address space.
"""

import contextlib
import os
from collections.abc import Iterator


class Threads:
    """The threads of this process, found by a folder that stays open when files are closed off."""

    def __init__(self) -> None:
        self._folder = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def count(self) -> int:
        """Returns how many there are now."""
        return len(self._names())

    def _names(self) -> list[str]:
        return os.listdir(self._folder)  # noqa: PTH208 - of a descriptor

    @contextlib.contextmanager
    def on_one_core(self) -> Iterator[None]:
        """Keeps this thread and those that it starts on one core; afterwards they may use all.

        Closes the folder afterwards.
        """
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        try:
            yield
        finally:
            for thread in self._names():
                with contextlib.suppress(OSError):  # it may have ended meanwhile
                    os.sched_setaffinity(int(thread), before)
            self.close()

    def close(self) -> None:
        """Closes the folder."""
        os.close(self._folder)
