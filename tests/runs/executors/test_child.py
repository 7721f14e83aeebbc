import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, SandboxUnavailable, TrainingError
from rewardsmith.runs.executors import find_executor
from rewardsmith.runs.executors.child import Cancelled, Rules, end_group, run_unit, tail
from rewardsmith.runs.executors.local import Local
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.whole import write_whole

JOB = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
seen = folder / "seen.json"
tries = json.loads(seen.read_text()) if seen.exists() else []
tries.append(sorted(p.name for p in folder.iterdir()))
seen.write_text(json.dumps(tries))
unit = json.loads((folder / "unit.json").read_text())
exec(unit["hyperparams"].get("do", ""))
report = {"unit": unit["id"], "seed": unit["seed"], "steps": 5, "fitness": 1.0}
report |= unit["hyperparams"].get("report", {})
(folder / "report.json").write_text(json.dumps(report))
"""


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    script = tmp_path / "job.py"
    script.write_text(JOB)
    return Rules(command=(sys.executable, "-S", str(script)))


def unit(**hyperparams: Any) -> Unit:
    return Unit(
        id="g0.0.s1", task=toy.tasks()[0], program=None, trainer="toy", hyperparams=hyperparams,
        seed=1, steps=9, eval_seeds=(1,),
    )  # fmt: skip


def run(work: Unit, folder: Path, rules: Rules, told: list[Any] | None = None) -> Any:
    watch: Callable[[dict[str, Any]], None] = [].append if told is None else told.append
    return run_unit(work, folder, rules, cancel=threading.Event(), watch=watch)


def tries(folder: Path) -> list[list[str]]:
    found: list[list[str]] = json.loads((folder / "seen.json").read_text())
    return found


def test_a_job_gets_its_unit_and_gives_its_report(tmp_path: Path, rules: Rules) -> None:
    folder = tmp_path / "jobs" / "u"
    assert run(unit(), folder, rules).fitness == 1.0
    assert files.read_unit(folder).model_dump() == unit().model_dump()


@pytest.mark.parametrize(
    ("report", "fault"),
    [
        ({"unit": "another"}, "of another unit"),
        ({"fitness": None}, "neither failure nor fitness"),
        ({"failure": {"kind": "oom", "text": "x"}}, "both"),
        ({"fitness": "high"}, "no number"),
        ({"invented": 1}, "a field too many"),
    ],
)
def test_a_report_that_no_job_has_written_counts_as_none(
    report: dict[str, Any], fault: str, tmp_path: Path, rules: Rules
) -> None:
    with pytest.raises(TrainingError, match="ended with exit code 0 and no report"):
        run(unit(report=report), tmp_path / "u", rules)
    assert len(tries(tmp_path / "u")) == 2, fault


def test_what_an_attempt_left_does_not_speak_for_the_next(tmp_path: Path, rules: Rules) -> None:
    folder = tmp_path / "u"
    files.write_unit(folder, unit())
    files.write_error(folder, ConfigError("of last week"))
    write_whole(folder / files.PROGRESS, b'{"stage": "old"}')
    told: list[Any] = []
    with pytest.raises(TrainingError, match="exit code 7"):
        run(unit(do="time.sleep(0.7); sys.exit(7)"), folder, rules, told)
    assert told == []
    assert all(files.ERROR not in names for names in tries(folder))


@pytest.mark.parametrize(("error", "count"), [(ConfigError, 1), (SandboxUnavailable, 1),
                                              (TrainingError, 2)])  # fmt: skip
def test_only_what_a_repeat_may_mend_is_repeated(
    error: type[Exception], count: int, tmp_path: Path, rules: Rules
) -> None:
    do = (
        f"(folder / 'error.json').write_text(json.dumps({{'error': {error.__name__!r},"
        " 'text': 'words'})); sys.exit(3)"
    )
    with pytest.raises(error, match="words"):
        run(unit(do=do), tmp_path / "u", rules)
    assert len(tries(tmp_path / "u")) == count


def test_an_unknown_kind_of_error_is_one_of_training(tmp_path: Path, rules: Rules) -> None:
    do = '(folder / \'error.json\').write_text(\'{"error": "Rude", "text": 3}\'); sys.exit(3)'
    with pytest.raises(TrainingError, match="3"):
        run(unit(do=do), tmp_path / "u", rules)


def test_a_job_may_report_and_then_die(tmp_path: Path, rules: Rules) -> None:
    script = tmp_path / "job.py"
    script.write_text(JOB + "\nos.kill(os.getpid(), 11)\n")
    assert run(unit(), tmp_path / "u", rules).fitness == 1.0
    assert len(tries(tmp_path / "u")) == 1


def test_progress_is_told_when_it_changes_and_hostile_progress_is_not(
    tmp_path: Path, rules: Rules
) -> None:
    do = """
def show(text):
    (folder / "part").write_text(text)
    (folder / "part").replace(folder / "progress.json")

def seen(steps):
    while not (folder / f"told{steps}").exists():
        time.sleep(0.02)

show('{"steps": 1}')
seen(1)
for text in ("[" * 100000, "3"):
    show(text)
    time.sleep(0.6)
show('{"steps": 1}')
time.sleep(0.6)
show('{"steps": 2}')
seen(2)
"""
    told: list[Any] = []

    def watch(state: dict[str, Any]) -> None:
        told.append(state)
        (tmp_path / "u" / f"told{state['steps']}").touch()

    run_unit(unit(do=do), tmp_path / "u", rules, cancel=threading.Event(), watch=watch)
    assert told == [{"steps": 1}, {"steps": 2}]


def test_a_cancelled_job_ends_at_once_with_all_it_started(tmp_path: Path, rules: Rules) -> None:
    cancel, folder = threading.Event(), tmp_path / "u"
    do = (
        "child = os.fork()\n"
        "if child == 0: time.sleep(60)\n"
        "(folder / 'pids').write_text(f'{os.getpid()} {child}.'); time.sleep(60)"
    )
    caught: list[BaseException] = []

    def work() -> None:
        try:
            run_unit(unit(do=do), folder, rules, cancel=cancel, watch=lambda state: None)
        except Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait(lambda: (folder / "pids").exists() and "." in (folder / "pids").read_text())
    begin = time.monotonic()
    cancel.set()
    thread.join(40)
    assert time.monotonic() - begin < 20  # not the minute that it wanted to sleep
    assert len(caught) == 1
    pids = [int(p) for p in (folder / "pids").read_text().rstrip(".").split()]
    wait(lambda: not any(alive(pid) for pid in pids))  # an orphan is killed, but not waited for


def wait(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def child(program: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_a_process_that_ignores_a_request_is_killed() -> None:
    process = child(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(flush=True); time.sleep(60)"
    )
    begin = time.monotonic()
    end_group(process)
    assert process.returncode == -signal.SIGKILL
    assert 2.5 < time.monotonic() - begin < 30


def test_a_process_that_leaves_when_asked_is_not_killed() -> None:
    process = child(
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5));"
        "print(flush=True); time.sleep(60)"
    )
    end_group(process)
    assert process.returncode == 5


def test_ending_a_process_that_has_ended_is_nothing() -> None:
    process = child("print(flush=True)")
    process.wait()
    end_group(process)
    end_group(process)
    assert process.returncode == 0


def test_the_tail_of_a_log_is_its_last_lines_whatever_bytes_they_are(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert tail(log).startswith("(unreadable")
    log.write_bytes(b"")
    assert tail(log) == "(nothing)"
    log.write_bytes(b"a" * 5000 + b"\nlast \xff\xfe line\n")
    assert tail(log).endswith("last \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} line")
    assert len(tail(log)) <= 2000


def test_output_of_all_attempts_stays_in_the_log(tmp_path: Path, rules: Rules) -> None:
    folder = tmp_path / "u"
    with pytest.raises(TrainingError):
        run(unit(do="print('attempt', len(tries), flush=True); sys.exit(1)"), folder, rules)
    assert (folder / files.LOG).read_text() == "attempt 1\nattempt 2\n"


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_of_no_workers_is_refused_and_does_not_wait_for_ever(workers: int) -> None:
    with pytest.raises(ConfigError, match=f"{workers} workers"):
        Local(workers=workers)


@pytest.mark.parametrize("name", [":Local", "rewardsmith.runs.executors.local:", "json:nothing"])
def test_an_executor_that_cannot_be_found_is_an_error_of_the_callers(name: str) -> None:
    with pytest.raises(ConfigError, match=f"executor {name!r}"):
        find_executor(name)


def test_an_executor_that_refuses_its_arguments_is_an_error_of_the_callers() -> None:
    with pytest.raises(ConfigError, match="refused"):
        find_executor("serial", workers=3)


def test_an_error_of_the_callers_goes_before_errors_of_training(
    tmp_path: Path, rules: Rules
) -> None:
    says = '(folder / \'error.json\').write_text(\'{"error": "ConfigError", "text": "no env"}\')'
    units = [unit(do="sys.exit(4)"), unit(do=f"{says}; sys.exit(3)"), unit()]
    work = [(u.model_copy(update={"id": f"u{i}"}), tmp_path / f"u{i}") for i, u in enumerate(units)]
    running = Local(workers=2, rules=rules).run(work)
    done: list[tuple[Unit, TrainingReport]] = []
    with pytest.raises(ConfigError, match="no env"):
        done.extend(running)
    assert [u.id for u, _ in done] == ["u2"]


def test_a_folder_that_cannot_be_made_is_an_error_and_no_hang(tmp_path: Path, rules: Rules) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((OSError, TrainingError)):
        list(Local(workers=1, rules=rules).run([(unit(), tmp_path / "file" / "u")]))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are pinned on Linux alone")
def test_an_unpinned_job_may_use_every_core_of_its_parent(tmp_path: Path, rules: Rules) -> None:
    do = "(folder / 'cores').write_text(str(len(os.sched_getaffinity(0))))"
    list(Local(workers=1, rules=rules, pin=False).run([(unit(do=do), tmp_path / "u")]))
    assert int((tmp_path / "u" / "cores").read_text()) == len(os.sched_getaffinity(0))
