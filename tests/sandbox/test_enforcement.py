"""The last two trials of a self-test notice a worker that is not cut off or does not end."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from rewardsmith.sandbox.backend import Limits, SelfTest
from rewardsmith.sandbox.enforcement import prove
from rewardsmith.sandbox.guarantees import Guarantee
from rewardsmith.sandbox.inside import frames
from rewardsmith.sandbox.wire import Pipes

CLAIMED: dict[str, Guarantee] = {"time": "hard", "output": "hard", "cpu": "soft"}
FOUND = {"tried": ["read a file"], "opened": [], "environment": []}


@dataclass
class Pretended:
    """A worker that sends what it is told to, and whose end can be held open by another."""

    after: bytes
    held: int | None = None
    hello: dict[str, Any] = field(default_factory=dict)
    shared: None = None

    def __post_init__(self) -> None:
        reader, self.writer = os.pipe()
        os.set_blocking(reader, False)
        self.pipes = Pipes(reader, os.dup(self.writer))
        if self.held is not None:
            os.dup2(self.writer, self.held)
        threading.Thread(target=self._speak).start()

    def _speak(self) -> None:
        frames.write_frame(self.writer, FOUND)
        os.write(self.writer, self.after)

    def stop(self, grace_s: float = 0.0) -> int | None:
        if self.writer >= 0:
            os.close(self.writer)
            self.pipes.close()
            self.writer = -1
        return -9


@pytest.fixture
def spare() -> Iterator[int]:
    """A descriptor that somebody else holds."""
    number = os.open(os.devnull, os.O_RDONLY)
    yield number
    os.close(number)


def proved(worker: Pretended) -> SelfTest:
    return prove(
        "pretended",
        lambda limits, probe=None: worker,
        CLAIMED,
        "mend it",
        limits=Limits(start_s=0.3),
    )


def test_a_worker_that_is_cut_off_and_gone_proves_both() -> None:
    found = proved(Pretended(b"\xff" * 4096))
    assert found.passed
    assert found.guarantees == CLAIMED


def test_a_worker_that_is_listened_to_proves_nothing_of_its_output() -> None:
    found = proved(Pretended(b"\x02\x00\x00\x00{}"))
    assert [check.name for check in found.failed] == ["cannot send more than was asked for"]
    assert found.failed[0].remedy == "mend it"
    assert found.guarantees == CLAIMED | {"output": "soft"}


def test_a_worker_whose_end_is_still_held_has_outlived_it(spare: int) -> None:
    found = proved(Pretended(b"\xff" * 4096, spare))
    assert [check.name for check in found.failed] == ["cannot outlive its end"]
    assert found.guarantees == CLAIMED | {"time": "soft"}
