"""One core while a compiler counts them, and all of them for its threads afterwards."""

import os
import threading

import pytest

from rewardsmith.sandbox.inside.cores import Threads


def test_threads_started_meanwhile_get_every_core_back() -> None:
    before = os.sched_getaffinity(0)
    end, seen = threading.Event(), threading.Event()
    found: list[set[int]] = []

    def wait() -> None:
        found.append(os.sched_getaffinity(0))
        seen.set()
        end.wait(10)
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=wait)
    threads = Threads()
    running = threads.count()
    with threads.on_one_core():
        assert len(os.sched_getaffinity(0)) == 1
        thread.start()
        assert seen.wait(10)
        assert threads.count() == running + 1
    end.set()
    thread.join()
    assert len(found[0]) == 1
    assert found[1] == before
    assert os.sched_getaffinity(0) == before


def test_the_folder_is_closed_afterwards() -> None:
    threads = Threads()
    with pytest.raises(RuntimeError, match="within"), threads.on_one_core():
        raise RuntimeError("within")
    with pytest.raises(OSError, match="Bad file descriptor"):
        threads.count()
