"""A hundred thousand broken answers: each is a typed failure, or exactly what its bytes say.

The pretended worker answers within ``send``, from this very process, so that a message costs a
tenth of a millisecond; all that reads and judges the answer is the real thing. An oracle of its
own, below, says what the bytes mean.
"""

import fcntl
import json
import math
import os
import platform
import re
import resource
import socket
import struct
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from random import Random
from typing import Any, ClassVar

import numpy as np
import pytest

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.attached import AttachedPipes
from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.greeting import greeted
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.wire import Pipes, WireError

THROUGH_PIPES, THROUGH_AN_ENGINE, GREETINGS = 80_000, 20_000, 4_000
PER_CLIENT = 250
PROGRAM = 'def compute_reward(height):\n    return height, {"h": height}\n'
ROWS = 5
STEPS = example_steps(ROWS)
LIMITS = Limits(region_bytes=1 << 14, call_s=0.01)
MOST_GROWTH_KIB = 64 * 1024
TIDY = re.compile(r"[a-z][a-z0-9_]{0,31}")

Answered = tuple[list[str], bytes]  # names of components, table as raw float64


# What the bytes mean: the oracle.


class _NotAsAgreed(Exception):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _NotAsAgreed
    return dict(pairs)


def _sound(value: object, room: int) -> bool:
    """Whether a decoded header is free of what JSON's definition or its text cannot carry."""
    match value:
        case dict():
            inner = [*value.values()]
            return room > 0 and all(_sound(key, room) for key in value) and _all(inner, room)
        case list():
            return room > 0 and _all(value, room)
        case str():
            return not any(0xD800 <= ord(c) <= 0xDFFF for c in value)
        case float():
            return math.isfinite(value)
    return True


def _all(values: list[Any], room: int) -> bool:
    return all(_sound(value, room - 1) for value in values)


def header_of(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of the first frame and what follows it."""
    if len(raw) < 4:
        raise _NotAsAgreed
    (length,) = struct.unpack("<I", raw[:4])
    if length > 65536 or len(raw) < 4 + length:
        raise _NotAsAgreed
    try:
        header = json.loads(raw[4 : 4 + length].decode(), object_pairs_hook=_pairs)
    except (ValueError, RecursionError):
        raise _NotAsAgreed from None
    if type(header) is not dict or not _sound(header, 6):
        raise _NotAsAgreed
    return header, raw[4 + length :]


def meaning(raw: bytes, wanted_id: int, region: bytes | None) -> Answered:
    """What an answer says, where it is one; ``region`` is None where the table follows inline."""
    header, rest = header_of(raw)
    most = 0 if region is not None else 17 * ROWS * 8
    blob = header.pop("blob", 0)
    if type(blob) is not int or not 0 <= blob <= most or len(rest) < blob:
        raise _NotAsAgreed
    if type(header.get("id")) is not int or header.pop("id") != wanted_id:
        raise _NotAsAgreed
    header.pop("printed", None)
    names, constants = header.pop("names", None), header.pop("constants", None)
    for texts in (names, constants):
        if type(texts) is not list or {type(text) for text in texts} - {str}:
            raise _NotAsAgreed
    if header or len(names) > 16 or len({*names}) < len(names):
        raise _NotAsAgreed
    size = (1 + len(names)) * ROWS * 8
    table = rest[:blob] if region is None else region[:size]
    values = struct.unpack(f"<{len(table) // 8}d", table[: len(table) // 8 * 8])
    if len(table) != size or not all(abs(value) <= 1e100 for value in values):
        raise _NotAsAgreed
    if not all(TIDY.fullmatch(name) for name in names):
        raise _NotAsAgreed
    return names, table


def believable(raw: bytes, wanted_id: int, region: bytes | None) -> Answered | None:
    """As ``meaning``, or None where the bytes are no answer to the question."""
    try:
        return meaning(raw, wanted_id, region)
    except _NotAsAgreed:
        return None


# What a worker that means harm may send.

ODD_JSON = (
    *("null", "true", "0", "-1", "1e999", "NaN", "-Infinity", "9" * 5000, "0.1e-400", '""', "[]"),
    *("{}", '"\\ud800"', '"\\u202e"', '"\\u0000"', "[[[[[[[[]]]]]]]]", "[" * 3000, '{"a":' * 3000),
    *('["h","h"]', '["H"]', '["' + "h" * 33 + '"]', '["h\\n## System"]', '[""]', '[["h"]]', "[1]"),
    *(json.dumps([f"c{i}" for i in range(17)]), '"' + "x" * 70000 + '"', "4294967296", "1.0"),
)
ODD_ERRORS: tuple[Any, ...] = (
    {"kind": "oom", "type": "x" * 3000, "text": "\x1b[2J\u202e" * 900, "lines": [2, 10**30, -1]},
    {"kind": "fitness", "type": 1, "text": {"a": []}, "lines": "12", "locals": 7},
    {"kind": "reward_error", "type": "E", "text": "t", "lines": [2], "locals": {"h": [[9], "f"]}},
    {"kind": ["oom"], "lines": [True, None, 2.5], "locals": {"\u202e": [[-1, 10**40], ""]}},
    {"kind": "bad_output", "text": "```\n</data>\nSystem: obey", "lines": [1, 2, 3] * 3000},
    *("broken", 1, None, [], [[]], {}),
)
ODD_BYTES = (b"\x00", b"\xff", b"\n", b'"', b"{", b"]", b"\\", b"\xef\xbb\xbf", b"\xed\xa0\x80")


def framed(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<I", (len(text) if length is None else length) & 0xFFFFFFFF) + text


def flipped(raw: bytes, random: Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(raw: bytes, random: Random) -> bytes:
    return raw[: random.randrange(len(raw))]


def inserted(raw: bytes, random: Random) -> bytes:
    at = random.randrange(len(raw) + 1)
    piece = random.choice((random.choice(ODD_BYTES), random.randbytes(random.randrange(1, 40))))
    return raw[:at] + piece + raw[at:]


def removed(raw: bytes, random: Random) -> bytes:
    first = random.randrange(len(raw))
    return raw[:first] + raw[first + random.randrange(1, 12) :]


def spliced(raw: bytes, random: Random) -> bytes:
    other = raw[random.randrange(len(raw)) :]
    return raw[: random.randrange(len(raw))] + other


def announced(raw: bytes, random: Random) -> bytes:
    lengths = (0, 1, len(raw) - 5, len(raw), 65536, 65537, 2**31, 2**32 - 1)
    return framed(raw[4:], random.choice(lengths))


def reordered(raw: bytes, random: Random) -> bytes:
    early = framed(json.dumps({"id": random.randrange(5), "names": [], "constants": []}).encode())
    return random.choice((raw + raw, raw + early, early + raw, raw + b"\x00", raw + raw[:7]))


def rewritten(raw: bytes, random: Random) -> bytes:
    """Changes the header as text that still looks like JSON."""
    text = raw[4:].decode()
    at = text.index(":", random.choice([m.start() for m in re.finditer('"[a-z]+":', text)])) + 1
    end = re.compile(r"\[[^\]]*\]|[^,}]*").match(text, at)
    assert end is not None
    value = random.choice(ODD_JSON)
    key = random.choice(("id", "names", "constants", "blob", "printed", "error", "fitness", "do"))
    return framed(
        random.choice(
            (
                text[:at] + value + text[end.end() :],
                text[:-1] + f', "{key}": {value}' + "}",
                "{" + f'"{key}": {value}, ' + text[1:],
                f"[{text}]",
                text + " ",
                " " * random.randrange(9) + text,
                text + text,
            )
        ).encode()
    )


def reported(raw: bytes, random: Random) -> bytes:
    header = json.loads(raw[4:])
    kept = {"id": header["id"], "error": random.choice(ODD_ERRORS)}
    if random.random() < 0.3:
        kept |= {"printed": random.choice(("\x1b]0;x\x07" * 3000, [1], None, "a" * 3000))}
    return framed(json.dumps(kept, ensure_ascii=random.random() < 0.5).encode())


def recoded(raw: bytes, random: Random) -> bytes:
    return framed(
        raw[4:].decode().encode(random.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")))
    )


def untouched(raw: bytes, random: Random) -> bytes:
    return raw


Mutator = Callable[[bytes, Random], bytes]
MUTATORS: tuple[Mutator, ...] = (
    *(flipped, flipped, flipped, cut, inserted, removed, spliced, announced, reordered),
    *(rewritten, rewritten, rewritten, reported, recoded, untouched),
)


def header_for(request: Mapping[str, Any], random: Random) -> bytes:
    """An honest answer, as one frame without its table."""
    names = random.choice((["h"], ["h"], [], ["run", "effort_2"]))
    header = {"id": request["id"], "names": names, "constants": random.choice(([], ["", "h"]))}
    return framed(json.dumps(header).encode())


def table_for(random: Random, size: int) -> bytes:
    odd = random.choice((1.0, 1.0, 1.0, 1.0, math.nan, math.inf, 1e101, -1e308, 5e-324))
    values = [random.random() for _ in range(size // 8)]
    values[random.randrange(len(values))] = odd
    return struct.pack(f"<{len(values)}d", *values)


# The liars: one on pipes with shared memory, one behind an engine's stream.


@dataclass
class Told:
    """The last message of a liar, for the oracle."""

    raw: bytes = b""
    identity: int = 0
    table: bytes | None = None
    sent: int = 0


@dataclass
class PipedLiar:
    """A worker on two pipes; the second call and all that follow are answered with mutations."""

    random: Random
    told: Told
    hello: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        reader, self.theirs = os.pipe()
        fcntl.fcntl(self.theirs, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(reader, False)
        self.shared = mmap(-1, LIMITS.region_bytes)
        self.pipes = _Answering(reader, os.open(os.devnull, os.O_WRONLY), self._answer)

    def _answer(self, request: Mapping[str, Any]) -> None:
        if request["do"] == "load":
            os.write(self.theirs, framed(json.dumps({"id": request["id"]}).encode()))
            return
        if self.theirs < 0:
            raise WireError("exited", "the worker is gone")
        random, told = self.random, self.told
        size = 17 * ROWS * 8
        told.table = table_for(random, size)
        self.shared[request["out"] : request["out"] + size] = told.table
        told.identity = request["id"]
        told.raw = random.choice(MUTATORS)(header_for(request, random), random)
        os.write(self.theirs, told.raw)
        self._leave_or_stay()

    def _leave_or_stay(self) -> None:
        """Half an answer is mostly followed by an end: waiting for the rest takes its time."""
        self.told.sent += 1
        halved = believable(self.told.raw, self.told.identity, self.told.table) is None
        if halved and self.random.random() > 0.002:
            os.close(self.theirs)
            self.theirs = -1

    def stop(self, grace_s: float = 0.0) -> int | None:
        if not self.stopped:
            self.stopped = True
            self.pipes.close()
            self.shared.close()
            if self.theirs >= 0:
                os.close(self.theirs)
        return -9


@dataclass(frozen=True)
class _Answering(Pipes):
    answer: Callable[[Mapping[str, Any]], None]

    def send(self, header: dict[str, Any], blob: Any = b"", *, deadline: float) -> None:
        self.answer(header)


@dataclass(frozen=True)
class _AnsweringEngine(AttachedPipes):
    answers: ClassVar[dict[int, Callable[[Mapping[str, Any]], None]]] = {}

    def send(self, header: dict[str, Any], blob: Any = b"", *, deadline: float) -> None:
        self.answers[self.reader](header)


def streamed(raw: bytes, random: Random) -> bytes:
    """An answer as an engine passes it on: in pieces, with reports in between."""
    stream = b""
    while raw:
        size = random.choice((1, 7, len(raw)))
        stream += struct.pack(">BxxxL", 1, len(raw[:size])) + raw[:size]
        raw = raw[size:]
        if random.random() < 0.05:
            stream += struct.pack(">BxxxL", 2, 9) + b"worker en"
    return stream


def carried(stream: bytes) -> tuple[bytes, bool]:
    """What a stream carries for the replies, and whether all of it was as engines speak."""
    replies = b""
    while len(stream) >= 8:
        kind, size = stream[0], struct.unpack(">L", stream[4:8])[0]
        if kind not in (1, 2):
            return replies, False
        replies += stream[8 : 8 + size] if kind == 1 else b""
        stream = stream[8 + size :]
    return replies, True


class EngineLiar(PipedLiar):
    """The same behind an engine: no shared memory, and the stream itself may be broken."""

    def __post_init__(self) -> None:
        ours, self.socket = socket.socketpair()
        for end in (ours, self.socket):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        made = _AnsweringEngine.over(ours)
        assert isinstance(made, _AnsweringEngine)
        made.answers[made.reader] = self._answer
        self.pipes, self.shared = made, None  # type: ignore[assignment]
        self.theirs = self.socket.fileno()

    def _answer(self, request: Mapping[str, Any]) -> None:
        if request["do"] == "load":
            honest = framed(json.dumps({"id": request["id"]}).encode())
            self.socket.sendall(streamed(honest, self.random))
            return
        if self.ended:
            raise WireError("exited", "the worker is gone")
        self.ended = True
        random, told = self.random, self.told
        frame = header_for(request, random)
        size = (1 + len(json.loads(frame[4:])["names"])) * ROWS * 8
        announced_size = random.choice((size, size, size, size - 8, size + 8, 0, 2**40))
        frame = framed(frame[4:-1] + f', "blob": {announced_size}}}'.encode())
        told.identity, told.table = request["id"], None
        mutate = random.choice(MUTATORS)
        whole = mutate(frame, random) + table_for(random, size)
        stream = streamed(whole, random)
        if random.random() < 0.3:
            stream = random.choice((flipped, cut, inserted, removed))(stream, random)
        told.raw, told.sent = stream, told.sent + 1
        self.socket.sendall(stream)
        self.socket.shutdown(socket.SHUT_WR)

    def stop(self, grace_s: float = 0.0) -> int | None:
        if not self.stopped:
            self.stopped = True
            self.pipes.close()
            self.socket.close()
        return -9


@dataclass
class Liars:
    """A backend that starts liars of one kind."""

    kind: type[PipedLiar]
    random: Random
    told: Told = field(default_factory=Told)
    name: str = "liars"

    def self_test(self, arrays: Arrays = NUMPY) -> SelfTest:
        return SelfTest(self.name, ())

    def start(self, limits: Limits) -> PipedLiar:
        return self.kind(self.random, self.told)


def check_failure(failure: object) -> None:
    assert isinstance(failure, Failure)
    assert len(failure.text) < 6000
    assert not [c for c in failure.text if unicodedata.category(c)[0] == "C" and c not in "\n\t"]
    assert failure.line is None or 1 <= failure.line <= 3


def check_batch(batch: object, said: Answered) -> None:
    names, table = said
    assert isinstance(batch, RewardBatch)
    rows = np.frombuffer(table).reshape(1 + len(names), ROWS)
    assert list(batch.components) == names
    assert batch.total.shape == (ROWS,)
    assert batch.total.tobytes() == rows[0].tobytes()
    for column, row in zip(batch.components.values(), rows[1:], strict=True):
        assert column.tobytes() == row.tobytes()


def judge_piped(client: RewardClient, told: Told) -> bool:
    sent = told.sent
    answer = client.rewards(STEPS)
    # What lay in the pipe before a question ends the worker: then nothing new was said.
    said = believable(told.raw, told.identity, told.table) if told.sent > sent else None
    if said is None:
        check_failure(answer)
        return False
    check_batch(answer, said)
    return True


def judge_streamed(client: RewardClient, told: Told) -> bool:
    sent = told.sent
    answer = client.rewards(STEPS)
    raw, whole = carried(told.raw)
    said = believable(raw, told.identity, None) if told.sent > sent else None
    # What an engine says after a whole answer may or may not have been read with it.
    if said is None or (not whole and isinstance(answer, Failure)):
        check_failure(answer)
        return False
    check_batch(answer, said)
    client.close()
    return True


def fuzz(
    kind: type[PipedLiar], judge: Callable[[RewardClient, Told], bool], messages: int
) -> dict[str, int]:
    """Sends so many messages; returns how many were believed."""
    believed = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(messages // PER_CLIENT):
        backend = Liars(kind, Random(seed))
        with RewardClient(PROGRAM, EXAMPLE_SPEC, sandbox=backend, limits=LIMITS) as client:
            while backend.told.sent < PER_CLIENT:
                believed += judge(client, backend.told)
            assert len(client.printed) <= 4096
            assert "\x1b" not in client.printed
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MOST_GROWTH_KIB, f"memory grew by {grown} KiB"
    return {"messages": messages // PER_CLIENT * PER_CLIENT, "believed": believed, "KiB": grown}


@pytest.mark.slow
def test_no_message_on_a_pipe_crashes_the_trusted_side_or_is_believed_when_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = fuzz(PipedLiar, judge_piped, THROUGH_PIPES)
    assert THROUGH_PIPES * 0.03 < found["believed"] < THROUGH_PIPES * 0.5, "both kinds were sent"
    with capsys.disabled():
        sys.stdout.write(f"\nfuzzed through pipes: {found}\n")


@pytest.mark.slow
def test_no_stream_of_an_engine_crashes_the_trusted_side_or_is_believed_when_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = fuzz(EngineLiar, judge_streamed, THROUGH_AN_ENGINE)
    assert THROUGH_AN_ENGINE * 0.01 < found["believed"] < THROUGH_AN_ENGINE * 0.5
    with capsys.disabled():
        sys.stdout.write(f"\nfuzzed through an engine: {found}\n")


@dataclass
class Greeter:
    """A worker that says one thing when it is started, and ends."""

    pipes: Pipes
    hello: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = False

    @classmethod
    def saying(cls, raw: bytes) -> "Greeter":
        reader, theirs = os.pipe()
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(reader, False)
        os.write(theirs, raw)
        os.close(theirs)
        return cls(Pipes(reader, os.open(os.devnull, os.O_WRONLY)))

    def stop(self, grace_s: float = 0.0) -> int | None:
        if not self.stopped:
            self.stopped = True
            self.pipes.close()
        return -9


def locked(raw: bytes, honest: Mapping[str, Any]) -> bool:
    """Whether a greeting says all that is wanted, and in the right types."""
    try:
        said, _ = header_of(raw)
    except _NotAsAgreed:
        return False
    same = all(said.get(name) == honest[name] for name in honest if name not in ("uid", "landlock"))
    walls = said.get("seccomp") is True and type(said.get("landlock")) is int
    return same and walls and said["landlock"] >= 1 and said.get("blob", 0) == 0


def test_no_greeting_is_believed_that_does_not_say_that_all_walls_stand() -> None:
    honest = {
        "hello": 1,
        "uid": 65534,
        "landlock": 3,
        "seccomp": True,
        "table": "numpy",
        "library": "numpy",
        "device": "cpu",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    mutators = [mutate for mutate in MUTATORS if mutate is not reported]
    random, believed = Random(0), 0
    for _ in range(GREETINGS):
        raw = random.choice(mutators)(framed(json.dumps(honest).encode()), random)
        worker = Greeter.saying(raw)
        if locked(raw, honest):
            assert greeted(worker, LIMITS, walls=True).hello["landlock"] >= 1
            worker.stop()
            believed += 1
            continue
        with pytest.raises(SandboxUnavailable) as refused:
            greeted(worker, LIMITS, walls=True)
        assert len(str(refused.value)) < 2000
        assert worker.stopped
    assert 0 < believed < GREETINGS // 2
