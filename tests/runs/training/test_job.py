import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.curve import curve_seeds
from rewardsmith.runs.training.files import finished, write_unit
from rewardsmith.runs.training.gating import visible
from rewardsmith.runs.training.job import run_job
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.trainers import find_trainer
from rewardsmith.runs.training.trajectories import load_episodes
from rewardsmith.runs.whole import write_whole

CONTINUOUS = toy.tasks()[0]
NEAR = """
def compute_reward(position, target, velocity):
    near = -np.abs(position - target)
    calm = -0.01 * velocity**2
    return near + calm, {"near": near, "calm": calm}
"""


def unit(**changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "g0.1.s1", "task": CONTINUOUS, "program": None, "trainer": "toy",
        "hyperparams": {"population": 8}, "seed": 4, "steps": 1500,
        "eval_seeds": tuple(range(10**9, 10**9 + 12)), "eval_points": 2,
    }  # fmt: skip
    return Unit(**(plain | changes))


def run(folder: Path, work: Unit) -> TrainingReport:
    write_unit(folder, work)
    return run_job(folder)


TIMES = ("wall_s", "cpu_s", "reward_wall_s", "steps_per_s")


def timeless(report: TrainingReport) -> dict[str, Any]:
    plain = report.model_dump(mode="json")
    for record in (plain, *plain["curve"]):
        for name in TIMES:
            record.pop(name, None)
    return plain


def test_a_unit_becomes_a_report_with_curve_episodes_and_files(tmp_path: Path) -> None:
    report = run(tmp_path, unit())
    assert report.fitness is not None
    assert report.failure is None
    assert report.steps >= 1500
    assert [point.steps for point in report.curve] == sorted(p.steps for p in report.curve)
    assert len(report.curve) == 2
    assert report.curve[-1].components.keys() == {"native"}
    assert sum(report.outcomes.values()) == len(report.episodes) == 12
    assert report.fitness == pytest.approx(np.mean([e.fitness for e in report.episodes]))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"policy.safetensors", "policy.json", "curve.jsonl", "trajectories.npz"} <= names
    assert finished(tmp_path, unit()) == report
    assert report.wall_s > 0
    assert report.versions["python"]


def test_only_ten_judged_episodes_are_stored_and_only_they_have_returns(tmp_path: Path) -> None:
    report = run(tmp_path, unit())
    stored = load_episodes(tmp_path / files.TRAJECTORIES)
    assert [e.seed for e in stored] == [e.seed for e in report.episodes[:10]]
    for episode, summary in zip(stored, report.episodes, strict=False):
        native = float(episode.steps.native_reward.sum())
        assert summary.reward_return == pytest.approx(native)
        assert summary.length == episode.length
        assert len(summary.fields["position"]) == 10
        assert summary.fields["position"][-1] == episode.steps.after["position"][-1]
    assert report.episodes[10].reward_return is None


@pytest.mark.slow
def test_a_program_trains_through_its_worker(tmp_path: Path) -> None:
    report = run(tmp_path, unit(program=NEAR))
    assert report.failure is None
    assert set(report.curve[0].components) == {"near", "calm"}
    episode = report.episodes[0]
    assert episode.reward_return == pytest.approx(sum(episode.component_returns.values()))
    assert report.reward_calls > 1


@pytest.mark.slow
def test_a_program_that_fails_in_training_gives_a_failure_and_no_fitness(tmp_path: Path) -> None:
    program = (
        "def compute_reward(position):\n"
        "    return 1.0 / np.where(np.abs(position) > 0.2, 0.0, 1.0), {}\n"
    )
    report = run(tmp_path, unit(program=program))
    assert report.fitness is None
    assert report.failure is not None
    assert report.episodes == ()


def test_steps_of_zero_judge_the_random_policy(tmp_path: Path) -> None:
    report = run(tmp_path, unit(steps=0))
    assert report.steps == 0
    assert report.fitness is not None
    assert report.curve == ()
    assert not (tmp_path / "policy.json").exists()
    actions = np.concatenate([e.steps.action for e in load_episodes(tmp_path / files.TRAJECTORIES)])
    assert actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.05)


def test_a_finished_folder_is_never_run_again(tmp_path: Path) -> None:
    report = run(tmp_path, unit())
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert run_job(tmp_path) == report
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("damage", ["{", ""])
def test_a_report_that_cannot_be_read_counts_as_none(damage: str, tmp_path: Path) -> None:
    report = run(tmp_path, unit())
    (tmp_path / files.REPORT).write_text(damage)
    assert finished(tmp_path, unit()) is None
    assert timeless(run_job(tmp_path)) == timeless(report)


def test_a_report_of_another_unit_counts_as_none(tmp_path: Path) -> None:
    run(tmp_path, unit())
    assert finished(tmp_path, unit(seed=5)) is None


def test_a_repeat_gives_the_same_report_apart_from_times(tmp_path: Path) -> None:
    first, second = (run(tmp_path / name, unit()) for name in ("a", "b"))
    assert timeless(first) == timeless(second)


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rewardsmith.runs.training.job", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_job_killed_at_any_moment_ends_in_the_same_report_when_run_again(tmp_path: Path) -> None:
    work = unit(steps=6000)
    whole = run(tmp_path / "whole", work)
    folder = tmp_path / "killed"
    write_unit(folder, work)
    for moment in (0.3, 0.6, 0.8, 1.0, 1.2):
        process = start(folder)
        time.sleep(moment)
        process.kill()
        process.wait()
    assert timeless(run_job(folder)) == timeless(whole)


@pytest.mark.slow
def test_sigterm_ends_a_job_in_order_and_without_a_report(tmp_path: Path) -> None:
    write_unit(tmp_path, unit(steps=10_000_000))
    process = start(tmp_path)
    while not (tmp_path / files.CURVE).exists() and not (tmp_path / files.PROGRESS).exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert not (tmp_path / files.REPORT).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
@pytest.mark.slow
def test_a_job_dies_with_whoever_started_it(tmp_path: Path) -> None:
    write_unit(tmp_path, unit(steps=10_000_000))
    program = (
        "import os, subprocess, sys, time\n"
        "from rewardsmith.runs.training.lifetime import job_environment\n"
        "command = [sys.executable, '-m', 'rewardsmith.runs.training.job', sys.argv[1]]\n"
        "child = subprocess.Popen(command, env=job_environment(os.environ))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while not (tmp_path / files.PROGRESS).exists():
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not alive(child):
            break
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_judge_is_told_no_reward(tmp_path: Path) -> None:
    run(tmp_path, unit())
    told = json.loads((tmp_path / files.JUDGING).read_text())
    assert set(told) == {"task", "eval_seeds", "random_seed"}


@pytest.mark.parametrize("changes", [{"eval_seeds": ()}, {"steps": -1}])
def test_a_unit_that_cannot_be_judged_is_refused_before_it_is_trained(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="at least one episode"):
        run(tmp_path, unit(**changes))
    assert {p.name for p in tmp_path.iterdir()} == {files.UNIT}


@pytest.mark.parametrize("content", ["", "{", '{"id": 3}', "\x00"])
def test_a_damaged_unit_is_told_in_words_and_by_exit_code(content: str, tmp_path: Path) -> None:
    (tmp_path / files.UNIT).write_text(content)
    with start(tmp_path) as process:
        assert process.wait(60) == TrainingError.exit_code
    told = files.read_json(tmp_path / files.ERROR)
    assert told is not None
    assert told["error"] == "TrainingError"
    assert "no readable unit.json" in told["text"]


def test_stages_follow_one_another_up_to_the_end(tmp_path: Path) -> None:
    run(tmp_path, unit())
    state = json.loads((tmp_path / files.PROGRESS).read_text())
    assert state["stage"] == "done"
    assert state["steps"] >= state["total_steps"] == 1500
    assert not list(tmp_path.glob("*.tmp"))


def test_progress_is_whole_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    write_whole(path, b"{}", lasting=False)
    torn: list[bytes] = []
    done = threading.Event()

    def reads() -> None:
        while not done.is_set():
            if files.read_json(path) is None:
                torn.append(path.read_bytes())

    reader = threading.Thread(target=reads)
    reader.start()
    for n in range(400):
        content = json.dumps({"n": n, "pad": "x" * (n % 7) * 9000}).encode()
        write_whole(path, content, lasting=False)
    done.set()
    reader.join()
    assert torn == []


@pytest.mark.parametrize(
    "content", ["[" * 200_000, '{"a": ' * 50_000, '{"pad": "' + "x" * 2_000_000 + '"}', "\xff"]
)
def test_hostile_small_files_read_as_nothing(content: str, tmp_path: Path) -> None:
    path = tmp_path / files.PROGRESS
    path.write_text(content, encoding="latin-1")
    assert files.read_json(path) is None


def test_a_missing_fitness_is_an_error_of_the_callers(tmp_path: Path) -> None:
    task = replace(CONTINUOUS, fitness="no_such_module:fitness")
    with pytest.raises(ConfigError, match="no_such_module"):
        run(tmp_path, unit(task=task))
    assert not (tmp_path / files.REPORT).exists()


def test_curve_and_judgement_share_no_seed() -> None:
    work = unit()
    assert not set(curve_seeds(work)) & set(work.eval_seeds)
    assert curve_seeds(work) == curve_seeds(work)
    taken = work.model_copy(update={"eval_seeds": curve_seeds(work)})
    assert not set(curve_seeds(taken)) & set(taken.eval_seeds)


def test_hidden_fields_are_taken_from_what_a_reward_is_sent(tmp_path: Path) -> None:
    run(tmp_path, unit())
    steps = load_episodes(tmp_path / files.TRAJECTORIES)[0].steps
    assert "out" in steps.after
    assert "out" not in visible(steps, CONTINUOUS.env).after


@pytest.mark.slow
def test_ppo_leaves_logs_that_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    params = {"n_steps": 32, "batch_size": 64, "n_envs": 4, "net_arch": [8]}
    report = run(tmp_path, unit(trainer="ppo", hyperparams=params, steps=600))
    assert report.fitness is not None
    assert report.curve[-1].policy_std == pytest.approx(1.0, abs=0.1)
    logs = EventAccumulator(str(tmp_path / files.TENSORBOARD))
    logs.Reload()
    wanted = {"fitness/mean", "reward/total", "reward/native", "rollout/ep_rew_mean", "time/fps"}
    assert wanted <= set(logs.Tags()["scalars"])


def test_secrets_do_not_reach_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from rewardsmith.runs.training.lifetime import forget_secrets, job_environment

    secrets = {"OPENAI_BASE_URL": "x", "MY_API_KEY": "x", "GITHUB_TOKEN": "x", "DB_PASSWORD": "x"}
    kept = {"PATH": "/bin", "HOME": "/root", "LANG": "C"}
    found = job_environment(secrets | kept)
    assert not set(found) & set(secrets)
    assert kept.items() <= found.items()
    assert found["OMP_NUM_THREADS"] == "1"
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    forget_secrets()
    assert not set(os.environ) & set(secrets)


def test_rungs_end_in_the_report_of_a_training_that_never_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", unit())
    rungs = [unit(stop=500, checkpoint=True)]
    rungs += [rungs[0].promoted("b", 1000)]
    rungs += [rungs[1].promoted("c")]
    reports = [run(tmp_path / work.id, work) for work in rungs]
    assert [report.earlier_steps for report in reports] == [0, *(r.steps for r in reports[:2])]
    assert not (tmp_path / "c" / files.CHECKPOINT).exists()
    end = reports[-1].model_copy(update={"unit": whole.unit, "earlier_steps": 0})
    assert timeless(end)["curve"] == timeless(whole)["curve"]
    assert end.fitness == whole.fitness
    assert (tmp_path / "c" / files.CURVE).read_text().count("\n") == len(whole.curve)
    assert end.steps == whole.steps


class Rash:
    """A trainer that knows no rungs."""

    def train(self, order: Any, reward: Any, watch: Any) -> Any:
        return find_trainer("toy").train(replace(order, checkpoint=None), reward, watch)


rash = Rash()


def test_a_trainer_that_leaves_no_checkpoint_is_told_of(tmp_path: Path) -> None:
    params = hyperparams("toy", CONTINUOUS.env.id, {"population": 8})
    work = unit(trainer=f"{__name__}:rash", hyperparams=params, checkpoint=True)
    with pytest.raises(ConfigError, match="leaves no checkpoints"):
        run(tmp_path, work)


def test_a_promoted_unit_without_its_checkpoint_is_an_error(tmp_path: Path) -> None:
    first = unit(stop=500, checkpoint=True)
    run(tmp_path / first.id, first)
    (tmp_path / first.id / files.CHECKPOINT / "curve.json").unlink()
    with pytest.raises(TrainingError, match=r"no readable curve\.json"):
        run(tmp_path / "b", first.promoted("b"))
