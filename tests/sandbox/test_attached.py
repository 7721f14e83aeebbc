"""A container's attached streams: cut anywhere, endless or broken, they are read as frames."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.sandbox.attached import AttachedPipes, Demultiplexer
from rewardsmith.sandbox.inside import frames
from rewardsmith.sandbox.wire import WireError

Ends = tuple[AttachedPipes, socket.socket]


def _piece(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(content)) + content


@pytest.fixture
def ends() -> Iterator[Ends]:
    mine, theirs = socket.socketpair()
    yield AttachedPipes.over(mine), theirs
    theirs.close()
    mine.close()


def _soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=20),
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_pieces_may_be_cut_anywhere(written: list[tuple[int, bytes]], sizes: list[int]) -> None:
    whole = b"".join(_piece(stream, content) for stream, content in written)
    streams, at, turn = Demultiplexer(), 0, 0
    while at < len(whole):
        size = sizes[turn % len(sizes)]
        streams.feed(whole[at : at + size])
        at, turn = at + size, turn + 1
    assert bytes(streams.replies) == b"".join(c for stream, c in written if stream == 1)
    assert bytes(streams.report) == b"".join(c for stream, c in written if stream == 2)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(content: bytes) -> None:
    streams = Demultiplexer()
    with contextlib.suppress(WireError):
        streams.feed(content)
    assert len(streams.replies) + len(streams.report) <= len(content)


def test_the_report_is_capped_and_read() -> None:
    streams = Demultiplexer()
    assert streams.status() is None
    streams.feed(_piece(2, b"worker ended -11\n"))
    assert streams.status() == -11
    streams.feed(_piece(2, b"x" * 100_000))
    assert len(streams.report) <= 4096


def _framed(header: dict[str, object]) -> bytes:
    text = json.dumps(header).encode()
    return frames.LENGTH.pack(len(text)) + text


def test_a_reply_comes_through_in_many_pieces(ends: Ends) -> None:
    pipes, theirs = ends
    content = _framed({"id": 1, "blob": 5}) + b"12345"
    for byte in content:
        theirs.sendall(_piece(1, bytes([byte])))
    header, blob = pipes.receive(deadline=_soon(), blob_bytes=5)
    assert (header, blob) == ({"id": 1}, b"12345")
    assert not pipes.waiting()


def test_what_was_not_asked_for_is_noticed(ends: Ends) -> None:
    pipes, theirs = ends
    assert not pipes.waiting()
    theirs.sendall(_piece(2, b"a word of the watchdog's"))
    assert not pipes.waiting(), "that stream is not the worker's"
    theirs.sendall(_piece(1, b"x"))
    time.sleep(0.05)
    assert pipes.waiting()


def test_a_large_request_is_sent_in_turns(ends: Ends) -> None:
    pipes, theirs = ends
    blob = bytes(range(256)) * 40_000
    got = bytearray()

    def read() -> None:
        while len(got) < len(blob):
            got.extend(theirs.recv(1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    pipes.send({"id": 1}, blob, deadline=_soon(20))
    reader.join(20)
    assert got.endswith(blob[-1000:])


def test_silence_is_a_stall_and_an_end_is_an_end(ends: Ends) -> None:
    pipes, theirs = ends
    with pytest.raises(WireError) as caught:
        pipes.receive(deadline=_soon(0.05))
    assert caught.value.fault == "stalled"
    assert not pipes.ended(deadline=_soon(0.05))
    theirs.close()
    with pytest.raises(WireError) as caught:
        pipes.receive(deadline=_soon())
    assert caught.value.fault == "exited"
    assert pipes.ended(deadline=_soon())
    assert not pipes.waiting()


def test_a_flood_does_not_keep_the_end_from_being_judged(ends: Ends) -> None:
    pipes, theirs = ends
    stop = threading.Event()

    def flood() -> None:
        try:
            while not stop.is_set():
                theirs.sendall(_piece(1, b"x" * 4096))
        except OSError:
            return

    writer = threading.Thread(target=flood)
    writer.start()
    began = time.monotonic()
    assert not pipes.ended(deadline=_soon(0.2))
    assert time.monotonic() - began < 2.0
    stop.set()
    pipes.close()
    writer.join(5)


def test_bytes_that_drip_in_are_cut_off_at_the_deadline() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        pipes = AttachedPipes.over(mine)
        for _ in range(100):
            theirs.send(_piece(1, b"\x01"))
        with pytest.raises(WireError) as caught:
            pipes.receive(deadline=_soon(0.0))
    assert caught.value.fault == "stalled"


def test_closing_gives_up_the_lease_whoever_else_holds_the_socket() -> None:
    """Else an engine goes on copying a flood, and takes half a minute to end the container."""
    mine, theirs = socket.socketpair()
    with theirs, mine.makefile("rb"):
        AttachedPipes.over(mine).close()
        theirs.settimeout(5)
        assert theirs.recv(1) == b""


def test_a_stream_that_no_engine_has_is_a_protocol_error(ends: Ends) -> None:
    pipes, theirs = ends
    theirs.sendall(_piece(7, b"x"))
    with pytest.raises(WireError, match="stream 7"):
        pipes.receive(deadline=_soon())
