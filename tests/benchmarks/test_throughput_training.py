"""The arithmetic of the training benchmark, on turns whose answer is known; and one real turn."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from rewardsmith.envs.registry import find_task
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward


@pytest.fixture
def training(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    for name in ("throughput_training", "training_speed", "quiet_slices"):
        sys.modules.pop(name, None)
    import throughput_training as module  # type: ignore[import-not-found]

    assert isinstance(module, ModuleType)
    return module


def test_a_ratio_is_taken_round_by_round_by_processor_time(training: ModuleType) -> None:
    def turns(*cpu_s: float) -> list[object]:
        return [training.Turn(training.Slice(1000, 2.0, cpu, 0.0), 0.5, 0.1) for cpu in cpu_s]

    found = {"sb3_dummy8": turns(8.0, 16.0, 4.0), "fast_k8": turns(1.0, 2.0, 0.5)}
    rates, ratios = training.rows_of(found)
    assert ratios == {"fast_k8": {"wall": 1.0, "per_core": 8.0, "rounds": 3, "noisy": True}}
    assert rates["fast_k8"]["per_core_s"] == 1000.0
    assert (rates["fast_k8"]["start_cpu_s"], rates["fast_k8"]["audit_cpu_s"]) == (0.5, 0.1)
    assert "start_cpu_s" not in rates["sb3_dummy8"]


@pytest.mark.parametrize(("calls", "audits"), [(7, 1), (8, 2), (63, 2), (64, 3), (512, 4)])
def test_audits_come_after_the_calls_at_which_rewards_are_audited(
    training: ModuleType, calls: int, audits: int
) -> None:
    from rewardsmith.runs.training import auditing

    assert training.audits_of(calls) == audits
    assert (training.FIRST_AUDIT, training.AUDIT_FACTOR) == (
        auditing._FIRST_AUDIT,
        auditing._AUDIT_FACTOR,
    )


def test_as_many_audits_are_counted_as_come_to_as_many_steps(training: ModuleType) -> None:
    way = training.Fast(find_task("HalfCheetah-v5"), 64, 2)
    way._audit_s = 0.4
    begin, first, last = (training.Moment(t, 2 * t, 2 * t) for t in (-2.0, 0.0, 10.0))
    turn = way._turn(begin, first, last, 0.8)
    steps = (training.STACK_ROLLOUTS - 1) * 2048 * 2
    assert turn.slice.units == steps
    # 146 rollouts bring two audits and the last; on the way one of each lane was counted.
    wanted = 3 * steps / 300_000
    assert turn.slice.cpu_s == pytest.approx(20.0 - 0.8 + 0.4 * wanted)
    assert (turn.start_cpu_s, turn.audit_s) == (2.0, 0.4)


def test_an_audit_costs_at_least_the_start_of_a_worker(training: ModuleType) -> None:
    from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps

    program = "def compute_reward(speed):\n    return speed, {}\n"
    assert 0.0 < training.audit_cost_s(program, EXAMPLE_SPEC, example_steps(64)) < 5.0


def test_clocks_are_read_after_the_first_update_and_after_the_last(training: ModuleType) -> None:
    marks = training.Marks(30)
    for steps in (10, 20, 30):
        assert marks.updated(steps, None, None) == {}
    assert len(marks.moments) == 2
    assert marks.moments[0].wall < marks.moments[1].wall


def test_the_processor_time_of_living_and_of_ended_children_counts(training: ModuleType) -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    begin, own = training.cpu_s(), time.process_time()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    living = training.cpu_s() - begin - (time.process_time() - own)
    child.communicate(b"\n")
    ended = training.cpu_s() - begin - (time.process_time() - own)
    assert living == pytest.approx(0.3, abs=0.1)
    assert ended == pytest.approx(0.3, abs=0.15)


def test_the_audited_call_is_measured_and_all_answers_pass_through(training: ModuleType) -> None:
    class Busy(NativeReward):
        def rewards(self, steps: object, *, carry: bool = False) -> object:  # type: ignore[override]
            end = time.process_time() + (0.05 if asked.calls == training.FIRST_AUDIT else 0.0)
            while time.process_time() < end:
                pass
            return steps

    asked = training.Asked(Busy())
    assert [asked.rewards(i, carry=True) for i in range(10)] == list(range(10))
    assert asked.counted_s == pytest.approx(0.05, abs=0.03)
    assert asked.steps == 9  # the last


@pytest.mark.slow
def test_both_sides_train_and_are_compared(
    training: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SB3_ROLLOUTS", 1)
    monkeypatch.setattr(training, "FAST_ROLLOUTS", 10)
    monkeypatch.setattr(training, "STACK_ROLLOUTS", 10)
    sizes = {"n_envs": 2, "n_steps": 32, "batch_size": 64, "n_epochs": 2}
    small = hyperparams("fast", "HalfCheetah-v5", sizes)
    monkeypatch.setattr(training, "_params", lambda task, batch: small)
    monkeypatch.chdir(os.environ.get("TMPDIR", "/tmp"))
    found = training.measured("HalfCheetah-v5", 64, 1)
    rates, ratios = training.rows_of(found)
    assert set(rates) == {"sb3_dummy8", "fast_k1", "fast_k8"}
    assert found["fast_k8"][0].slice.units == 9 * 64 * 8
    assert ratios["fast_k8"]["per_core"] > 0
    assert 0 < found["fast_k1"][0].start_cpu_s < 60
