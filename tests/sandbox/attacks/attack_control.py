"""Where nothing confines: the same worker without walls, in namespaces that end with it.

A control must show the hole and touch nothing. So it gets mounts, processes, sockets, queues and a
host name of its own, with empty folders in memory where a probe writes; all is gone with it.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.child import ChildWorker, start_child
from rewardsmith.sandbox.conformance import CANARY
from rewardsmith.sandbox.greeting import greeted
from rewardsmith.sandbox.process import ProcessBackend, _command

NEIGHBOUR = 2  # the process that the first one in the namespaces starts first
_UNSHARE = (
    "unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--propagation", "private",
    "--fork", "--kill-child=KILL", "--mount-proc",
)  # fmt: skip


@cache
def can_throw_away() -> bool:
    """Whether this user may make namespaces."""
    try:
        done = subprocess.run([*_as_this_user(), "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def _as_this_user() -> tuple[str, ...]:
    return _UNSHARE if os.getuid() == 0 else (*_UNSHARE, "--user", "--map-root-user")


def thrown_away(command: Sequence[str], folder: Path) -> list[str]:
    """Returns a command that runs ``command`` in namespaces; ``folder`` is an empty one there."""
    place, secret = shlex.quote(str(folder)), shlex.quote(CANARY)
    script = (
        f"env CANARY={secret} sleep 300 & set -e; "
        f"mount -t tmpfs -o size=64m scratch {place}; mount -t tmpfs -o size=8m scratch /dev/shm; "
        f"mkdir {place}/.ssh; for name in secret spare .ssh/id_ed25519; do "
        f'printf %s {secret} >{place}/$name; done; exec "$@"'
    )
    return [*_as_this_user(), "sh", "-c", script, "sh", *command]


class Unconfined:
    """A worker without any wall, in namespaces that end with it; a ``Backend`` for controls."""

    name = "unconfined"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def self_test(self, arrays: Arrays = NUMPY) -> SelfTest:
        return ProcessBackend(walls=False).self_test(arrays)

    def start(self, limits: Limits) -> ChildWorker:
        orders = {**limits.arrays.orders(), "parent": os.getpid(), "walls": False}
        whole = _command(limits.arrays)
        with ExitStack() as ours:
            worker = start_child(
                lambda text: thrown_away(whole(text), self._folder), limits, orders, ours
            )
            ours.pop_all()
        return greeted(worker, limits, walls=False)


_CARELESS = """
import json, resource, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**29, 3 * 2**29))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
names = {"np": np}
print("began", flush=True)
try:
    exec(compile(sys.argv[1], "<reward>", "exec"), names)
    rows = np.arange(1.0, 10.0)
    got = names["compute_reward"](rows)
    while isinstance(got, tuple) and len(got) == 2 and isinstance(got[1], dict) and not got[1]:
        got = got[0]
    said = f"returned {type(got).__name__} {str(got)[:300]} of {rows}"
except BaseException as error:
    said = f"raised {type(error).__name__} {str(error)[:300]}"
print("\\n" + json.dumps(said))
"""


def careless(program: str, folder: Path, *, seconds: float = 10.0, open_house: bool = False) -> str:
    """Says what becomes of a program that a trainer calls itself: "returned", "raised", ...

    Of everything it gets as little as the machine can do without: namespaces, 1.5 GiB, and an end
    ``seconds`` after it began; with ``open_house`` also every variable and inheritable descriptor.
    """
    command = [sys.executable, "-c", _CARELESS, program]
    clean = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        thrown_away(command, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ) if open_house else clean,
        close_fds=not open_house,
        bufsize=0,
    )
    assert process.stdout is not None
    began = process.stdout.readline()
    assert began == b"began\n", began + process.stdout.read()
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "ran on"
    lines = output.decode("utf-8", "replace").strip().splitlines()
    try:
        return f"{json.loads(lines[-1])} after {len(output)} bytes"
    except (ValueError, IndexError):
        return f"ended {process.returncode}"
