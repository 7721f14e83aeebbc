"""The worker's own end of the pipes, over real pipes."""

import json
import os
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.sandbox.inside import frames
from rewardsmith.sandbox.wire import HEADER_BYTES, Pipes


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


HEADERS = st.dictionaries(
    st.text("abcxyz", min_size=1, max_size=5),
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=20)
    | st.lists(st.integers(0, 9), max_size=5),
    max_size=5,
)


@settings(deadline=None)
@given(header=HEADERS, blob=st.binary(max_size=300))
def test_what_the_worker_writes_the_trusted_side_reads(header: dict[str, Any], blob: bytes) -> None:
    reader, writer = os.pipe()
    other, unused = os.pipe()
    os.set_blocking(reader, False)
    try:
        frames.write_frame(writer, header, blob)
        found = Pipes(reader, unused).receive(deadline=time.monotonic() + 1, blob_bytes=300)
        assert found == (header, blob)
    finally:
        for end in (reader, writer, other, unused):
            os.close(end)


@settings(deadline=None)
@given(header=HEADERS, blob=st.binary(max_size=300))
def test_what_the_trusted_side_writes_the_worker_reads(header: dict[str, Any], blob: bytes) -> None:
    reader, writer = os.pipe()
    try:
        Pipes(reader, writer).send(header, blob, deadline=time.monotonic() + 1)
        found = frames.read_header(reader)
        assert found.pop("blob", 0) == len(blob)
        assert found == header
        assert bytes(frames.read_exact(reader, len(blob))) == blob
    finally:
        os.close(reader)
        os.close(writer)


def test_a_closed_pipe_is_the_end(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], struct.pack("<I", 10) + b"{")
    os.close(pipe[1])
    with pytest.raises(EOFError):
        frames.read_header(pipe[0])


def test_more_than_a_pipe_holds_is_written_in_turns(pipe: tuple[int, int]) -> None:
    content, got = os.urandom(1 << 20), bytearray()

    def drain() -> None:
        while len(got) < len(content):
            got.extend(os.read(pipe[0], 1 << 15))

    thread = threading.Thread(target=drain)
    thread.start()
    frames.write_all(pipe[1], content)
    thread.join(10)
    assert bytes(got) == content


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_json_is_never_sent(value: float, pipe: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        frames.write_frame(pipe[1], {"x": value})


def test_the_length_is_little_endian_and_counts_bytes(pipe: tuple[int, int]) -> None:
    frames.write_frame(pipe[1], {"x": "é"})
    raw = os.read(pipe[0], 100)
    assert struct.unpack("<I", raw[:4])[0] == len(raw) - 4
    assert json.loads(raw[4:]) == {"x": "é"}
    assert raw.isascii() or raw[:4] != raw[4:8]
    assert len(raw) < HEADER_BYTES
