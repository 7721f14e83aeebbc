"""A run killed at any moment goes on without asking or training anything twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rewardsmith.agent.replaying import decisions
from rewardsmith.runs.store import RunStore

KILLS = 20
LONGEST_S = 300.0


def command(out: Path, counter: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "rewardsmith", "design", "reach the goal"),
        *("--env", "rewardsmith/Point-v0", "--llm", f"scripted::{counter}"),
        *("--candidates", "3", "--generations", "3", "--final-seeds", "2", "--steps", "4000"),
        *("--critic-rounds", "1", "--eval-episodes", "3", "--no-video", "--json"),
        *("--out", str(out)),
    ]


def start(out: Path, counter: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command(out, counter),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"REWARDSMITH_COUNTER": str(counter)},
    )


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def answered(out: Path) -> set[str]:
    """Request hashes whose answers the journal holds."""
    events = [json.loads(line) for line in lines(out / "journal.jsonl") if line.endswith("}")]
    return {event["data"]["hash"] for event in events if event["kind"] == "asked"}


def finished(out: Path) -> dict[str, float]:
    """Units with a report, and when their weights were written."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in out.glob("jobs/*/report.json")
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_at_random_moments_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    began = time.monotonic()
    process = start(whole, tmp_path / "whole.count")
    assert process.wait(LONGEST_S) == 0, process.stderr and process.stderr.read()
    duration_s = time.monotonic() - began

    generator = random.Random(20)
    counter = tmp_path / "broken.count"
    kills = 0
    while kills < KILLS:
        asked_before, known = len(lines(counter)), answered(broken)
        trained = finished(broken)
        process = start(broken, counter)
        try:
            process.wait(generator.uniform(0.3, 0.45 * duration_s))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0, process.stderr and process.stderr.read()
        again = {line.split()[0] for line in lines(counter)[asked_before:]} & known
        assert not again, f"asked again although answered: {again}"
        now = finished(broken)
        assert all(now[unit] == at for unit, at in trained.items()), "a finished unit ran again"
        if RunStore(broken).head_path.exists() and RunStore(broken).state().finished:
            break
    process = start(broken, counter)
    assert process.wait(LONGEST_S) == 0, process.stderr and process.stderr.read()

    assert kills >= 3
    assert decisions(RunStore(broken).state()) == decisions(RunStore(whole).state())
    received = Counter(line.split()[0] for line in lines(counter) if line.split()[0])
    assert set(received) >= answered(broken) == answered(whole)
