"""Whole runs in which hostile programs stand beside honest ones, by the command line, as a user.

The programs reach `os` on a way that the friendly rules on the text let through, and most behave
until a batch is as large as only a training's. A secret lies in the parent's environment and in a
file: neither may be found anywhere afterwards, and the honest candidates come to the same bits.
"""

import ctypes
import json
import os
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.runs.store import RunStore
from rewardsmith.sandbox.backend import Backend

CANARY = f"canary-{uuid.uuid4().hex}"
MARK = f"hostile-{uuid.uuid4().hex}"
_SUBREAPER = 36
_LONGEST_S = 300.0

# By public names only: the friendly rules about a program's text are no wall, and must not stop it.
_OS = "os = np.polynomial.polyutils.warnings.sys.modules['os']\n"
_HEAD = f"{_OS}N = [0]\n\ndef compute_reward(position, target):\n"
_NEAR = "    near = -np.abs(position - target)\n"
_END = '    return near, {"near": near}\n'
HONEST = (
    f"def compute_reward(position, target):\n{_NEAR}{_END}",
    "def compute_reward(position, target, velocity):\n"
    f"{_NEAR}    near = near - 0.01 * velocity**2\n{_END}",
)
_WRITES = "for n in range(3, 256):\n    try: os.write(n, {})\n    except OSError: pass"

# What is done with the first large batch, and how the candidate may end; nothing: honestly.
IN_TRAINING: dict[str, tuple[str, set[str]]] = {
    "read keys": ("raise RuntimeError(str(sorted(os.environ.items())))", {"reward_error"}),
    "print keys": ("print(sorted(os.environ.items()))", set()),
    "read a secret": ("raise RuntimeError(str(os.read(os.open(SECRET, 0), 99)))", {"reward_error"}),
    "list processes": ("raise RuntimeError(str(os.listdir('/proc')))", {"reward_error"}),
    "write a file": ("os.open(FOLDER + MARK, os.O_CREAT | os.O_WRONLY)", {"reward_error"}),
    "share memory": ("os.open('/dev/shm/' + MARK, os.O_CREAT | os.O_RDWR)", {"reward_error"}),
    "fork": ("while N: os.fork()", {"reward_error"}),
    "fill memory": ("kept = []\nwhile N: kept.append(np.empty(10**7))", {"oom", "killed"}),
    "loop": ("while N: pass", {"stalled"}),
    "exit": ("os.sys.modules['operator'].attrgetter('_exit')(os)(0)", {"exited"}),
    "forge frames": (_WRITES.format(r"b'\xff' * 256"), {"protocol_error"}),
    "flood": (
        "while N:\n" + "\n".join(f"    {x}" for x in _WRITES.format("b'x' * 65536").split("\n")),
        {"protocol_error", "stalled"},
    ),
    "count calls": ("N[0] += 1\nnear = near + (N[0] > 1)", {"impure"}),
    "look at a clock": (
        "near = near + os.sys.modules['time'].perf_counter() % 1.0", {"impure"}
    ),
}  # fmt: skip
_LOADED = f"{_OS}KEY = os.environ['OPENAI_API_KEY']\n\n"
AT_ONCE = {
    "a key while loading": (
        f"{_LOADED}def compute_reward(position, target):\n"
        f"{_NEAR}    near = near + len(KEY)\n{_END}",
        "reward_error",
    ),
    "internals": (
        f"def compute_reward(position, target):\n"
        f"{_NEAR}    near = near + len(np.linalg.__dict__)\n{_END}",
        "rejected",
    ),
}


def hostile(body: str, folder: Path) -> str:
    """Returns a program that does ``body`` where a batch is as large as a training's."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    source = f"{_HEAD}{_NEAR}    if len(near) > 500:\n{lines}{_END}"
    values = {"SECRET": str(folder / "secret"), "FOLDER": f"{folder}/", "MARK": MARK}
    for name, value in values.items():
        source = source.replace(name, repr(value))
    return source


def function_of(source: str) -> str:
    """Returns a program's function: of what stands before it, what is not used is not kept."""
    return source[source.index("def compute_reward") :].strip()


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class User:
    """Somebody with a key in the environment, a secret in a file and an empty temporary folder."""

    home: Path
    engine: str = ""

    @property
    def run(self) -> Path:
        return self.home / "run"

    def prepare(self) -> None:
        (self.home / "tmp").mkdir(parents=True)
        (self.home / "secret").write_text(CANARY)
        (self.home / "secret").chmod(0o644)

    def starts(self, *words: str) -> "subprocess.Popen[str]":
        keys = {"OPENAI_API_KEY": CANARY, "MY_SECRET": CANARY, "HARMLESS": CANARY}
        command = [sys.executable, "-m", "rewardsmith", *words]
        return subprocess.Popen(
            command,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **keys,
                "TMPDIR": str(self.home / "tmp"),
                "DOCKER_HOST": self.engine,
            },
        )

    def does(self, *words: str) -> Done:
        with self.starts(*words) as process:
            out, err = process.communicate(timeout=_LONGEST_S)
        return Done(process.returncode, out, err)

    def design(self, programs: list[str], sandbox: str) -> tuple[str, ...]:
        """Returns the words of a run whose model answers with these programs."""
        answers = [f"I try this.\n```python\n{program}```" for program in programs]
        analysis = '```json\n{"causes": ["slow"], "advice": ["pay for speed"]}\n```'
        script = {"pick": "order", "designer": answers, "analyzer": [analysis]}
        (self.home / "script.yaml").write_text(json.dumps(script))
        return (
            *("design", "reach the goal", "--env", "rewardsmith/Point-v0", "--out", str(self.run)),
            *("--llm", "scripted:script.yaml", "--candidates", str(len(programs))),
            *("--generations", "1", "--steps", "5000", "--final-seeds", "1", "--no-video"),
            *("--eval-episodes", "2", "--critic-rounds", "0", "--repair-turns", "0"),
            *("--sandbox", sandbox, "--probes", "off"),
        )

    def candidates(self) -> dict[str, dict[str, Any]]:
        """Returns what is shown of every candidate, by its function."""
        shown = self.does("show", str(self.run), "--json")
        assert CANARY not in shown.out + shown.err
        facts = {item["id"]: item for item in json.loads(shown.out)["candidates"]}
        state = RunStore(self.run).state()
        return {function_of(str(c.program)): facts[c.id] for c in state.candidates}

    def leaks(self) -> list[str]:
        """Returns the files other than the secret itself that hold it."""
        every = (path for path in self.home.rglob("*") if path.is_file())
        return [str(path) for path in every if path.name != "secret" and _holds(path)]


def _holds(path: Path) -> bool:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(CANARY.encode() in archive.read(name) for name in archive.namelist())
    return CANARY.encode() in path.read_bytes()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            found |= {child} | _descendants(child)
    return {child for child in found if _alive(child)}


def _containers(url: str) -> set[str]:
    import docker

    client = docker.APIClient(base_url=url)
    try:
        labels = {"label": "rewardsmith.worker"}
        return {found["Id"] for found in client.containers(all=True, filters=labels)}
    finally:
        client.close()


def _gone_within(seconds: float, left: Any) -> object:
    end = time.monotonic() + seconds
    while (found := left()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


@pytest.fixture
def nothing_left(backend: Backend, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a command leaves behind becomes a child of this process, and is seen."""
    url = str(request.getfixturevalue("engine")) if backend.name == "docker" else ""
    libc = ctypes.CDLL(None)
    assert libc.prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    known, containers = _descendants(os.getpid()), _containers(url) if url else set()
    yield
    made = (_containers(url) if url else set()) - containers
    assert not _gone_within(2.0, lambda: _descendants(os.getpid()) - known)
    if url:
        assert not _gone_within(20.0, lambda: _containers(url) & made)
    assert not Path(f"/dev/shm/{MARK}").exists()
    libc.prctl(_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def user(backend: Backend, request: pytest.FixtureRequest, tmp_path: Path) -> User:
    url = str(request.getfixturevalue("engine")) if backend.name == "docker" else ""
    somebody = User(tmp_path / "home", url)
    somebody.prepare()
    return somebody


@pytest.fixture(scope="module")
def honest_alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the honest programs come to where nobody is hostile."""
    somebody = User(tmp_path_factory.mktemp("honest") / "home")
    somebody.prepare()
    done = somebody.does(*somebody.design(list(HONEST), "process"))
    assert done.code == 0, done.err
    return somebody.candidates()


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
def test_a_run_with_hostile_candidates_ends_as_one_without(
    backend: Backend, user: User, honest_alone: dict[str, dict[str, Any]]
) -> None:
    """Two dozen trainings and a loop that is waited for: half a minute on each backend."""
    bombs = {name: hostile(body, user.home) for name, (body, _) in IN_TRAINING.items()}
    programs = [HONEST[0], *bombs.values(), *(source for source, _ in AT_ONCE.values()), HONEST[1]]
    done = user.does(*user.design(programs, backend.name))
    assert done.code == 0, done.err
    found = user.candidates()
    for program in map(function_of, HONEST):
        assert found[program]["seeds"] == honest_alone[program]["seeds"], "bit for bit"
    ends = {name: _kinds(found[function_of(program)]) for name, program in bombs.items()}
    assert {name: kinds for name, kinds in ends.items() if not _as_told(kinds, name)} == {}
    for source, kind in AT_ONCE.values():
        assert found[function_of(source)]["failure"]["kind"] == kind
    assert CANARY not in done.out + done.err
    assert user.leaks() == []
    assert [path.name for path in (user.home / "tmp").iterdir()] == []
    assert not (user.home / MARK).exists()


def _as_told(kinds: set[str], name: str) -> bool:
    """Whether a candidate failed in a way that it may, or not at all where it may not."""
    expected = IN_TRAINING[name][1]
    return kinds <= expected and bool(kinds) == bool(expected)


def _kinds(candidate: dict[str, Any]) -> set[str]:
    failures = [candidate["failure"], *(seed["failure"] for seed in candidate["seeds"])]
    return {failure["kind"] for failure in failures if failure}


TRAINED_ALONE = ("read a secret", "exit", "count calls")


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
def test_training_with_a_hostile_reward_says_no_and_leaks_nothing(
    user: User, backend: Backend
) -> None:
    (user.home / "jobs").mkdir()
    for name in TRAINED_ALONE:
        (body, kinds), folder = IN_TRAINING[name], name.replace(" ", "-")
        (user.home / "reward.py").write_text(hostile(body, user.home))
        done = user.does(
            *("train", "--reward", "reward.py", "--env", "rewardsmith/Point-v0", "--json"),
            *("--steps", "5000", "--final-seeds", "1", "--eval-episodes", "1"),
            *("--out", f"jobs/{folder}", "--sandbox", backend.name),
        )
        assert done.code == 1, done.err
        assert CANARY not in done.out + done.err
        assert json.loads(done.out)["fitness"] == []
        (report,) = (user.home / "jobs" / folder).glob("*/report.json")
        assert json.loads(report.read_text())["failure"]["kind"] in kinds
    assert user.leaks() == []
    assert [path.name for path in (user.home / "tmp").iterdir()] == []


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
def test_checking_a_hostile_reward_says_no_and_leaks_nothing(user: User, backend: Backend) -> None:
    for name in ("read keys", "exit", "forge frames"):
        body, kinds = IN_TRAINING[name]
        source = hostile(body, user.home).replace("len(near) > 500", "len(near) > 0")
        (user.home / "reward.py").write_text(source)
        done = user.does(
            *("check", "reward.py", "--env", "rewardsmith/Point-v0", "--json"),
            *("--sandbox", backend.name),
        )
        assert done.code == 1, done.err
        assert json.loads(done.out)["failure"]["kind"] in kinds
        assert CANARY not in done.out + done.err
    assert user.leaks() == []


@pytest.mark.slow
def test_without_walls_the_secret_is_found(tmp_path: Path) -> None:
    """The positive control: what is looked for above can be found."""
    user = User(tmp_path / "home")
    user.prepare()
    (user.home / "reward.py").write_text(hostile(IN_TRAINING["read a secret"][0], user.home))
    done = user.does(
        *("train", "--reward", "reward.py", "--env", "rewardsmith/Point-v0", "--out", "jobs"),
        *("--steps", "5000", "--final-seeds", "1", "--eval-episodes", "1"),
        *("--sandbox", "none", "--yes-run-unsandboxed"),
    )
    assert CANARY in done.out
    assert any(name.endswith("report.json") for name in user.leaks())


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("command", ["design", "train"])
def test_a_killed_command_takes_jobs_and_workers_with_it(
    user: User, backend: Backend, command: str
) -> None:
    """The command, its job, its worker that is busy for ever: two seconds later all are gone."""
    endless = hostile("while N: pass", user.home)
    (user.home / "reward.py").write_text(endless)
    words = user.design([endless], backend.name)
    if command == "train":
        words = ("train", "--reward", "reward.py", "--env", "rewardsmith/Point-v0")
        words += ("--out", "jobs", "--steps", "5000", "--final-seeds", "1")
        words += ("--sandbox", backend.name)
    before = _containers(user.engine) if user.engine else set()
    with user.starts(*words) as process:
        end = time.monotonic() + 60.0
        while not _is_training(user.home) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(1.0)  # the first rollout is played, the worker has begun to loop
        tree = _descendants(process.pid)
        ours = (_containers(user.engine) if user.engine else set()) - before
        assert len(tree) >= (1 if user.engine else 2), "a job, and on this machine its worker"
        process.kill()
        killed = time.monotonic()
        process.communicate()
    left = _gone_within(killed + 2.0 - time.monotonic(), lambda: {p for p in tree if _alive(p)})
    assert not left
    if user.engine:
        assert ours
        # Others may use the engine; what started beside this command may not outlast it for long.
        assert not _gone_within(20.0, lambda: ours & _containers(user.engine))


def _is_training(folder: Path) -> bool:
    return any(folder.rglob("progress.json"))
