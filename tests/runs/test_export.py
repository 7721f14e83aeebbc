import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.task import Task
from rewardsmith.errors import StoreError, TrainingError
from rewardsmith.runs.export import export_best, readme_text, reward_text
from rewardsmith.runs.records import Candidate, RunState, Unit
from rewardsmith.runs.report_facts import RunFacts
from rewardsmith.runs.training.files import write_unit
from rewardsmith.runs.training.policy import PolicySpec, checked, load_policy, save_policy, shapes
from rewardsmith.sandbox.shaping import parse_shaping

HOPPER: dict[str, Any] = {
    "observation_size": 11, "action_shape": (3,), "low": (-1.0,) * 3, "high": (1.0,) * 3
}  # fmt: skip


@pytest.fixture
def task(run_facts: RunFacts) -> Task:
    assert run_facts.task is not None
    return run_facts.task


@pytest.fixture
def best(finished_run: RunState) -> Candidate:
    return next(c for c in finished_run.candidates if c.id == finished_run.best)


def job(folder: Path, task: Task, spec: PolicySpec, trainer: str, **changes: Any) -> Path:
    unit = Unit(id="final.best.s0", task=task, program=None, trainer=trainer, hyperparams=changes,
                seed=1, steps=10, eval_seeds=(1,))  # fmt: skip
    write_unit(folder, unit)
    rng = np.random.default_rng(3)
    weights = {k: rng.normal(size=s).astype(np.float32) for k, s in shapes(spec).items()}
    save_policy(checked(spec, weights), folder)
    return folder


def test_the_reward_runs_by_itself_with_numpy_alone(
    tmp_path: Path, finished_run: RunState, best: Candidate, task: Task
) -> None:
    file = tmp_path / "reward.py"
    file.write_text(reward_text(finished_run, best, task, date="2026-05-11"), encoding="utf-8")
    reward = runpy.run_path(str(file))["compute_reward"]
    n = 5
    total, parts = reward(
        forward_velocity=np.full(n, 2.0),
        torso_height=np.full(n, 1.2),
        torso_pitch=np.zeros(n),
        action=np.zeros((n, 3)),
    )
    np.testing.assert_allclose(total, np.full(n, 2.5))
    assert set(parts) == {"run", "upright", "effort"}


def test_the_rewards_file_carries_its_evidence_and_its_use(
    finished_run: RunState, best: Candidate, task: Task
) -> None:
    text = reward_text(finished_run, best, task, date="2026-05-11")
    assert "# Reward for: Hop forward as fast as possible without falling" in text
    assert "candidate g1.0, program 3fb2c09d1a77, 2026-05-11" in text
    assert "designed reward, held-out seeds  22.4 [20.3, 24.5] (n = 5); 200,000 steps" in text
    assert "human reward, held-out seeds     15.2 [11.5, 18.9] (n = 5)" in text
    assert "#   forward_velocity (N) [m/s]: speed of the torso along x" in text
    assert 'find_task("Hopper-v5")' in text
    assert best.program is not None
    assert text.rstrip("\n").endswith(best.program.rstrip("\n"))


def test_evidence_of_another_candidate_is_not_claimed(finished_run: RunState, task: Task) -> None:
    text = reward_text(finished_run, finished_run.candidates[0], task, date="d")
    assert "designed reward, held-out seeds" not in text
    assert "selection seeds              8.1 [3.8, 12.5] (n = 3)" in text


def test_no_task_text_leaves_the_comment(
    tmp_path: Path, finished_run: RunState, best: Candidate, task: Task
) -> None:
    bad = "hop\nimport os\r\x0cos.abort()\u2028os.abort()"
    poisoned = replace(task, text=bad, fitness_meaning=bad, fitness_unit=bad)
    file = tmp_path / "reward.py"
    text = reward_text(finished_run, best, poisoned, date="d")
    file.write_text(text, encoding="utf-8")
    head = text.split("import numpy as np")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "os" not in runpy.run_path(str(file))


@pytest.mark.slow
def test_the_lines_in_the_readme_load_the_policy(
    tmp_path: Path, finished_run: RunState, best: Candidate, task: Task
) -> None:
    norm = {"mean": (0.1,) * 11, "var": (2.0,) * 11, "clip": 10.0, "epsilon": 1e-8}
    spec = PolicySpec.model_validate(
        {"kind": "ppo", "hidden": (8, 8), "normalisation": norm, **HOPPER}
    )
    changes = {"net_arch": [8, 8], "normalize_obs": True}
    folder = job(tmp_path / "jobs" / "final.best.s0", task, spec, "ppo", **changes)
    (folder / "tensorboard").mkdir()
    made = export_best(tmp_path, finished_run, best, task, folder)
    names = sorted(p.name for p in (tmp_path / "best").iterdir())
    assert names == ["README.md", "policy.vecnormalize.pkl", "policy.zip", "reward.py"]
    readme = made.readme.read_text(encoding="utf-8")
    assert "tensorboard --logdir jobs/final.best.s0/tensorboard" in readme
    lines = readme.split("```python\n")[1].split("```")[0]
    assert lines.strip() == made.load_lines.strip()
    ask = "\nprint(*model.predict(env.normalize_obs(__import__('numpy').ones((1, 11))),"
    ask += " deterministic=True)[0][0].tolist())"
    done = subprocess.run(
        [sys.executable, "-c", lines + ask], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wanted = load_policy(folder)(np.ones(11))
    np.testing.assert_allclose([float(x) for x in done.stdout.split()], wanted, atol=1e-5)


def test_a_policy_that_has_no_other_form_stays_plain_arrays(
    tmp_path: Path, finished_run: RunState, best: Candidate, task: Task
) -> None:
    spec = PolicySpec.model_validate({"kind": "linear", **HOPPER})
    folder = job(tmp_path / "jobs" / "u", task, spec, "toy")
    made = export_best(tmp_path, finished_run, best, task, folder)
    assert [p.name for p in made.policy] == ["policy.safetensors", "policy.json"]
    assert made.tensorboard is None
    code = made.load_lines + "\nimport numpy\nprint(act(numpy.ones(11)).shape)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "(3,)\n", done.stderr


def test_the_reward_tells_the_shaping_that_it_was_trained_with(
    finished_run: RunState, best: Candidate, task: Task
) -> None:
    own = f"# rewardsmith: combine=sum\n{best.program}"
    changes = {"program": own, "shaping": parse_shaping("combine=geomean,squash=clip(0,1)")}
    text = reward_text(finished_run, best.model_copy(update=changes), task, date="d")
    marks = [line for line in text.split("\n") if line.startswith("# rewardsmith:")]
    assert marks == ["# rewardsmith: combine=geomean,squash=clip(0,1)"]


def test_a_candidate_without_program_cannot_be_exported(
    tmp_path: Path, finished_run: RunState, task: Task
) -> None:
    with pytest.raises(StoreError, match="has no program"):
        export_best(tmp_path, finished_run, finished_run.candidates[3], task, tmp_path)


def test_a_job_without_policy_is_an_error_that_names_it(
    tmp_path: Path, finished_run: RunState, best: Candidate, task: Task
) -> None:
    with pytest.raises(TrainingError, match="no readable policy"):
        export_best(tmp_path, finished_run, best, task, tmp_path / "jobs" / "gone")


def test_a_folder_that_cannot_be_written_is_a_store_error(
    tmp_path: Path, finished_run: RunState, best: Candidate, task: Task
) -> None:
    (tmp_path / "best").write_text("a file in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        export_best(tmp_path, finished_run, best, task, tmp_path)


def test_the_readme_says_where_there_are_no_logs(tmp_path: Path, task: Task) -> None:
    assert "no TensorBoard logs" in readme_text(tmp_path, task, "x = 1", tensorboard=None)
