"""Whole trainings with rewards that are honest for a while, and with rewards that dawdle."""

from pathlib import Path
from typing import Any

import pytest

from rewardsmith.envs import toy
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import reward_sources
from rewardsmith.runs.training.auditing import AuditedReward
from rewardsmith.runs.training.files import write_unit
from rewardsmith.runs.training.job import run_job

NEAR = """
N = [0]

def compute_reward(position, target):
    N[0] += 1
    near = -np.abs(position - target)
    return near CHEAT, {"near": near}
"""
MEMORY = """
MEMORY = {"best": -9.0}
N = [0]

def compute_reward(position, target, memory):
    N[0] += 1
    near = -np.abs(position - target)
    memory["best"] = np.maximum(memory["best"], near)
    return near + memory["best"] CHEAT, {"near": near}
"""
TRAINERS: dict[str, dict[str, Any]] = {
    "toy": {"population": 8},
    "ppo": {"n_envs": 2, "n_steps": 32, "batch_size": 64, "n_epochs": 1, "net_arch": [8]},
}


def report(folder: Path, program: str, trainer: str = "toy", **changes: Any) -> TrainingReport:
    plain: dict[str, Any] = {
        "id": "g0.1.s1", "task": toy.tasks()[0], "program": program, "trainer": trainer,
        "hyperparams": TRAINERS[trainer], "seed": 4, "steps": 1500, "sandbox": "process",
        "eval_seeds": (10**9, 10**9 + 1), "eval_points": 1, "eval_episodes_per_point": 1,
    }  # fmt: skip
    write_unit(folder, Unit(**(plain | changes)))
    return run_job(folder)


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("program", [NEAR, MEMORY], ids=["plain", "memory"])
def test_honest_programs_train_under_every_trainer(
    trainer: str, program: str, tmp_path: Path
) -> None:
    found = report(tmp_path, program.replace("CHEAT", ""), trainer)
    assert found.failure is None
    assert found.fitness is not None


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(
    ("program", "cheat"),
    [(NEAR, "+ (N[0] > 2)"), (NEAR, "+ N[0] % 2"), (MEMORY, "+ (N[0] > 60)")],
    ids=["counting", "alternating", "beside memory"],
)
def test_a_program_that_changes_is_impure_and_has_no_fitness(
    trainer: str, program: str, cheat: str, tmp_path: Path
) -> None:
    found = report(tmp_path, program.replace("CHEAT", cheat), trainer)
    assert found.failure is not None
    assert found.failure.kind == "impure"
    assert found.fitness is None
    assert found.episodes == ()
    assert not (tmp_path / "policy.safetensors").exists(), "no policy is kept of it"
    assert found.steps > 0
    assert found.reward_calls > 3


def test_a_long_cheat_ends_before_the_training_does(tmp_path: Path) -> None:
    program = NEAR.replace("CHEAT", "+ (N[0] > 4)")
    found = report(tmp_path, program, "ppo", steps=6400)
    assert found.failure is not None
    assert found.failure.kind == "impure"
    assert found.steps < 1000


def test_audits_do_not_change_what_a_training_comes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = NEAR.replace("CHEAT", "")
    audited = report(tmp_path / "audited", program, "ppo")
    monkeypatch.setattr(AuditedReward, "_audit", lambda self: None)
    alone = report(tmp_path / "alone", program, "ppo")
    assert audited.fitness == alone.fitness
    assert [p.total for p in audited.curve] == [p.total for p in alone.curve]
    assert audited.reward_calls > alone.reward_calls


def test_a_reward_that_dawdles_is_stopped_with_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls take longer and longer, and the last would outlast any machine's patience."""
    slow = (
        "N = [0]\n"
        "def compute_reward(position):\n"
        "    N[0] += 1\n"
        "    for n in range(10**5 * 8**N[0]): n * n\n"
        "    return -np.abs(position), {}\n"
    )
    monkeypatch.setattr(reward_sources, "_ALLOWANCE_S", 0.3)
    found = report(tmp_path, slow, "ppo", steps=640)
    assert found.failure is not None
    assert found.failure.kind == "timeout"
    assert "rows per second" in found.failure.text
    assert found.fitness is None
