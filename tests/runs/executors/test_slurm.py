"""Slurm's stand-in is submitit's local executor: the same calls, with jobs on this machine."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stack_rig import PARAMS, STACKED, lanes, rig

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.executors import find_executor
from rewardsmith.runs.executors.slurm import SUBMISSIONS, Slurm
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training import files

TASK = toy.tasks()[0]
# submitit leaves the processes of its local jobs, and their pipes, to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def unit(name: str, **changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": name, "task": TASK, "program": None, "trainer": "toy",
        "hyperparams": {"population": 4}, "seed": 1, "steps": 400, "eval_seeds": (10**9,),
        "eval_points": 1,
    }  # fmt: skip
    return Unit(**(plain | changes))


def here(**changes: Any) -> Slurm:
    plain: dict[str, Any] = {"cluster": "local", "poll_s": 0.1, "settle_s": 0.2}
    return Slurm(**(plain | changes))


def test_it_is_found_by_its_name_and_imports_submitit_only_to_run() -> None:
    program = (
        "import sys; from rewardsmith.runs.executors import find_executor;"
        "find_executor('slurm', partition='gpu'); sys.exit('submitit' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert find_executor("slurm", partition="cpu", time_min=30) == Slurm("cpu", 30)


@pytest.mark.parametrize(
    "wrong", [{"time_min": 0}, {"mem_gb": -1}, {"workers": 0}, {"cpus": 0}, {"stack": 0}]
)
def test_impossible_sizes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="above 0 are wanted"):
        Slurm(**wrong)


def test_without_slurm_on_this_machine_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot submit to 'slurm' here"):
        list(Slurm().run([(unit("a"), tmp_path / "a")]))


@pytest.mark.slow
def test_units_run_as_jobs_and_their_reports_are_found_in_the_shared_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_API_KEY", "secret")
    told: list[tuple[str, dict[str, Any]]] = []
    path = tmp_path / "own.py"
    path.write_text(
        "import os\ndef fitness(episode):\n    return float('SOMEBODYS_API_KEY' in os.environ)\n"
    )
    work = [unit(name, seed=i) for i, name in enumerate("ab")]
    work.append(unit("c", task=replace(TASK, fitness=str(path))))
    jobs = [(u, tmp_path / "jobs" / u.id) for u in work]
    found = dict(
        (u.id, report)
        for u, report in here().run(jobs, lambda name, state: told.append((name, state)))
    )
    assert set(found) == {"a", "b", "c"}
    assert found["c"].fitness == 0.0  # keys do not reach a job
    assert {name for name, _ in told} <= {"a", "b", "c"}
    assert (tmp_path / "jobs" / SUBMISSIONS).is_dir()
    assert list(here(cluster="nowhere").run(jobs)) == [(u, found[u.id]) for u in work]


@pytest.mark.slow
def test_a_job_that_dies_is_submitted_again_a_bounded_number_of_times(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "import os, pathlib\n"
        f"seen = pathlib.Path({str(tmp_path)!r}, 'seen')\n"
        "def fitness(episode):\n"
        "    seen.write_text((seen.read_text() if seen.exists() else '') + 'x')\n"
        "    os.kill(os.getppid(), 9)\n    os._exit(9)\n"
    )
    work = unit("dies", task=replace(TASK, fitness=str(path)), eval_points=0)
    with pytest.raises(TrainingError, match="1 unit\\(s\\) came to no report"):
        list(here().run([(work, tmp_path / "dies")]))
    assert (tmp_path / "seen").read_text() == "xx"


@pytest.mark.slow
def test_what_a_repeat_cannot_mend_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wrong: trainer 'no_such' is unknown"):
        list(here().run([(unit("wrong", trainer="no_such"), tmp_path / "wrong")]))


@pytest.mark.slow
def test_leaving_early_cancels_what_was_submitted(tmp_path: Path) -> None:
    work = unit("long", steps=10_000_000)
    answers = here().run([(unit("short"), tmp_path / "short"), (work, tmp_path / "long")])
    assert next(answers)[0].id == "short"
    answers.close()  # type: ignore[attr-defined]
    before = None
    for _ in range(100):
        time.sleep(0.3)
        state = files.read_json(tmp_path / "long" / files.PROGRESS)
        if state is not None and state == before:
            return
        before = state
    raise AssertionError("the job goes on")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "losing"], ids=["whole", "broken"])
def test_given_workers_units_are_trained_together_and_a_broken_stack_alone(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rig(tmp_path).items():
        monkeypatch.setenv(name, value)
    if fault:
        (tmp_path / fault).touch()
    work = [unit(name, seed=i, trainer=STACKED, hyperparams=PARAMS) for i, name in enumerate("abc")]
    jobs = [(u, tmp_path / u.id) for u in work]
    found = {u.id: report.fitness for u, report in here(workers=1).run(jobs)}
    assert lanes(tmp_path) == [3]
    alone = [(u, tmp_path / "alone" / u.id) for u in work]
    assert found == {u.id: report.fitness for u, report in here().run(alone)}
    assert lanes(tmp_path) == []
