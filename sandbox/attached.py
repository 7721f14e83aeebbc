"""Pipes that are a container's attached streams: the engine's frames are taken off here.

An engine sends what a container writes in pieces, each with the number of its stream and a length,
cut anywhere. Stream 1 carries the worker's replies; on stream 2 the container's first process says
how the worker ended.
"""

import contextlib
import re
import select
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from typing import cast

from rewardsmith.sandbox.wire import Pipes, WireError, in_time, wait_for

_PIECE = 1 << 20
_FRAME = struct.Struct(">BxxxL")
_REPLIES, _REPORT = 1, 2
_MOST_REPORT = 4096
_ENDED = re.compile(rb"worker ended (-?\d{1,3})\n")
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass
class Demultiplexer:
    """Takes bytes as they come; gives what either stream carried."""

    replies: bytearray = field(default_factory=bytearray)
    report: bytearray = field(default_factory=bytearray)
    _partial: bytearray = field(default_factory=bytearray)
    _stream: int = 0
    _left: int = 0

    def feed(self, piece: bytes) -> None:
        """Sorts a piece of any size.

        Raises:
            WireError: the engine spoke of a stream that there is not.
        """
        rest = memoryview(piece)
        while rest:
            if self._left:
                rest = self._take(rest)
                continue
            missing = _FRAME.size - len(self._partial)
            self._partial += rest[:missing]
            rest = rest[missing:]
            if len(self._partial) == _FRAME.size:
                self._stream, self._left = _FRAME.unpack(self._partial)
                self._partial.clear()
                if self._stream not in (_REPLIES, _REPORT):
                    raise WireError("protocol_error", f"the engine named stream {self._stream}")

    def _take(self, rest: memoryview) -> memoryview:
        content = rest[: self._left]
        self._left -= len(content)
        if self._stream == _REPLIES:
            self.replies += content
        else:
            self.report += content[: max(_MOST_REPORT - len(self.report), 0)]
        return rest[len(content) :]

    def status(self) -> int | None:
        """How the worker ended, if that was said."""
        found = _ENDED.search(self.report)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class AttachedPipes(Pipes):
    """The one socket that carries both directions; ``reader`` and ``writer`` are its descriptor."""

    connection: socket.socket
    owner: object  # of the socket: the client library closes it when this goes away
    streams: Demultiplexer = field(default_factory=Demultiplexer)

    @classmethod
    def over(cls, attached: object) -> "AttachedPipes":
        """Takes over what the engine's client attached: a socket, or something around one."""
        connection = cast(socket.socket, getattr(attached, "_sock", attached))
        connection.setblocking(False)
        return cls(connection.fileno(), connection.fileno(), connection, attached)

    def waiting(self) -> bool:
        """Whether the worker said something unasked; its end is nothing said."""
        with contextlib.suppress(WireError, OSError):
            while not self.streams.replies and self._fed():
                pass
        return bool(self.streams.replies)

    def ended(self, *, deadline: float) -> bool:
        """Waits until the container's streams end, and drops what still comes; False if late."""
        try:
            while time.monotonic() < deadline:
                self.streams.replies.clear()
                if not self._fed():
                    wait_for(self.reader, select.POLLIN, deadline)
        except WireError as error:
            return error.fault == "exited"
        except OSError:
            return True
        return False

    def close(self) -> None:
        """Gives up the lease: the container ends."""
        # At once: ``close`` alone waits for whoever else holds the socket, as its owner may.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def _fed(self) -> bool:
        """Takes one piece from the socket; False where there is none yet."""
        try:
            piece = self.connection.recv(_PIECE)
        except _NOT_YET:
            return False
        if not piece:
            raise WireError("exited", "the worker is gone")
        self.streams.feed(piece)
        return True

    def _write(self, rest: memoryview, deadline: float) -> None:
        while rest.nbytes:
            try:
                rest = rest[self.connection.send(rest[:_PIECE]) :]
            except _NOT_YET:
                wait_for(self.writer, select.POLLOUT, deadline)
            except OSError:
                raise WireError("exited", "the worker is gone") from None

    def _read(self, count: int, deadline: float) -> bytes:
        replies = self.streams.replies
        while len(replies) < count:
            try:
                came = self._fed()
            except OSError:
                raise WireError("exited", "the engine closed the connection") from None
            if not came:
                wait_for(self.reader, select.POLLIN, deadline)
            elif len(replies) < count:
                in_time(deadline)
        content = bytes(memoryview(replies)[:count])
        del replies[:count]
        return content
