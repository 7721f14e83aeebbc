"""The ``process`` backend: a worker behind Landlock and seccomp, with nothing to install.

Works as an ordinary user and as root, also inside unprivileged containers. Also here, for
``--sandbox none``, the same worker without walls.
"""

import os
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.child import FLAGS, ChildWorker, start_child
from rewardsmith.sandbox.enforcement import prove
from rewardsmith.sandbox.greeting import LANDLOCK_REMEDY, greeted
from rewardsmith.sandbox.guarantees import Guarantee
from rewardsmith.sandbox.host_files import library_folders

_MAIN = (
    "import sys; sys.path[:0] = sys.argv[1].split(':'); "
    "from rewardsmith.sandbox.inside.launcher import main; main()"
)

_NO_GPU = (
    "the process sandbox does not reach a GPU: nothing in it would keep a program to one device. "
    "Use --sandbox docker or --sandbox bubblewrap, or evaluate rewards on the CPU"
)

# The launcher's own walls, which every backend has inside its others.
LAUNCHER_GUARANTEES: Mapping[str, Guarantee] = {
    "files": "hard",
    "network": "hard",
    "processes": "hard",
    "memory": "hard",
    "disk": "hard",
    "time": "hard",
    "output": "hard",
    "cpu": "soft",
}


def _command(arrays: Arrays) -> Callable[[str], list[str]]:
    import rewardsmith

    package = Path(rewardsmith.__file__).parent.parent
    folders = {str(folder.parent): None for folder in library_folders(arrays).values()}
    places = ":".join([str(package), *folders])
    return lambda orders: [sys.executable, *FLAGS, "-c", _MAIN, places, orders]


class ProcessBackend:
    """Starts workers as plain child processes; ``walls=False`` is ``--sandbox none``."""

    def __init__(self, *, walls: bool = True) -> None:
        self._walls = walls
        self.name = "process" if walls else "none"

    def start(self, limits: Limits, probe: Mapping[str, Any] | None = None) -> ChildWorker:
        """Starts a worker and waits until it says that it is locked in."""
        if self._walls and not hasattr(os, "memfd_create"):
            raise SandboxUnavailable(
                f"the process sandbox needs Linux; this is {platform.system()}"
            )
        if self._walls and limits.arrays.gpu is not None:
            raise SandboxUnavailable(_NO_GPU)
        orders = {
            **limits.arrays.orders(),
            "parent": os.getpid(),
            "walls": self._walls,
            "probe": None if probe is None else dict(probe),
        }
        with ExitStack() as ours:
            try:
                worker = start_child(_command(limits.arrays), limits, orders, ours)
            except (OSError, ValueError, RuntimeError) as error:
                raise SandboxUnavailable(
                    f"the reward worker could not be started: {error}"
                ) from error
            ours.pop_all()  # from here on the worker's end closes them
        return greeted(worker, limits, walls=self._walls)

    def self_test(self, arrays: Arrays = NUMPY) -> SelfTest:
        """Locks a worker in and lets it try every door; the result is kept for this process."""
        return _self_test(arrays) if self._walls else SelfTest("none", ())


@cache
def _self_test(arrays: Arrays) -> SelfTest:
    limits, start = Limits.for_arrays(arrays), ProcessBackend().start
    return prove("process", start, LAUNCHER_GUARANTEES, LANDLOCK_REMEDY, limits=limits)
