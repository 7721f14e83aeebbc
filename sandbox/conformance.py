"""Checks that any backend must pass: inherit ``BackendConformance`` in a pytest module.

The programs here skip the friendly text rules, which are no wall, and reach for the interpreter's
inside: only what the kernel refuses counts. Each tries one thing and raises what came of it.
"""

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field
from rewardsmith.sandbox.arrays import NUMPY, Arrays
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

CANARY = "canary-5b1f0c-must-never-appear"

EXAMPLE_SPEC = EnvSpec(
    id="Example-v0",
    fields=(
        Field("height", (), "m", "height of the torso", "obs[0]"),
        Field("speed", (), "m/s", "forward speed", "obs[1]"),
        Field("position", (3,), "m", "position of the hand", "obs[2:5]"),
    ),
    hidden=(Field("distance", (), "m", "what fitness measures", "info['distance']"),),
    action=ActionSpec((2,), (-1.0, -1.0), (1.0, 1.0), None, "torques"),
    max_steps=100,
    dt=0.05,
)


def example_steps(rows: int, num_envs: int = 1, seed: int = 0) -> Steps:
    """Makes steps of ``EXAMPLE_SPEC`` from random numbers; every environment starts once."""
    random = np.random.default_rng(seed)

    def columns() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        return {
            field.name: random.normal(size=(rows, *field.shape)) for field in EXAMPLE_SPEC.fields
        }

    starts = np.zeros(rows, dtype=np.bool_)
    starts[:num_envs] = True
    return Steps(
        num_envs=num_envs,
        after=columns(),
        before=columns(),
        action=random.normal(size=(rows, 2)),
        terminated=random.random(rows) < 0.1,
        truncated=np.zeros(rows, dtype=np.bool_),
        starts=starts,
        native_reward=np.zeros(rows),
    )


_INSIDE = """
load = np.linalg.__dict__["__builtins__"]["__import__"]
os, sys, socket, subprocess, ctypes, mmap = map(
    load, ["os", "sys", "socket", "subprocess", "ctypes", "mmap"])

def compute_reward(height):
    got = attempt()
    raise RuntimeError("it got " + repr(got)[:200])

def attempt():
"""


def attempt(body: str) -> str:
    """Returns a program that runs ``body`` (which returns something) from inside."""
    return _INSIDE + "\n".join(f"    {line}" for line in body.strip().splitlines()) + "\n"


DENIED = {
    "read a file": "return load('io').open(PATH).read()",
    "read by descriptor": "return os.open(PATH, os.O_RDONLY)",
    "list a folder": "return os.listdir('/')",
    "open by another name": "return np.linalg.__dict__['__builtins__']['open'](PATH, 'rb')",
    "write a file": "return load('io').open(PATH + '.new', 'w').write('x')",
    "delete a file": "return os.unlink(PATH)",
    "link a file": "return os.symlink(PATH, PATH + '.link')",
    "read the parent's environment": "return os.open(f'/proc/{PARENT}/environ', os.O_RDONLY)",
    "read its own memory map": "return os.open('/proc/self/maps', os.O_RDONLY)",
    "tcp": "return socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "udp": "return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "unix socket": "return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "socket pair": "return socket.socketpair()",
    "netlink": "return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "fork": "return os.fork()",
    "exec": "return os.execv('/bin/true', ['true'])",
    "spawn": "return subprocess.run(['/bin/true'])",
    "signal the parent": "return os.kill(PARENT, 0)",
    "signal everybody": "return os.kill(-1, 0)",
    "become root": "return os.setuid(0)",
    "new session": "return os.setsid()",
    "memory file": "return os.memfd_create('x')",
    "pipe": "return os.pipe()",
    "executable memory": "return mmap.mmap(-1, 4096, prot=7)",
    "change directory": "return os.chdir('/tmp')",
    "nice": "return os.nice(-5)",
    "affinity": "return os.sched_setaffinity(0, {0})",
    "raise a limit": "return load('resource').setrlimit(9, (1 << 40, 1 << 40))",
    "thread": "return load('_thread').start_new_thread(len, ((),))",
    "random numbers": "return os.getrandom(8)",
    "sleep": "return load('time').sleep(0.01)",
}

_FEWEST = 8  # rows that a program ever sees

# What a refusal by the kernel looks like to Python; anything else is no proof of a wall.
REFUSED = re.compile(
    r"PermissionError|Errno (1|13|24)\b|can't start new thread|Operation not permitted|"
    r"not allowed to raise"
)


def _every_attempt(values: dict[str, str]) -> str:
    """Returns one program in which the number of rows says which attempt to make."""
    text = _INSIDE.replace("attempt()", f"attempts[len(height) - {_FEWEST}]()")
    text = text.split("def attempt")[0]
    functions = []
    for index, line in enumerate(DENIED.values()):
        for word, value in values.items():
            line = line.replace(word, value)
        functions.append(f"def attempt_{index}():\n    {line}\n")
    names = ", ".join(f"attempt_{index}" for index in range(len(DENIED)))
    return "\n".join([text, *functions, f"attempts = [{names}]", ""])


def _to_every_descriptor(content: str, indent: int = 0) -> str:
    lines = [
        "for n in range(3, 256):",
        f"    try: os.write(n, {content})",
        "    except Exception: pass",
    ]
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


class BackendConformance:
    """What every backend promises. Override ``backend``; pytest's ``tmp_path`` is used."""

    def backend(self) -> Backend:
        """Returns the backend under test."""
        raise NotImplementedError

    def arrays(self) -> Arrays:
        """Returns with what the backend is to evaluate."""
        return NUMPY

    def failure_of(self, program: str, **limits: Any) -> Failure:
        """Runs a hostile program on a few rows and returns its failure."""
        with RewardClient(
            program, EXAMPLE_SPEC, sandbox=self.backend(), limits=self._limits(limits), policy=False
        ) as client:
            answer = client.rewards(example_steps(9))
        assert isinstance(answer, Failure), "a hostile program got a reward"
        assert CANARY not in answer.model_dump_json()
        return answer

    def _limits(self, changes: dict[str, Any]) -> Limits:
        return replace(Limits.for_arrays(self.arrays()), **changes)

    def test_every_attempt_to_leave_is_denied(self, tmp_path: Path) -> None:
        """No file, network, process, signal, identity or fresh code."""
        secret = tmp_path / "secret"
        secret.write_text(CANARY)
        secret.chmod(0o644)
        program = _every_attempt({"PATH": repr(str(secret)), "PARENT": str(os.getpid())})
        outcomes = {}
        with RewardClient(
            program, EXAMPLE_SPEC, sandbox=self.backend(), limits=self._limits({}), policy=False
        ) as client:
            for index, name in enumerate(DENIED):
                answer = client.rewards(example_steps(_FEWEST + index))
                assert isinstance(answer, Failure)
                outcomes[name] = answer.text
        opened = {name: text for name, text in outcomes.items() if not REFUSED.search(text)}
        assert opened == {}, opened
        assert secret.read_text() == CANARY
        assert [path.name for path in tmp_path.iterdir()] == ["secret"]

    def test_the_environment_is_built_from_nothing(self) -> None:
        """Neither a key nor anything else of the parent's environment is there."""
        os.environ["REWARDSMITH_TEST_API_KEY"] = CANARY
        try:
            failure = self.failure_of(attempt("return sorted(os.environ)"))
        finally:
            del os.environ["REWARDSMITH_TEST_API_KEY"]
        assert "API_KEY" not in failure.text
        assert "'PATH'" in failure.text

    def test_only_the_pipes_are_open(self) -> None:
        """Of all descriptors beyond the standard ones, only the reply pipe takes a write."""
        body = """
found = []
for number in range(3, 256):
    try:
        os.write(number, b"")
        found.append(number)
    except Exception:
        pass
return len(found)
"""
        text = self.failure_of(attempt(body)).text
        assert "it got 1" in text, text

    def test_an_endless_loop_is_stopped(self) -> None:
        """The clock is the parent's."""
        began = time.monotonic()
        program = "def compute_reward(height):\n    while True:\n        pass\n"
        failure = self.failure_of(program, call_s=0.3)
        assert failure.kind == "stalled"
        assert time.monotonic() - began < 5.0

    def test_catching_everything_does_not_help(self) -> None:
        """Stopping needs no cooperation."""
        program = (
            "def compute_reward(height):\n    while True:\n        try:\n            height / 0\n"
            "        except BaseException:\n            pass\n"
        )
        assert self.failure_of(program, call_s=0.3).kind == "stalled"

    def test_a_loop_while_loading_is_stopped(self) -> None:
        """Limits hold from the first line of the program."""
        program = "while True:\n    pass\ndef compute_reward(height):\n    return height, {}\n"
        assert self.failure_of(program, call_s=0.3).kind == "stalled"

    def test_a_memory_bomb_is_a_failure(self) -> None:
        """One array too many, or a list that grows."""
        one = "def compute_reward(height):\n    return np.zeros(10**11), {}\n"
        many = (
            "def compute_reward(height):\n    kept = []\n    while True:\n"
            "        kept.append(np.ones(10**6))\n"
        )
        assert self.failure_of(one).kind == "oom"
        assert self.failure_of(many, memory_bytes=2**29).kind in ("oom", "killed")

    def test_ending_the_process_is_a_failure(self) -> None:
        """Neither a clean exit nor a crash counts as an answer."""
        assert self.failure_of(attempt("os._exit(0)")).kind == "exited"
        assert self.failure_of(attempt("ctypes.string_at(0)")).kind == "killed"
        assert self.failure_of(attempt("sys.exit(3)")).kind == "reward_error"

    def test_writing_into_the_protocol_is_found_out(self) -> None:
        """Frames of the program's own making are not believed."""
        forged = _to_every_descriptor(r"b'\xff' * 256")
        failure = self.failure_of(attempt(forged))
        assert failure.kind == "protocol_error", failure
        half = _to_every_descriptor(r"b'\x40\0\0\0{'") + "while True: pass"
        assert self.failure_of(attempt(half), call_s=0.3).kind == "stalled"

    def test_a_flood_of_frames_is_stopped(self) -> None:
        """A worker that never stops talking is cut off."""
        flood = "while True:\n" + _to_every_descriptor("b'x' * 65536", indent=4)
        failure = self.failure_of(attempt(flood), call_s=1.0)
        assert failure.kind in ("protocol_error", "stalled"), failure

    def test_an_honest_program_is_rewarded(self) -> None:
        """The walls leave arithmetic alone."""
        program = (
            "def compute_reward(speed, position, action):\n"
            "    run = np.exp(speed) + position @ np.ones(3)\n"
            "    effort = np.linalg.norm(action, axis=-1)\n"
            '    return run - effort, {"run": run, "effort": -effort}\n'
        )
        steps = example_steps(100)
        with RewardClient(
            program, EXAMPLE_SPEC, sandbox=self.backend(), limits=self._limits({})
        ) as client:
            answer = client.rewards(steps)
        assert isinstance(answer, RewardBatch)
        run = np.exp(steps.after["speed"]) + steps.after["position"] @ np.ones(3)
        np.testing.assert_allclose(answer.components["run"], run, rtol=1e-12)
