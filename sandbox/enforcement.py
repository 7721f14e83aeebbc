"""The enforcement self-test: a worker tries every door, and what opened is named with its remedy.

Asking a system what it supports proves nothing, so every promise is tried: from behind all walls,
and, where a backend has walls of its own around the launcher's, from behind those alone.
"""

import os
import platform
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.backend import Limits, SelfTest, Worker
from rewardsmith.sandbox.guarantees import Check, Guarantee, proven
from rewardsmith.sandbox.wire import WireError, cleaned

# What CUDA does itself: it starts threads at any time, and reserves more than there is memory.
OPEN_ON_GPU = ("start a thread", "go over the memory limit")


class Start(Protocol):
    """Starts a worker that tries what ``probe`` says and reports."""

    def __call__(self, limits: Limits, probe: Mapping[str, Any] | None = None) -> Worker:
        """Returns the worker, locked in."""
        ...


@contextmanager
def _bait(outer: Mapping[str, Any] | None, limits: Limits) -> Iterator[dict[str, Any]]:
    """Lays out what must not be reached: a file that all may read, and two listeners."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="rewardsmith-probe-")))
        canary = folder / "canary"
        canary.write_text("found\n")
        canary.chmod(0o644)
        folder.chmod(0o755)
        probe: dict[str, Any] = {
            "canary": str(canary),
            "parent": os.getpid(),
            "memory_bytes": limits.memory_bytes,
            "machine": platform.machine(),
            "left_out": OPEN_ON_GPU if limits.arrays.gpu is not None else (),
        }
        if outer is not None:
            probe["outer"] = {**outer, **_listeners(held), "canary": str(canary)}
        yield probe


def _listeners(held: ExitStack) -> dict[str, Any]:
    inet = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    local = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    name = f"rewardsmith-probe-{os.getpid()}-{inet.getsockname()[1]}"
    local.bind(f"\0{name}")
    local.listen(1)
    return {"port": inet.getsockname()[1], "abstract": name}


def prove(
    backend: str,
    start: Start,
    guarantees: Mapping[str, Guarantee],
    remedy: str,
    outer: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> SelfTest:
    """Starts a worker, lets it try every door, and returns what it found; never raises.

    Args:
        backend: its name.
        start: how it starts a worker.
        guarantees: what it promises to hold; a hard one counts only where its trials were made.
        remedy: what to do where one does not.
        outer: what to try from behind the backend's own walls, before the launcher's stand.
        limits: what the worker may use, and is to try to exceed.
    """
    began = time.monotonic()
    with _bait(outer, limits) as probe:
        try:
            worker = start(limits, probe)
        except SandboxUnavailable as error:
            advice = "" if remedy in str(error) else remedy
            return SelfTest(backend, (Check("starts confined", False, str(error), advice),))
        start_ms = (time.monotonic() - began) * 1000
        try:
            found, _ = worker.pipes.receive(deadline=time.monotonic() + limits.start_s)
        except WireError as error:
            worker.stop()
            return SelfTest(backend, (Check("answers the self-test", False, str(error), remedy),))
        last = _flood_and_end(worker, limits, remedy)
    start_ms -= _own_ms(found)
    checks = _checks(found, remedy)
    if outer is not None:
        checks += _outer_checks(found, backend, remedy)
    checks += last
    facts = {name: cleaned(str(value), 80) for name, value in worker.hello.items()}
    return SelfTest(backend, checks, proven(guarantees, checks), facts, start_ms)


def _flood_and_end(worker: Worker, limits: Limits, remedy: str) -> tuple[Check, ...]:
    """Takes up a worker that now sends without end, and ends it: is it cut off, and gone?"""
    ours = os.dup(worker.pipes.reader)
    try:
        cut_off = False
        try:
            worker.pipes.receive(deadline=time.monotonic() + limits.start_s)
        except WireError as error:
            cut_off = error.fault == "protocol_error"
        with ThreadPoolExecutor(1) as draining:
            # Read all the while: an engine removes nothing whose output nobody takes.
            end = draining.submit(_ends_within, ours, limits.start_s)
            worker.stop()
            gone = end.result()
    finally:
        worker.stop()
        os.close(ours)
    return (
        _tried("send more than was asked for", not cut_off, remedy),
        _tried("outlive its end", not gone, remedy),
    )


def _ends_within(descriptor: int, seconds: float) -> bool:
    """Whether nobody holds the other end of a pipe or connection any more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not os.read(descriptor, 1 << 20):
                return True
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:
            return True
    return False


def _own_ms(found: Mapping[str, Any]) -> int:
    """What of the start was spent on trying a backend's own walls."""
    outer = found.get("outer")
    took = outer.get("took_ms") if isinstance(outer, dict) else None
    return took if type(took) is int else 0


def _checks(found: Mapping[str, Any], remedy: str) -> tuple[Check, ...]:
    strangers = found.get("environment")
    doors = _doors(found, "", remedy)
    if not isinstance(strangers, list) or not doors:
        return (Check("answers the self-test", False, "the answer was not understood", remedy),)
    names = ", ".join(cleaned(str(name), 60) for name in strangers[:10])
    return (*doors, Check("has a clean environment", not strangers, names or "only the allow-list"))


def _outer_checks(found: Mapping[str, Any], backend: str, remedy: str) -> tuple[Check, ...]:
    outer = found.get("outer")
    doors = _doors(outer, f"{backend} alone: ", remedy) if isinstance(outer, dict) else ()
    if not doors:
        return (Check(f"{backend} alone", False, "its own walls were not tried", remedy),)
    return doors


def _doors(found: Mapping[str, Any], prefix: str, remedy: str) -> tuple[Check, ...]:
    opened, tried = found.get("opened"), found.get("tried")
    if not (isinstance(opened, list) and isinstance(tried, list)):
        return ()
    return tuple(_tried(cleaned(str(door), 60), door in opened, remedy, prefix) for door in tried)


def _tried(door: str, opened: bool, remedy: str, prefix: str = "") -> Check:
    found = "it could" if opened else "denied"
    return Check(f"{prefix}cannot {door}", not opened, found, remedy if opened else "")
