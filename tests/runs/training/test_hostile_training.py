"""Trainings with hostile programs that the friendly rules on the text would have refused."""

from pathlib import Path
from typing import Any

import pytest

from rewardsmith.envs import toy
from rewardsmith.runs.training.auditing import AuditedReward
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import MeteredReward
from rewardsmith.runs.training.trainers import Order, Trained, Unwatched, find_trainer
from rewardsmith.sandbox.backend import Backend, Limits
from rewardsmith.sandbox.bubblewrap import BubblewrapBackend, find_bubblewrap
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.process import ProcessBackend

CANARY = "canary-2c61-must-never-appear"
SPEC = toy.tasks()[0].env
_LOAD = 'load = np.linalg.__dict__["__builtins__"]["__import__"]\nos = load("os")\nN = [0]\n'
QUICK = Limits(memory_bytes=2**29, region_bytes=2**24, call_s=1.0, row_s=0.0)


def program(body: str) -> str:
    """Returns a program that is honest in its first call and does ``body`` in every later one."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return (
        f"{_LOAD}\ndef compute_reward(position, target):\n    N[0] += 1\n"
        f"    near = -np.abs(position - target)\n    if N[0] > 1:\n{lines}"
        '    return near, {"near": near}\n'
    )


_WRITES = "for n in range(3, 256):\n    try: os.write(n, {})\n    except OSError: pass"
ATTACKS: dict[str, tuple[str, set[str]]] = {
    "keys": ("raise RuntimeError(str(dict(os.environ)))", {"reward_error"}),
    "files": ("raise RuntimeError(str(os.open(SECRET, 0)))", {"reward_error"}),
    "sockets": ("load('socket').socket()", {"reward_error"}),
    "forks": ("os.fork()", {"reward_error"}),
    "threads": ("load('_thread').start_new_thread(len, ((),))", {"reward_error"}),
    "memory": ("kept = []\nwhile True: kept.append(np.empty(10**6))", {"oom", "killed"}),
    "loop": ("while True: pass", {"stalled"}),
    "exit": ("os._exit(0)", {"exited"}),
    "crash": ("load('ctypes').string_at(0)", {"killed"}),
    "forged": (_WRITES.format(r"b'\xff' * 64"), {"protocol_error"}),
    "half a frame": (_WRITES.format(r"b'\x40\0\0\0{'") + "\nwhile True: pass", {"stalled"}),
    "an answer of its own": (
        _WRITES.format(r"b'\x02\0\0\0{}'"), {"protocol_error", "exited"}
    ),
    "clock": ("near = near + load('time').perf_counter() % 1.0", {"impure"}),
    "NumPy's settings": (
        "settings = load('numpy').get_printoptions()\n"
        "load('numpy').set_printoptions(precision=settings['precision'] + 1)\n"
        "near = near + settings['precision']",
        {"impure"},
    ),
    "modules of the process": (
        "seen = load('sys').modules.setdefault('seen', [])\nseen.append(0)\n"
        "near = near + len(seen)",
        {"impure"},
    ),
    "now and then": ("near = near if N[0] % 3 else near + 1.0", {"impure"}),
}  # fmt: skip


@pytest.fixture(params=["process", "bubblewrap"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "process":
        return ProcessBackend()
    if find_bubblewrap() is None:
        pytest.skip("bwrap is not installed (apt-get install bubblewrap)")
    return BubblewrapBackend()


def trained(source: str, backend: Backend) -> Trained | Failure | None:
    """Trains for six rollouts; a verdict stands above the policy, as in a job."""

    def fresh() -> RewardClient:
        return RewardClient(source, SPEC, sandbox=backend, limits=QUICK, policy=False)

    params = hyperparams("toy", SPEC.id, {"population": 8, "episodes": 1})
    order = Order(SPEC, params, seed=3, steps=6 * 8 * SPEC.max_steps)
    with MeteredReward(AuditedReward(fresh(), fresh, memory=False, seed=1)) as reward:
        outcome = find_trainer("toy").train(order, reward, Unwatched())
        return outcome if isinstance(outcome, Failure) else reward.verdict() or outcome


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_during_a_training_ends_in_a_failure_of_its_kind(
    name: str, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    secret.chmod(0o644)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    body, kinds = ATTACKS[name]
    outcome = trained(program(body).replace("SECRET", repr(str(secret))), backend)
    assert isinstance(outcome, Failure)
    assert outcome.kind in kinds, outcome
    assert CANARY not in outcome.text
    assert secret.read_text() == CANARY
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_without_an_attack_the_same_training_ends_with_a_policy(backend: Backend) -> None:
    outcome: Any = trained(program("pass"), backend)
    assert isinstance(outcome, Trained)
