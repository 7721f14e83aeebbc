"""A run killed at any moment goes on without asking or training anything twice."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.agent.replaying import decisions
from rewardsmith.runs.store import RunStore

KILLS = 20
LONGEST_S = 300.0
PROGRAM = """I pay for being near.
```python
def compute_reward(distance, action):
    near = {weight} * np.exp(-distance)
    effort = -0.01 * np.sum(action**2, axis=-1)
    return near + effort, {{"near": near, "effort": effort}}
```"""
ACCEPT = '```json\n{"analysis": "sound", "verdict": "accept", "remarks": []}\n```'
ANALYSIS = '```json\n{"causes": ["slow"], "advice": ["pay more for being near"]}\n```'


@dataclass(frozen=True)
class Run:
    """One run's folder, and beside it the script and the counter of its model."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def prepare(self) -> None:
        """Writes the script: every answer depends on the question alone, and takes a while."""
        self.folder.mkdir()
        script = {
            "pick": "hash",
            "delay_s": 0.15,
            "counter": "calls.txt",
            "designer": [PROGRAM.format(weight=n / 10) for n in range(3, 40)],
            "critic": [ACCEPT],
            "analyzer": [ANALYSIS],
        }
        (self.folder / "script.yaml").write_text(json.dumps(script))  # JSON is YAML

    def start(self) -> "subprocess.Popen[bytes]":
        command = [
            *(sys.executable, "-m", "rewardsmith", "design", "reach the goal"),
            *("--env", "rewardsmith/Point-v0", "--llm", "scripted:script.yaml"),
            *("--candidates", "2", "--generations", "2", "--final-seeds", "1"),
            *("--critic-rounds", "1", "--steps", "2000", "--eval-episodes", "2"),
            # The script's rewards differ in their scale alone, which others would refuse.
            *("--no-video", "--out", "run", "--probes", "health,ranking,sensitivity,after"),
        ]
        with (self.folder / "stderr.txt").open("wb") as errors:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def finish(self) -> None:
        assert self.start().wait(LONGEST_S) == 0, (self.folder / "stderr.txt").read_text()

    def said(self) -> list[str]:
        """The question of every answer that the model has given, repeats included."""
        path = self.folder / "calls.txt"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def answered(self) -> set[str]:
        """The questions whose answers are in the journal, named as the model's counter does."""
        if not self.out.joinpath("run.json").exists():
            return set()
        store = RunStore.open(self.out)
        asked = [event.data for event in store.journal.read() if event.kind == "asked"]
        return {question(json.loads(store.get_blob(data["blob"]))) for data in asked}

    def trained(self) -> dict[str, int]:
        """Units with a report, and when it was written, in ns."""
        reports = self.out.glob("jobs/*/report.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in reports}

    def decided(self) -> dict[str, Any]:
        return decisions(RunStore.open(self.out).state())


def question(record: dict[str, Any]) -> str:
    """What the scripted model writes into its counter for the question of a recorded call."""
    asked = json.dumps([record["role"], record["messages"], record["sample"]], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def kill_somewhere(run: Run, after_s: float) -> bool:
    """Starts the run, kills it after so long; whether it had to be killed. Checks what it redid."""
    said, answered, trained = run.said(), run.answered(), run.trained()
    process = run.start()
    try:
        code = process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed = True
    else:
        assert code == 0, (run.folder / "stderr.txt").read_text()
        killed = False
    assert not answered & set(run.said()[len(said) :]), "asked again although answered"
    now = run.trained()
    assert {unit: now.get(unit) for unit in trained} == trained, "a finished unit trained again"
    return killed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_killed_at_twenty_random_moments_end_as_an_unbroken_one(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole")
    whole.prepare()
    whole.finish()
    generator = random.Random(20)
    kills = restarts_with_answers = restarts_with_units = 0
    for number in range(KILLS):  # as many runs as twenty kills take, mostly three
        if kills == KILLS:
            break
        broken = Run(tmp_path / f"broken{number}")
        broken.prepare()
        while kills < KILLS and kill_somewhere(broken, generator.uniform(0.3, 6.0)):
            kills += 1
            restarts_with_answers += bool(broken.answered())
            restarts_with_units += bool(broken.trained())
        before, known = len(broken.said()), broken.answered()
        broken.finish()
        assert not known & set(broken.said()[before:])
        assert broken.decided() == whole.decided()
        assert broken.answered() == whole.answered() == set(whole.said())

    assert kills == KILLS
    assert restarts_with_answers > 5, "the kills came too early to show anything"
    assert restarts_with_units > 5
