"""The command line as a user meets it, in this process or in one of its own."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.agent import cli

POINT = "rewardsmith/Point-v0"
TEXT = "reach the goal"
SMALL = (
    *("--env", POINT, "--llm", "scripted", "--candidates", "2", "--generations", "2"),
    *("--steps", "2000", "--final-seeds", "1", "--eval-episodes", "2", "--critic-rounds", "0"),
    *("--no-video", "--probes", "off"),  # few random draws are worth a training
)
TINY = ("--candidates", "1", "--generations", "1", "--recheck-seeds", "0", "--final-seeds", "0")


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def call(*words: str) -> Done:
    """Runs a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["rewardsmith", *words])
        code = cli.run()
    return Done(code, out.getvalue(), err.getvalue())


def launch(*words: str, cwd: Path, **options: Any) -> "subprocess.Popen[str]":
    """Starts a command in a process of its own, at the head of its own group."""
    return subprocess.Popen(
        [sys.executable, "-m", "rewardsmith", *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def spawn(*words: str, cwd: Path, timeout_s: float = 120.0, **options: Any) -> Done:
    """Runs a command in a process of its own."""
    process = launch(*words, cwd=cwd, **options)
    out, err = process.communicate(timeout=timeout_s)
    return Done(process.returncode, out, err)


def design(out: Path, *more: str) -> Done:
    """Runs a small design in this process: about ten trainings of a tenth of a second."""
    return call("design", TEXT, *SMALL, "--out", str(out), *more)
