"""What hostile programs try, behind every backend: each attempt has an outcome, and none is a leak.

The first table is tried in one worker, since the kernel refuses each attempt and the worker goes
on; the same attempts without walls are the positive control. The second table ends its worker.
"""

import os
import platform
import time
from pathlib import Path

import pytest

from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import (
    CANARY,
    EXAMPLE_SPEC,
    REFUSED,
    attempt,
    example_steps,
)
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.process import ProcessBackend
from rewardsmith.sandbox.reward import RewardBatch

_ALL_ENVIRONMENTS = (
    "return [open_(f'/proc/{p}/environ', 'rb').read() for p in os.listdir('/proc') if p.isdigit()]"
)

# name: what is done. Where it says what it got, it got something.
REFUSED_EVERYWHERE = {
    "read the shadow file": "return os.open('/etc/shadow', os.O_RDONLY)",
    "read a key": "return os.open(CANARY_FILE, os.O_RDONLY)",
    "read every environment": _ALL_ENVIRONMENTS,
    "walk through the root of process 1": "return os.listdir('/proc/1/root')",
    "walk up from its own folder": "return os.listdir('/proc/self/cwd/..')",
    "connect": "return socket.create_connection(('127.0.0.1', 9), 1)",
    "send a datagram": "return socket.socket(socket.AF_INET, 2).sendto(b'x', ('127.0.0.1', 9))",
    "connect to the engine": "return socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    "connect to an abstract socket": "return socket.socket(socket.AF_UNIX).connect(chr(0) + 'x')",
    "packet socket": "return socket.socket(17, 3, 0)",
    "crypto socket": "return socket.socket(38, 5, 0)",
    "vm socket": "return socket.socket(40, 1, 0)",
    "start a thread": "return load('_thread').start_new_thread(len, ((),))",
    "memory file": "return os.memfd_create('x')",
    "write a large file": "return os.open(FOLDER + '/big', os.O_CREAT | os.O_WRONLY)",
    "fill the shared memory folder": "return os.open('/dev/shm/x', os.O_CREAT | os.O_WRONLY)",
    "lower its niceness": "return os.nice(-5)",
    "take a real-time scheduler": "return os.sched_setscheduler(0, 1, os.sched_param(1))",
    "take every core": "return os.sched_setaffinity(0, {0, 1})",
    "fork": "return os.fork()",
    "start a session": "return os.setsid()",
    "change core_pattern": "return os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)",
    "open a disk": "return os.open('/dev/vda', os.O_RDONLY)",
    "open the kernel's memory": "return os.open('/dev/mem', os.O_RDONLY)",
    "make a device": "return os.mknod(FOLDER + '/null', 0o20666, os.makedev(1, 3))",
    "make a fifo": "return os.mkfifo(FOLDER + '/fifo')",
    "push into the terminal": "return os.open('/dev/tty', os.O_RDWR)",
    "lower its oom score": "return os.open('/proc/self/oom_score_adj', os.O_WRONLY)",
    "plant a module": "return os.open(FOLDER + '/numpy.py', os.O_CREAT | os.O_WRONLY)",
    "link to a file": "return os.link(CANARY_FILE, FOLDER + '/link')",
    "map a file": "return np.linalg.__dict__['__builtins__']['open'](CANARY_FILE, 'rb')",
    "memmap": "return load('numpy').memmap(CANARY_FILE)",
    "unshare": "return raw(272, 0x10000000)",
    "mount": "return raw(165, 0, 0, 0, 0, 0)",
    "ptrace": "return raw(101, 0, 0, 0, 0)",
    "read another process": "return raw(310, PARENT, 0, 0, 0, 0, 0)",
    "io_uring": "return raw(425, 1, 0)",
    "bpf": "return raw(321, 0, 0, 0)",
    "keyring": "return raw(250, 0, -3, 0)",
    "system v shared memory": "return raw(29, 0, 4096, 0o1666)",
    "message queue": "return raw(240, b'x', 0o102, 0o600, 0)",
    "userfaultfd": "return raw(323, 0)",
    "perf events": "return raw(298, 0, 0, -1, -1, 0)",
    "personality": "return raw(135, 0xffffffff)",
    "a system call by the old interface": "return raw(0x40000000 + 39)",
    "executable memory": "return mmap.mmap(-1, 4096, prot=7)",
}
if platform.machine() != "x86_64":  # the numbers are its own
    for _name in [name for name, line in REFUSED_EVERYWHERE.items() if "raw(" in line]:
        del REFUSED_EVERYWHERE[_name]

_PRELUDE = """
load = np.linalg.__dict__["__builtins__"]["__import__"]
open_ = np.linalg.__dict__["__builtins__"]["open"]
os, sys, socket, ctypes, mmap = map(load, ["os", "sys", "socket", "ctypes", "mmap"])

def raw(*values):
    library = ctypes.CDLL(None, use_errno=True)
    result = library.syscall(*values)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def compute_reward(height):
    got = attempts[int(height[0])]()
    raise RuntimeError("it got " + repr(got)[:200])
"""


def _program(canary: Path) -> str:
    parts = [_PRELUDE]
    values = {"CANARY_FILE": repr(str(canary)), "FOLDER": repr(str(canary.parent))}
    values["PARENT"] = str(os.getpid())
    for index, line in enumerate(REFUSED_EVERYWHERE.values()):
        for word, value in values.items():
            line = line.replace(word, value)
        parts.append(f"def attempt_{index}():\n    {line}\n")
    names = ", ".join(f"attempt_{index}" for index in range(len(REFUSED_EVERYWHERE)))
    return "\n".join([*parts, f"attempts = [{names}]", ""])


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(CANARY)
    path.chmod(0o644)
    return path


def _outcomes(backend: Backend, program: str) -> dict[str, str]:
    found, steps = {}, example_steps(9)
    with RewardClient(program, EXAMPLE_SPEC, sandbox=backend, policy=False) as client:
        for index, name in enumerate(REFUSED_EVERYWHERE):
            steps.after["height"][:] = index
            answer = client.rewards(steps)
            assert isinstance(answer, Failure), name
            found[name] = answer.text
        assert client.ledger.starts == 1, "a refusal does not end the worker"
    return found


def test_the_kernel_refuses_every_attempt(backend: Backend, canary: Path) -> None:
    found = _outcomes(backend, _program(canary))
    # The old interface is unknown to the kernel, on purpose: ENOSYS.
    open_doors = {
        name: text
        for name, text in found.items()
        if not REFUSED.search(text) and "Errno 38" not in text
    }
    assert open_doors == {}
    assert CANARY not in "".join(found.values())
    assert [path.name for path in canary.parent.iterdir()] == ["secret"]


# What can be tried where nothing confines, changes nothing there, and needs no special rights.
_HARMLESS = (
    "read a key", "read every environment", "walk up from its own folder", "send a datagram",
    "start a thread", "memory file", "start a session", "map a file", "memmap", "personality",
    "executable memory",
)  # fmt: skip


def test_without_walls_the_same_attempts_succeed(canary: Path) -> None:
    """The positive control: what is tried above is possible where nothing stands in the way."""
    source = _program(canary)
    steps, closed = example_steps(9), {}
    with RewardClient(
        source, EXAMPLE_SPEC, sandbox=ProcessBackend(walls=False), policy=False
    ) as client:
        for index, name in enumerate(REFUSED_EVERYWHERE):
            if name not in _HARMLESS:
                continue
            steps.after["height"][:] = index
            answer = client.rewards(steps)
            assert isinstance(answer, Failure)
            if "it got" not in answer.text:
                closed[name] = answer.text
    assert set(closed) <= {"read every environment"}, "only root reads everybody's environment"


_SIMPLE = "def compute_reward(height):\n    {}\n"
# name: (program, kinds of failure that it may end in)
ENDINGS: dict[str, tuple[str, set[str]]] = {
    "exit as if all were well": (attempt("os._exit(0)"), {"exited"}),
    "abort": (attempt("os.abort()"), {"killed"}),
    "fill memory": (
        _SIMPLE.format("kept = []\n    while True: kept.append(np.ones(10**6))"),
        {"oom", "killed"},
    ),
    "allocate too much at once": (_SIMPLE.format("return np.empty(10**12), {}"), {"oom"}),
    "loop": (_SIMPLE.format("while True: pass"), {"stalled"}),
    "ignore signals and loop": (
        attempt("load('signal').signal(15, load('signal').SIG_IGN)\nwhile True: pass"),
        {"stalled", "reward_error"},
    ),
    "announce a huge frame": (
        attempt("[os.write(n, b'\\xff' * 4) for n in range(3, 256) if writable(n)]\n"
                "while True: pass").replace(
            "def attempt():", "def writable(n):\n    try: return os.write(n, b'') == 0\n"
            "    except OSError: return False\n\ndef attempt():"
        ),
        {"protocol_error"},
    ),
    "a huge message": (attempt("raise RuntimeError('x' * 10**8)"), {"reward_error"}),
    "a message that fights": (
        "class E(Exception):\n    def __str__(self): raise SystemExit\n"
        "def compute_reward(height):\n    raise E\n",
        {"reward_error"},
    ),
    "nothing": (_SIMPLE.format("return None"), {"bad_output"}),
    "a generator": (_SIMPLE.format("yield height, {}"), {"bad_output"}),
    "objects": (_SIMPLE.format("return np.array([object()] * len(height)), {}"), {"bad_output"}),
    "infinities": (_SIMPLE.format("return height / 0.0, {}"), {"bad_output"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_every_end_is_a_failure_of_its_own_kind(backend: Backend, name: str) -> None:
    program, kinds = ENDINGS[name]
    seconds = 1.0 if "stalled" in kinds else 20.0
    limits = Limits(memory_bytes=2**29, region_bytes=2**24, call_s=seconds)
    began = time.monotonic()
    with RewardClient(
        program, EXAMPLE_SPEC, sandbox=backend, limits=limits, policy=False
    ) as client:
        answer = client.rewards(example_steps(9))
    assert isinstance(answer, Failure)
    assert answer.kind in kinds, answer
    assert len(answer.text) < 3000
    assert time.monotonic() - began < 30.0


def test_one_hostile_worker_does_not_disturb_the_honest_ones(backend: Backend) -> None:
    honest = _SIMPLE.format('return 2.0 * height, {"h": height}')
    hostile = RewardClient(
        ENDINGS["fill memory"][0], EXAMPLE_SPEC, sandbox=backend, limits=Limits(memory_bytes=2**29)
    )
    steps = example_steps(64)
    with hostile, RewardClient(honest, EXAMPLE_SPEC, sandbox=backend) as good:
        first = good.rewards(steps)
        assert isinstance(hostile.rewards(steps), Failure)
        second = good.rewards(steps)
    assert isinstance(first, RewardBatch)
    assert isinstance(second, RewardBatch)
    assert first.total.tobytes() == second.total.tobytes()


def test_every_backend_computes_the_same_bits(backend: Backend) -> None:
    program = (
        "def compute_reward(speed, position, action):\n"
        "    run = np.exp(-speed**2) + position @ np.ones(3)\n"
        '    return np.tanh(run) - np.sum(action**2, axis=-1), {"run": run}\n'
    )
    steps = example_steps(500)
    totals = []
    for one in (backend, ProcessBackend()):
        with RewardClient(program, EXAMPLE_SPEC, sandbox=one) as client:
            answer = client.rewards(steps)
        assert isinstance(answer, RewardBatch)
        totals.append(answer.total.tobytes())
    assert totals[0] == totals[1]
