"""What the trusted side holds of its workers, and that it gives all of it back."""

import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rewardsmith.errors import ConfigError, SandboxUnavailable
from rewardsmith.sandbox import child
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, attempt, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.process import ProcessBackend
from rewardsmith.sandbox.reward import RewardBatch

GOOD = 'def compute_reward(height):\n    return 2.0 * height, {"h": height}\n'
ENDLESS = "def compute_reward(height):\n    while True:\n        pass\n"
SMALL = Limits(region_bytes=1 << 20)
STEPS = example_steps(9)


def _held() -> tuple[int, int]:
    """How many descriptors are open, and how many children there are, dead ones included."""
    gc.collect()
    tasks = Path("/proc/self/task")
    children = [(task / "children").read_text().split() for task in tasks.iterdir()]
    return len(list(Path("/proc/self/fd").iterdir())), sum(len(found) for found in children)


def _rewarded(program: str = GOOD, limits: Limits = SMALL) -> RewardBatch | Failure:
    with RewardClient(program, EXAMPLE_SPEC, limits=limits, policy=False) as client:
        return client.rewards(STEPS)


ENDS: dict[str, Callable[[], object]] = {
    "closed": _rewarded,
    "stalled": lambda: _rewarded(ENDLESS, Limits(region_bytes=1 << 20, call_s=0.05)),
    "exited": lambda: _rewarded(attempt("os._exit(0)")),
    "crashed": lambda: _rewarded(attempt("ctypes.string_at(0)")),
    "not understood": lambda: _rewarded(
        attempt("[os.write(n, b'\\xff' * 99) for n in range(3, 9) if not os.set_blocking]")
    ),
    "failed while loading": lambda: _rewarded("1 / 0\n" + GOOD),
}


@pytest.mark.parametrize("name", ENDS)
def test_no_end_of_a_worker_leaves_anything_behind(name: str) -> None:
    _rewarded()  # the thread that starts workers, and what is loaded late
    before = _held()
    for _ in range(3):
        ENDS[name]()
    assert _held() == before


def test_a_client_that_nobody_closed_ends_with_its_last_reference() -> None:
    _rewarded()
    before = _held()
    client = RewardClient(GOOD, EXAMPLE_SPEC, limits=SMALL)
    assert isinstance(client.rewards(STEPS), RewardBatch)
    assert _held() != before
    del client
    assert _held() == before


@pytest.mark.slow
def test_a_hundred_clients_leave_nothing_behind() -> None:
    _rewarded()
    before = _held()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: _rewarded(), range(100)))
    assert all(isinstance(answer, RewardBatch) for answer in answers)
    threads.shutdown()
    assert _held() == before


def test_a_worker_that_cannot_start_leaves_nothing_behind() -> None:
    before = _held()
    for limits in (Limits(start_s=0.001), Limits(region_bytes=0), Limits(region_bytes=-1)):
        with pytest.raises(SandboxUnavailable):
            ProcessBackend().start(limits)
    assert _held() == before


def test_no_descriptors_left_is_said_and_leaks_none() -> None:
    _rewarded()
    before = _held()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    messages = []
    try:
        for spare in range(1, 6):
            resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1 + spare, hard))
            with pytest.raises(SandboxUnavailable, match="could not be started") as caught:
                ProcessBackend().start(SMALL)
            messages.append(str(caught.value))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all("Too many open files" in message for message in messages)
    assert _held() == before
    assert isinstance(_rewarded(), RewardBatch)


def test_descriptors_beyond_a_thousand_are_descriptors_too() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.fail("this machine allows fewer than 1200 descriptors")
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
        held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1050)]
        assert isinstance(_rewarded(), RewardBatch)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_threads_that_ask_at_once_share_one_starter() -> None:
    """A second starter would end, and the kernel would kill the workers that it started."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for pid in range(-30, 0):
            barrier = threading.Barrier(8)

            def ask(pid: int = pid, barrier: threading.Barrier = barrier) -> int:
                barrier.wait()
                return id(child._starter(pid))

            with ThreadPoolExecutor(8) as threads:
                found = {job.result() for job in [threads.submit(ask) for _ in range(8)]}
            assert len(found) == 1
    finally:
        sys.setswitchinterval(interval)
        for pid in range(-30, 0):
            child._STARTERS.pop(pid, None)


def test_a_worker_outlives_the_thread_that_asked_for_it() -> None:
    client = RewardClient(GOOD, EXAMPLE_SPEC, limits=SMALL)
    thread = threading.Thread(target=lambda: client.rewards(STEPS))
    thread.start()
    thread.join()
    time.sleep(0.1)
    with client:
        assert isinstance(client.rewards(STEPS), RewardBatch)
        assert client.ledger.starts == 1


def test_clients_side_by_side_do_not_disturb_each_other() -> None:
    """One of them is hostile."""
    programs = [
        f'def compute_reward(height):\n    return {k}.0 * height, {{"h": height}}\n'
        for k in range(4)
    ]

    def ask(program: str) -> list[RewardBatch | Failure]:
        with RewardClient(
            program, EXAMPLE_SPEC, limits=Limits(region_bytes=1 << 20, call_s=5.0), policy=False
        ) as client:
            return [client.rewards(STEPS) for _ in range(15)]

    flood = "while True:\n    for n in range(3, 9):\n        try: os.write(n, b'x' * 65536)\n"
    flood += "        except Exception: pass"
    with ThreadPoolExecutor(5) as threads:
        hostile = threads.submit(_rewarded, attempt(flood), Limits(call_s=1.0))
        answers = list(threads.map(ask, programs))
    assert isinstance(hostile.result(), Failure)
    for k, several in enumerate(answers):
        for answer in several:
            assert isinstance(answer, RewardBatch), answer
            np.testing.assert_array_equal(answer.total, k * STEPS.after["height"])


def _in_a_fork(client: RewardClient) -> None:
    fresh = RewardClient(GOOD, EXAMPLE_SPEC, limits=SMALL)
    with fresh:
        good = isinstance(fresh.rewards(STEPS), RewardBatch)
    client.close()  # the parent's worker is not this process's to end
    os._exit(0 if good else 1)


def test_a_fork_of_a_process_with_threads_has_workers_of_its_own() -> None:
    with RewardClient(GOOD, EXAMPLE_SPEC, limits=SMALL) as client:
        assert isinstance(client.rewards(STEPS), RewardBatch)
        fork = multiprocessing.get_context("fork").Process(target=_in_a_fork, args=(client,))
        fork.start()
        fork.join(30)
        assert fork.exitcode == 0
        assert isinstance(client.rewards(STEPS), RewardBatch)
        assert client.ledger.starts == 1


def test_an_interrupt_while_waiting_leaves_no_worker() -> None:
    _rewarded()
    before = _held()
    client = RewardClient(ENDLESS, EXAMPLE_SPEC, limits=SMALL, policy=False)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.6, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        client.rewards(STEPS)
    timer.join()
    assert _held() == before
    client.close()


def test_memory_for_more_environments_than_fit_is_the_callers_mistake() -> None:
    program = 'MEMORY = {"n": 0.0}\ndef compute_reward(height, memory):\n    return height, {}\n'
    steps = example_steps(20_000, 20_000)
    with RewardClient(program, EXAMPLE_SPEC, limits=SMALL) as client:
        with pytest.raises(ConfigError, match="20000 environments does not fit into a call"):
            client.rewards(steps)
        assert isinstance(client.rewards(example_steps(40, 4)), RewardBatch)


def test_what_one_call_left_in_memory_the_next_does_not_find() -> None:
    """Nothing of an array that was freed comes back as a reward: ``np.empty`` is no state."""
    program = (
        "def compute_reward(height):\n    kept = np.zeros(height.shape)\n"
        '    kept += height\n    return kept, {"k": kept}\n'
    )
    with RewardClient(program, EXAMPLE_SPEC, limits=SMALL) as client:
        first, second = client.rewards(STEPS), client.rewards(STEPS)
    assert isinstance(first, RewardBatch)
    assert isinstance(second, RewardBatch)
    np.testing.assert_array_equal(first.total, second.total)
