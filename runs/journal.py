"""An append-only file of JSON lines: the only truth about a run.

An event is on disk when ``append`` returns. A last line that a killed writer tore is dropped; any
other bad line is an error with its number.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewardsmith.errors import StoreError

VERSION = 1


@dataclass(frozen=True)
class Event:
    """One line: what happened (``kind``), when (ISO 8601, UTC) and its facts."""

    kind: str
    at: str
    data: Mapping[str, Any]


def utc_now() -> str:
    """Returns the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Journal:
    """The journal at ``path``; any process may append at any time."""

    def __init__(self, path: Path, clock: Callable[[], str] = utc_now) -> None:
        self.path = path
        self._clock = clock

    def append(self, kind: str, data: Mapping[str, Any]) -> Event:
        """Writes one event and returns it once it is on disk.

        Raises:
            StoreError: the disk is full or the file cannot be written; nothing half-written stays.
        """
        event = Event(kind, self._clock(), data)
        line = json.dumps(
            {"v": VERSION, "kind": kind, "at": event.at, "data": data},
            separators=(",", ":"),
            allow_nan=False,
        )
        with self._locked() as fd:
            end = _end_of_whole_lines(fd)
            try:
                os.ftruncate(fd, end)
                _write_all(fd, line.encode() + b"\n", end)
                os.fsync(fd)
            except OSError as error:
                _truncate_quietly(fd, end)
                raise StoreError(
                    f"{self.path}: {error.strerror}; nothing of event {kind!r} was kept. "
                    "Free some space or check the folder's rights, then run the same command again"
                ) from error
        return event

    def read(self) -> tuple[Event, ...]:
        """Returns all events in order.

        Raises:
            StoreError: a line other than a torn last one is not an event.
        """
        if not self.path.exists():
            return ()
        raw = self.path.read_bytes()
        lines = raw.split(b"\n")
        torn = lines.pop()  # b"" after a whole last line
        del torn
        return tuple(self._parse(number, line) for number, line in enumerate(lines, 1))

    def _parse(self, number: int, line: bytes) -> Event:
        try:
            value = json.loads(line)
            version, kind, at, data = value["v"], value["kind"], value["at"], value["data"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreError(
                f"{self.path}, line {number}: not a journal event ({error}). "
                f"Restore the file, or cut it before line {number} to go on from there: "
                f"head -n {number - 1}"
            ) from error
        if version != VERSION:
            raise StoreError(
                f"{self.path}, line {number}: journal version {version}, this rewardsmith reads "
                f"version {VERSION}; use the rewardsmith that wrote it"
            )
        return Event(kind, at, data)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def _end_of_whole_lines(fd: int) -> int:
    """Returns the offset after the last newline; what follows was torn by a killed writer."""
    size = os.fstat(fd).st_size
    end = size
    while end > 0:
        start = max(0, end - 4096)
        block = os.pread(fd, end - start, start)
        newline = block.rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _write_all(fd: int, payload: bytes, offset: int) -> None:
    while payload:
        written = os.pwrite(fd, payload, offset)
        payload, offset = payload[written:], offset + written


def _truncate_quietly(fd: int, end: int) -> None:
    try:
        os.ftruncate(fd, end)
    except OSError:  # the next append truncates again; a torn last line is never read
        return
