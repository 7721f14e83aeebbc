"""The arithmetic of the overhead benchmark, on samples whose answer is known."""

import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def overhead(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    for name in ("sandbox_overhead", "training_speed"):
        sys.modules.pop(name, None)
    import sandbox_overhead  # type: ignore[import-not-found]

    module: ModuleType = sandbox_overhead
    return module


def _samples(overhead: ModuleType, way: str, *cpu_s: float) -> list[object]:
    return [
        overhead.Sample("Hopper-v5", "ppo", way, pair, 1000, seconds, 2.0, 0.1, 0.002)
        for pair, seconds in enumerate(cpu_s)
    ]


def test_a_way_is_compared_pair_by_pair_with_the_unconfined_one(overhead: ModuleType) -> None:
    samples = _samples(overhead, "none", 1.0, 2.0, 4.0)
    samples += _samples(overhead, "process", 1.1, 2.2, 4.4)
    row = overhead.compared(samples, "process")
    # Each pair has the same ratio, however much the machine's speed moved in between.
    assert row["of_unconfined"] == row["low"] == row["high"] == 1.1
    assert row["cpu_us_per_step"] == 2200.0
    assert (row["reward_share"], row["start_ms"], row["pairs"]) == (0.002, 100.0, 3)


def test_pairs_that_disagree_widen_the_interval(overhead: ModuleType) -> None:
    samples = _samples(overhead, "none", 1.0, 1.0, 1.0)
    samples += _samples(overhead, "docker", 0.9, 1.0, 1.2)
    row = overhead.compared(samples, "docker")
    assert row["low"] < row["of_unconfined"] < row["high"]
    assert row["high"] > overhead.LIMIT


def test_the_time_of_a_process_that_works_is_counted(overhead: ModuleType) -> None:
    before, own = overhead._ran_s([os.getpid()]), time.process_time()
    while time.process_time() - own < 0.05:
        pass
    assert overhead._ran_s([os.getpid()]) - before >= 0.04


def test_a_process_that_is_gone_counts_nothing(overhead: ModuleType) -> None:
    assert overhead._ran_s([2**22 + 1]) == 0.0
