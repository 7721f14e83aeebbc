"""Frames on a pipe, as the worker reads and writes them.

A frame is a little-endian 32-bit length, a JSON header of that length, and, where the header's
``blob`` says so, that many raw bytes. The trusted side has its own, stricter reader.
"""

import json
import os
import struct
from typing import Any

LENGTH = struct.Struct("<I")


def read_exact(descriptor: int, count: int) -> bytearray:
    """Reads ``count`` bytes; raises EOFError when the other side is gone."""
    buffer = bytearray()
    while len(buffer) < count:
        piece = os.read(descriptor, min(count - len(buffer), 1 << 20))
        if not piece:
            raise EOFError("the other side closed the pipe")
        buffer += piece
    return buffer


def read_header(descriptor: int) -> dict[str, Any]:
    """Reads the header of the next frame."""
    (length,) = LENGTH.unpack(read_exact(descriptor, LENGTH.size))
    header: dict[str, Any] = json.loads(read_exact(descriptor, length))
    return header


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Writes all of ``content``, which may take several turns on a full pipe."""
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_frame(descriptor: int, header: dict[str, Any], blob: bytes | memoryview = b"") -> None:
    """Writes one frame; ``blob`` follows the header and is announced in it."""
    if len(blob):
        header = {**header, "blob": memoryview(blob).nbytes}
    text = json.dumps(header, ensure_ascii=True, allow_nan=False).encode()
    write_all(descriptor, LENGTH.pack(len(text)) + text)
    if len(blob):
        write_all(descriptor, blob)
