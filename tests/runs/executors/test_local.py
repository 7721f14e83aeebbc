import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, SandboxUnavailable, TrainingError
from rewardsmith.runs.executors import Executor, find_executor
from rewardsmith.runs.executors.child import Rules
from rewardsmith.runs.executors.local import Local, usable_cores
from rewardsmith.runs.executors.serial import Serial
from rewardsmith.runs.records import TrainingReport, Unit

TASK = toy.tasks()[0]

# Stands in for the job: starts in 20 ms, where a training takes a second.
JOB = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
unit = json.loads((folder / "unit.json").read_text())
do = unit["hyperparams"]
tries = folder / "tries"
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
(folder / "seen.json").write_text(json.dumps({
    "pid": os.getpid(), "group": os.getpgid(0), "environ": dict(os.environ),
    "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
}))
print("hello from the job", flush=True)
(folder / "progress.json").write_text(json.dumps({"stage": "training", "steps": 1}))
if do.get("child"):
    child = os.fork()
    if child == 0:
        time.sleep(60)
    (folder / "child").write_text(str(child))
time.sleep(do.get("sleep", 0))
if do.get("error"):
    (folder / "error.json").write_text(json.dumps({"error": do["error"], "text": "what and why"}))
    sys.exit(8)
if len(tries.read_text()) <= do.get("die", 0):
    os.kill(os.getpid(), 9)
report = {"unit": unit["id"], "seed": unit["seed"], "steps": 5, "fitness": float(unit["seed"])}
(folder / "report.json").write_text(json.dumps(report))
"""


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    script = tmp_path / "job.py"
    script.write_text(JOB)
    return Rules(command=(sys.executable, "-S", str(script)))


def jobs(folder: Path, *asked: dict[str, Any]) -> list[tuple[Unit, Path]]:
    units = [
        Unit(
            id=f"u{i}", task=TASK, program=None, trainer="toy", hyperparams=do, seed=i, steps=9,
            eval_seeds=(1,),
        )
        for i, do in enumerate(asked)
    ]  # fmt: skip
    return [(unit, folder / unit.id) for unit in units]


def seen(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_reports_come_in_order_of_completion(tmp_path: Path, rules: Rules) -> None:
    work = jobs(tmp_path, {"sleep": 0.6}, {}, {})
    found = [unit.id for unit, _ in Local(workers=2, rules=rules).run(work)]
    assert sorted(found) == ["u0", "u1", "u2"]
    assert found[-1] == "u0"


def test_as_many_jobs_run_at_a_time_as_there_are_workers(tmp_path: Path, rules: Rules) -> None:
    work = jobs(tmp_path, *[{"sleep": 1.5}] * 4)
    begin = time.monotonic()
    assert len(list(Local(workers=4, rules=rules).run(work))) == 4
    assert time.monotonic() - begin < 5.0  # one after the other would be 6


def test_each_worker_keeps_its_jobs_on_one_core(tmp_path: Path, rules: Rules) -> None:
    work = jobs(tmp_path, *[{"sleep": 0.2}] * 3)
    list(Local(workers=2, rules=rules).run(work))
    pinned = [seen(folder)["cores"] for _, folder in work]
    assert all(len(cores) <= 1 for cores in pinned)
    assert {core for cores in pinned for core in cores} <= set(usable_cores())


def test_a_finished_folder_is_not_run_again(tmp_path: Path, rules: Rules) -> None:
    work = jobs(tmp_path, {})
    first = list(Local(rules=rules).run(work))
    assert list(Local(rules=rules).run(work)) == first
    assert (work[0][1] / "tries").read_text() == "x"


def test_a_job_that_dies_once_is_tried_once_more(tmp_path: Path, rules: Rules) -> None:
    work = jobs(tmp_path, {"die": 1})
    [(unit, report)] = Local(rules=rules).run(work)
    assert (unit.id, report.fitness) == ("u0", 0.0)
    assert (work[0][1] / "tries").read_text() == "xx"


def test_a_job_that_dies_twice_is_an_error_with_the_end_of_its_log(
    tmp_path: Path, rules: Rules
) -> None:
    work = jobs(tmp_path, {"die": 9}, {}, {})
    answers: list[tuple[Unit, TrainingReport]] = []
    running = Local(workers=1, rules=rules).run(work)
    with pytest.raises(TrainingError, match=r"(?s)u0: ended with signal 9.*hello from the job"):
        answers.extend(running)
    # The others are not lost with it.
    assert [unit.id for unit, _ in answers] == ["u1", "u2"]
    assert (work[0][1] / "tries").read_text() == "xx"


@pytest.mark.parametrize(
    ("name", "kind"), [("ConfigError", ConfigError), ("SandboxUnavailable", SandboxUnavailable)]
)
def test_what_a_repeat_cannot_mend_is_told_at_once_in_its_own_kind(
    name: str, kind: type[Exception], tmp_path: Path, rules: Rules
) -> None:
    work = jobs(tmp_path, {"error": name})
    with pytest.raises(kind, match="u0: what and why"):
        list(Local(rules=rules).run(work))
    assert (work[0][1] / "tries").read_text() == "x"


def test_a_job_over_its_wall_time_is_ended_with_all_it_started(
    tmp_path: Path, rules: Rules
) -> None:
    work = jobs(tmp_path, {"sleep": 60, "child": True})
    limited = Rules(wall_s=0.5, command=rules.command)
    with pytest.raises(TrainingError, match="wall time limit"):
        list(Local(rules=limited).run(work))
    pids = [seen(work[0][1])["pid"], int((work[0][1] / "child").read_text())]
    for _ in range(500):  # the orphan is killed with the group, but nobody waits for it
        if not any(alive(pid) for pid in pids):
            break
        time.sleep(0.01)
    assert not any(alive(pid) for pid in pids)


def test_leaving_early_ends_every_child(tmp_path: Path, rules: Rules) -> None:
    before = threading.active_count()
    work = jobs(tmp_path, {}, {"sleep": 60}, {"sleep": 60})
    answers = Local(workers=3, rules=rules).run(work)
    assert next(answers)[0].id == "u0"
    for _, folder in work[1:]:
        wait_for(folder / "seen.json")
    answers.close()  # type: ignore[attr-defined]
    assert not any(alive(seen(folder)["pid"]) for _, folder in work[1:])
    assert threading.active_count() == before


def wait_for(path: Path) -> None:
    for _ in range(500):
        if path.exists() and path.read_text().endswith("}"):
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not appear")


def test_ctrl_c_ends_every_child(tmp_path: Path, rules: Rules) -> None:
    work = jobs(tmp_path, {"sleep": 60})

    def press(unit: str, progress: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Local(rules=rules).run(work, press))
    assert not alive(seen(work[0][1])["pid"])


def test_progress_is_told_in_the_callers_thread(tmp_path: Path, rules: Rules) -> None:
    told: list[tuple[str, dict[str, Any], threading.Thread]] = []

    def watch(unit: str, progress: dict[str, Any]) -> None:
        told.append((unit, progress, threading.current_thread()))

    list(Local(rules=rules).run(jobs(tmp_path, {"sleep": 0.9}), watch))
    assert told[0] == ("u0", {"stage": "training", "steps": 1}, threading.main_thread())


def test_keys_do_not_reach_a_job(
    tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYBODYS_API_KEY", "sk-1")
    work = jobs(tmp_path, {})
    list(Local(rules=rules).run(work))
    told = seen(work[0][1])
    assert "ANYBODYS_API_KEY" not in told["environ"]
    assert told["environ"]["OMP_NUM_THREADS"] == "1"
    assert told["group"] == told["pid"] != os.getpgid(0)


def test_no_units_are_no_work() -> None:
    assert list(Local().run([])) == []


@pytest.mark.slow
def test_serial_runs_real_units_in_their_order(tmp_path: Path) -> None:
    units = [
        Unit(
            id=f"s{i}", task=TASK, program=None, trainer="toy", hyperparams={"population": 4},
            seed=i, steps=steps, eval_seeds=(10**9,), eval_points=1,
        )
        for i, steps in enumerate((300, 0))
    ]  # fmt: skip
    answers: Iterator[tuple[Unit, TrainingReport]] = Serial().run(
        [(unit, tmp_path / unit.id) for unit in units]
    )
    reports = list(answers)
    assert [unit.id for unit, _ in reports] == ["s0", "s1"]
    assert all(report.fitness is not None for _, report in reports)


def test_executors_are_found_by_short_name_or_reference() -> None:
    found: Executor = find_executor("local", workers=3)
    assert found == Local(workers=3)
    assert isinstance(find_executor("serial"), Serial)
    for wrong in ("cloud", "no_such_module:X"):
        with pytest.raises(ConfigError, match=wrong.split(":", maxsplit=1)[0]):
            find_executor(wrong)
