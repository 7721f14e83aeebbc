"""The ``process`` backend: a worker behind Landlock and seccomp, with nothing to install.

Works as an ordinary user and as root, also inside unprivileged containers. Also here, for
``--sandbox none``, the same worker without walls.
"""

import contextlib
import fcntl
import json
import mmap
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.backend import Check, Limits, SelfTest
from rewardsmith.sandbox.wire import Pipes, WireError, cleaned

_MAIN = (
    "import sys; sys.path[:0] = sys.argv[1:3]; "
    "from rewardsmith.sandbox.inside.launcher import main; main()"
)
_KEPT_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # how NumPy rounds must not change
_REMEDY = (
    "Use a Linux kernel 5.13 or newer with Landlock (`cat /sys/kernel/security/lsm` must name "
    "it; else "
    "boot with lsm=landlock,...), or an engine whose seccomp profile allows it."
)


_STARTERS: dict[int, ThreadPoolExecutor] = {}


def _starter(process_id: int) -> ThreadPoolExecutor:
    """One thread that lives as long as this process and starts every worker.

    The kernel kills a worker when the *thread* that started it ends; a fork has no such thread, so
    there is one for each process id. Of threads that ask at once all get the same one: a second
    would end, and its workers with it. (A lock would stay locked in a fork; ``setdefault`` is one
    step, and an executor that lost has no thread yet.)
    """
    made = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"reward-workers-{process_id}")
    return _STARTERS.setdefault(process_id, made)


def _environment() -> dict[str, str]:
    """Everything a worker knows of its surroundings: built from nothing, never inherited."""
    clean = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/",
        "TMPDIR": "/",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the order of a set is the same in every worker
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return clean | {name: value for name, value in kept.items() if value.isalnum()}


def _command(orders: Mapping[str, Any]) -> list[str]:
    import numpy as np

    import rewardsmith

    package = Path(rewardsmith.__file__).parent.parent
    library = Path(np.__file__).parent.parent
    flags = ["-s", "-S", "-P", "-B", "-u"]
    return [sys.executable, *flags, "-c", _MAIN, str(package), str(library), json.dumps(orders)]


@dataclass
class ProcessWorker:
    """A running worker and what this side holds of it."""

    process: "subprocess.Popen[bytes]"
    pipes: Pipes
    shared: mmap.mmap | None
    hello: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = field(default=False, init=False)

    def stop(self, grace_s: float = 0.0) -> int | None:
        """Kills the worker if it is still there after ``grace_s``; reaps it, closes what it had."""
        if self.stopped:
            return self.process.returncode
        self.stopped = True
        try:
            self.process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        finally:
            self.pipes.close()
            if self.shared is not None:
                with contextlib.suppress(BufferError):  # a view that is still held ends it later
                    self.shared.close()
        return self.process.returncode


def _pipe(reads: ExitStack, writes: ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    reads.callback(os.close, reader)
    writes.callback(os.close, writer)
    return reader, writer


def _memory_file(size: int, held: ExitStack) -> int:
    """Makes shared memory that neither side can shrink or grow: a mapping never faults."""
    descriptor = os.memfd_create("reward", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    held.callback(os.close, descriptor)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return descriptor


class ProcessBackend:
    """Starts workers as plain child processes; ``walls=False`` is ``--sandbox none``."""

    def __init__(self, *, walls: bool = True) -> None:
        self._walls = walls
        self.name = "process" if walls else "none"

    def start(self, limits: Limits, probe: Mapping[str, Any] | None = None) -> ProcessWorker:
        """Starts a worker and waits until it says that it is locked in."""
        if self._walls and not hasattr(os, "memfd_create"):
            raise SandboxUnavailable(
                f"the process sandbox needs Linux; this is {platform.system()}"
            )
        with ExitStack() as ours:
            try:
                worker = self._spawned(limits, probe, ours)
            except (OSError, ValueError, RuntimeError) as error:
                raise SandboxUnavailable(
                    f"the reward worker could not be started: {error}"
                ) from error
            ours.pop_all()  # from here on the worker's end closes them
        return _greeted(worker, limits, walls=self._walls)

    def _spawned(
        self, limits: Limits, probe: Mapping[str, Any] | None, ours: ExitStack
    ) -> ProcessWorker:
        with ExitStack() as theirs:
            request_end, writer = _pipe(theirs, ours)
            reader, reply_end = _pipe(ours, theirs)
            with_memory_file = hasattr(os, "memfd_create")
            shared = _memory_file(limits.region_bytes, theirs) if with_memory_file else None
            region = None
            if shared is not None:
                region = ours.enter_context(mmap.mmap(shared, limits.region_bytes))
            orders = {
                "requests": request_end,
                "replies": reply_end,
                "shared": shared,
                "region_bytes": limits.region_bytes,
                "memory_bytes": limits.memory_bytes,
                "parent": os.getpid(),
                "walls": self._walls,
                "probe": None if probe is None else dict(probe),
            }
            given = [end for end in (request_end, reply_end, shared) if end is not None]
            os.set_blocking(reader, False)
            os.set_blocking(writer, False)
            process = _starter(os.getpid()).submit(_spawn, _command(orders), given).result()
            return ProcessWorker(process, Pipes(reader, writer), region)

    def self_test(self) -> SelfTest:
        """Locks a worker in and lets it try every door; the result is kept for this process."""
        return _self_test() if self._walls else SelfTest("none", ())


def _spawn(command: list[str], descriptors: list[int]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        pass_fds=descriptors,
        cwd="/",
    )


def _greeted(worker: ProcessWorker, limits: Limits, *, walls: bool) -> ProcessWorker:
    try:
        hello, _ = worker.pipes.receive(deadline=time.monotonic() + limits.start_s)
    except WireError as error:
        status = worker.stop(grace_s=1.0)
        raise SandboxUnavailable(
            f"the reward worker did not start ({error}; exit status {status}). Check that "
            f"{sys.executable} can import numpy within {limits.memory_bytes >> 20} MiB"
        ) from error
    except BaseException:  # an interrupt leaves no worker behind
        worker.stop()
        raise
    locked = (
        hello.get("seccomp") is True
        and type(hello.get("landlock")) is int
        and hello["landlock"] >= 1
    )
    if hello.get("hello") != 1 or (walls and not locked):
        worker.stop()
        reason = cleaned(str(hello.get("refused", "it did not say so")), 500)
        raise SandboxUnavailable(f"the reward worker could not be confined: {reason}. {_REMEDY}")
    worker.hello = hello
    return worker


@cache
def _self_test() -> SelfTest:
    limits = Limits()
    with tempfile.TemporaryDirectory(prefix="rewardsmith-probe-") as folder:
        canary = Path(folder) / "canary"
        canary.write_text("found\n")
        canary.chmod(0o644)
        Path(folder).chmod(0o755)
        probe = {
            "canary": str(canary),
            "parent": os.getpid(),
            "memory_bytes": limits.memory_bytes,
            "machine": platform.machine(),
        }
        began = time.monotonic()
        try:
            worker = ProcessBackend().start(limits, probe)
        except SandboxUnavailable as error:
            return SelfTest("process", (Check("starts confined", False, str(error), ""),))
        start_ms = (time.monotonic() - began) * 1000
        try:
            found, _ = worker.pipes.receive(deadline=time.monotonic() + limits.start_s)
        except WireError as error:
            return SelfTest("process", (Check("answers the self-test", False, str(error), ""),))
        finally:
            worker.stop()
    return SelfTest(
        "process",
        _checks(found),
        guarantees={
            "files": "hard",
            "network": "hard",
            "processes": "hard",
            "memory": "hard",
            "disk": "hard",
            "time": "hard",
            "cpu": "soft",
        },
        facts={name: str(value) for name, value in worker.hello.items()},
        start_ms=start_ms,
    )


def _checks(found: Mapping[str, Any]) -> tuple[Check, ...]:
    opened, tried, strangers = (found.get(key) for key in ("opened", "tried", "environment"))
    if not (isinstance(opened, list) and isinstance(tried, list) and isinstance(strangers, list)):
        return (Check("answers the self-test", False, "the answer was not understood", _REMEDY),)
    doors = tuple(
        Check(
            f"cannot {cleaned(str(door), 60)}",
            door not in opened,
            "it could" if door in opened else "denied",
            _REMEDY if door in opened else "",
        )
        for door in tried
    )
    names = ", ".join(cleaned(str(name), 60) for name in strangers[:10])
    return (*doors, Check("has a clean environment", not strangers, names or "only the allow-list"))
