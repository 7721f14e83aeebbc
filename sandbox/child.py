"""Workers that are child processes of this one: their pipes, shared memory, start and end.

What confines them is the command's business; here they only get a clean environment, two pipes and
a memory file, and are reaped for certain.
"""

import contextlib
import fcntl
import json
import mmap
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.wire import Pipes

# Of Python: no user site, no site, no folder of the script, no byte code written, no buffering.
FLAGS = ("-s", "-S", "-P", "-B", "-u")
_KEPT_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # how NumPy rounds must not change

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


def environment() -> dict[str, str]:
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


@dataclass
class ChildWorker:
    """A running worker and what this side holds of it."""

    process: "subprocess.Popen[bytes]"
    pipes: Pipes
    shared: mmap.mmap | None
    hello: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = field(default=False, init=False)
    signals_at: int | None = None  # statuses above it are signals that a program in between saw

    def stop(self, grace_s: float = 0.0) -> int | None:
        """Kills the worker if it is still there after ``grace_s``; reaps it, closes what it had."""
        if self.stopped:
            return self._status()
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
        return self._status()

    def _status(self) -> int | None:
        status = self.process.returncode
        if status is None or self.signals_at is None or status <= self.signals_at:
            return status
        return self.signals_at - status


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


def start_child(
    command: Callable[[str], Sequence[str]],
    limits: Limits,
    orders: Mapping[str, Any],
    ours: ExitStack,
) -> ChildWorker:
    """Starts a worker; ``ours`` closes this side's ends until the worker's own end does.

    Args:
        command: from the orders as text to the whole command.
        limits: what the worker may use.
        orders: what the launcher is told besides its descriptors and limits.
        ours: collects what must be closed if something fails on the way.

    Raises:
        OSError, ValueError, RuntimeError: it could not be started.
    """
    with ExitStack() as theirs:
        request_end, writer = _pipe(theirs, ours)
        reader, reply_end = _pipe(ours, theirs)
        with_memory_file = hasattr(os, "memfd_create")
        shared = _memory_file(limits.region_bytes, theirs) if with_memory_file else None
        region = None
        if shared is not None:
            region = ours.enter_context(mmap.mmap(shared, limits.region_bytes))
        text = json.dumps(
            {
                "requests": request_end,
                "replies": reply_end,
                "shared": shared,
                "region_bytes": limits.region_bytes,
                "memory_bytes": limits.memory_bytes,
                **orders,
            }
        )
        given = [end for end in (request_end, reply_end, shared) if end is not None]
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        process = _starter(os.getpid()).submit(_spawn, command(text), given).result()
        return ChildWorker(process, Pipes(reader, writer), region)


def _spawn(command: Sequence[str], descriptors: list[int]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        pass_fds=descriptors,
        cwd="/",
    )
