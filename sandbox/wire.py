"""Frames on a pipe as the trusted side reads and writes them: strict, capped, never stuck.

What a worker sends is hostile until it has passed here: a length within bounds, JSON without NaN,
repeated keys, lone surrogates or deep nesting, and exactly as many raw bytes as the call expects.
"""

import json
import math
import os
import select
import struct
import time
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

WireFault = Literal["stalled", "exited", "protocol_error"]

HEADER_BYTES = 64 * 1024
MOST_DEPTH = 6
_LENGTH = struct.Struct("<I")
_PIECE = 1 << 20


class WireError(Exception):
    """The worker did not answer as agreed; ``fault`` says which way."""

    def __init__(self, fault: WireFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


def cleaned(text: str, limit: int) -> str:
    """Returns ``text`` fit for a prompt, a terminal or a page: capped, no control characters.

    Line ends and tabs stay; ESC, carriage returns, bidirectional and zero-width characters and
    the line ends that only some programs know (U+2028, U+2029) go.
    """
    kept = (c for c in text[: limit * 4] if c in "\n\t" or not _is_hidden(c))
    plain = "".join(kept)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key is repeated")
    return keys


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not finite")
    return value


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(inner) for inner in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(inner) for inner in value), default=0)
    return 0


def decode(text: bytes) -> dict[str, Any]:
    """Parses a header strictly.

    Raises:
        WireError: ``protocol_error`` with the reason.
    """
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_no_repeats,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates end here
        if not isinstance(value, dict):
            raise ValueError("the header is not an object")
        if _depth(value) > MOST_DEPTH:
            raise ValueError(f"nested deeper than {MOST_DEPTH}")
    except (ValueError, RecursionError) as error:
        raise WireError("protocol_error", f"the worker sent a broken header: {error}") from None
    return value


@dataclass(frozen=True)
class Pipes:
    """The two ends that the trusted side holds; both are non-blocking."""

    reader: int
    writer: int

    def send(
        self, header: dict[str, Any], blob: bytes | memoryview = b"", *, deadline: float
    ) -> None:
        """Writes one frame before ``deadline`` (``time.monotonic()`` seconds)."""
        raw = memoryview(blob).cast("B")
        if raw.nbytes:
            header = {**header, "blob": raw.nbytes}
        text = json.dumps(header, allow_nan=False).encode()
        self._write(memoryview(_LENGTH.pack(len(text)) + text), deadline)
        self._write(raw, deadline)

    def receive(self, *, deadline: float, blob_bytes: int = 0) -> tuple[dict[str, Any], bytes]:
        """Reads one frame before ``deadline``; its blob may have at most ``blob_bytes``."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        if length > HEADER_BYTES:
            limit = f"at most {HEADER_BYTES} are allowed"
            raise WireError("protocol_error", f"the worker announced {length} bytes; {limit}")
        header = decode(self._read(length, deadline))
        size = header.pop("blob", 0)
        if type(size) is not int or not 0 <= size <= blob_bytes:
            raise WireError("protocol_error", "the worker announced more data than was asked for")
        return header, self._read(size, deadline)

    def waiting(self) -> bool:
        """Whether something unasked lies in the pipe; the end of a worker is nothing said."""
        poller = select.poll()  # ``select`` knows no descriptors above 1023
        poller.register(self.reader, select.POLLIN)
        return any(events & select.POLLIN for _, events in poller.poll(0))

    def close(self) -> None:
        """Closes both ends."""
        os.close(self.reader)
        os.close(self.writer)

    def _write(self, rest: memoryview, deadline: float) -> None:
        while rest.nbytes:
            try:
                rest = rest[os.write(self.writer, rest[:_PIECE]) :]
            except BlockingIOError:
                wait_for(self.writer, select.POLLOUT, deadline)
            except OSError:
                raise WireError("exited", "the worker is gone") from None

    def _read(self, count: int, deadline: float) -> bytes:
        buffer = bytearray()
        while len(buffer) < count:
            try:
                piece = os.read(self.reader, min(count - len(buffer), _PIECE))
            except BlockingIOError:
                wait_for(self.reader, select.POLLIN, deadline)
                continue
            if not piece:
                raise WireError("exited", "the worker is gone")
            buffer += piece
            if len(buffer) < count:
                in_time(deadline)  # bytes that drip in are never waited for, nor ever all there
        return bytes(buffer)


def in_time(deadline: float) -> None:
    """Raises WireError ``stalled`` after ``deadline`` (``time.monotonic()`` seconds)."""
    if time.monotonic() >= deadline:
        raise WireError("stalled", "the worker did not answer in time")


def wait_for(descriptor: int, event: int, deadline: float) -> None:
    """Waits until ``event`` of ``select.poll`` comes; raises WireError ``stalled`` if too late."""
    poller = select.poll()
    poller.register(descriptor, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poller.poll(math.ceil(left * 1000)):
        raise WireError("stalled", "the worker did not answer in time")
