"""The trusted end of the pipe believes nothing and never waits for ever."""

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.sandbox.wire import HEADER_BYTES, Pipes, WireError, cleaned, decode


@pytest.fixture
def ends() -> Iterator[tuple[Pipes, int, int]]:
    """Our pipes, and the descriptors on which the other side reads and writes."""
    their_reader, writer = os.pipe()
    reader, their_writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    yield Pipes(reader, writer), their_reader, their_writer
    for end in (reader, writer, their_reader, their_writer):
        try:
            os.close(end)
        except OSError:
            continue


def _soon(seconds: float = 0.2) -> float:
    return time.monotonic() + seconds


def _frame(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"a": ' * 20 + b"1" + b"}" * 20,
        b'{"a": ' + b"1" * 6000 + b"}",
    ],
)
def test_a_broken_header_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode(text)
    assert caught.value.fault == "protocol_error"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_protocol_error(text: bytes) -> None:
    fault = ""
    try:
        value = decode(text)
    except WireError as error:
        fault = error.fault
    assert fault == "protocol_error" or isinstance(value, dict)


def test_a_frame_arrives_with_its_blob(ends: tuple[Pipes, int, int]) -> None:
    pipes, _, theirs = ends
    os.write(theirs, _frame(b'{"id": 1, "blob": 3}') + b"abc")
    assert pipes.receive(deadline=_soon(), blob_bytes=3) == ({"id": 1}, b"abc")


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<I", HEADER_BYTES + 1),
        b"\xff\xff\xff\xff",
        _frame(b'{"blob": 4}'),
        _frame(b'{"blob": -1}'),
        _frame(b'{"blob": true}'),
        _frame(b'{"blob": 1e300}'),
    ],
)
def test_more_than_was_asked_for_is_a_protocol_error(
    sent: bytes, ends: tuple[Pipes, int, int]
) -> None:
    pipes, _, theirs = ends
    os.write(theirs, sent)
    with pytest.raises(WireError) as caught:
        pipes.receive(deadline=_soon(), blob_bytes=3)
    assert caught.value.fault == "protocol_error"


@pytest.mark.parametrize("sent", [b"", b"\x10", b"\x10\0\0\0{", _frame(b'{"blob": 3}') + b"ab"])
def test_half_a_frame_is_a_stall_after_the_deadline(
    sent: bytes, ends: tuple[Pipes, int, int]
) -> None:
    pipes, _, theirs = ends
    os.write(theirs, sent)
    began = time.monotonic()
    with pytest.raises(WireError) as caught:
        pipes.receive(deadline=_soon(0.05), blob_bytes=3)
    assert caught.value.fault == "stalled"
    assert time.monotonic() - began < 2.0


def test_bytes_that_drip_in_are_cut_off_at_the_deadline() -> None:
    """A worker that always has one more byte ready never lets this side wait, nor finish."""
    reader, theirs = os.pipe2(os.O_NONBLOCK | os.O_DIRECT)  # a read takes what one write gave
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 1 << 20)
    try:
        for byte in _frame(b'{"id": 1}' + b" " * 100):
            os.write(theirs, bytes([byte]))
        with pytest.raises(WireError) as caught:
            Pipes(reader, theirs).receive(deadline=_soon(0.0))
    finally:
        os.close(reader)
        os.close(theirs)
    assert caught.value.fault == "stalled"


def test_a_closed_pipe_is_an_exit(ends: tuple[Pipes, int, int]) -> None:
    pipes, their_reader, theirs = ends
    os.close(theirs)
    with pytest.raises(WireError) as caught:
        pipes.receive(deadline=_soon())
    assert caught.value.fault == "exited"
    os.close(their_reader)
    with pytest.raises(WireError) as caught:
        pipes.send({"id": 1}, deadline=_soon())
    assert caught.value.fault == "exited"


def test_a_reader_that_never_reads_does_not_block_us(ends: tuple[Pipes, int, int]) -> None:
    pipes, _, _ = ends
    with pytest.raises(WireError) as caught:
        pipes.send({"id": 1}, bytes(1 << 22), deadline=_soon(0.05))
    assert caught.value.fault == "stalled"


def test_large_blobs_pass_in_pieces(ends: tuple[Pipes, int, int]) -> None:
    pipes, their_reader, _ = ends
    got = bytearray()

    def drain() -> None:
        while len(got) < (1 << 21):
            got.extend(os.read(their_reader, 1 << 16))

    thread = threading.Thread(target=drain)
    thread.start()
    pipes.send({"id": 1}, bytes(1 << 21), deadline=_soon(10))
    thread.join(10)
    assert len(got) > 1 << 21 or not thread.is_alive()


def test_what_speaks_unasked_is_noticed(ends: tuple[Pipes, int, int]) -> None:
    pipes, _, theirs = ends
    assert not pipes.waiting()
    os.write(theirs, b"x")
    assert pipes.waiting()


@given(st.text())
def test_cleaned_text_has_no_control_or_format_characters(text: str) -> None:
    clean = cleaned(text, 50)
    assert len(clean) <= 50
    assert not set(clean) & set("\x1b\r\x00\u202e\u200b\ufeff\u2066")


def test_cleaning_keeps_what_people_write() -> None:
    assert cleaned("Größe: 1\n\té 2 ok", 100) == "Größe: 1\n\té 2 ok"
    assert cleaned("x" * 100, 10) == "x" * 9 + "…"
