import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, SMALL, TEXT, TINY, Done, call, design, launch, spawn
from quick_crew import quick_crew, unwatched

from rewardsmith.agent.config import make_config
from rewardsmith.agent.fake_server import FakeServer
from rewardsmith.agent.session import DesignResult, resume, run_name, show
from rewardsmith.agent.session import design as run_design
from rewardsmith.errors import (
    AwaitingFeedback,
    BudgetExhausted,
    ConfigError,
    SandboxUnavailable,
    StoreError,
)
from rewardsmith.runs.store import RunStore
from rewardsmith.sandbox.backends import resolve

HALT_S = 3.0


def quick(out: Path, view: Any = unwatched, **options: Any) -> DesignResult:
    values = {"env": POINT, "text": TEXT, "llm": "scripted", "out": out, "candidates": 2}
    config = make_config(values | {"critic_rounds": 0, "video": False, "probes": False} | options)
    return run_design(config, view=view, make_crew=quick_crew())


def lines(run: Path) -> int:
    return len((run / "journal.jsonl").read_text().splitlines())


def wait_for(process: Any, path: Path, text: str) -> None:
    for _ in range(600):
        if path.exists() and text in path.read_text():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"no {text} in {path}")


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that have something to do with a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in command:
            found.append(command)
    return found


def stop(process: Any, *, group: bool) -> tuple[float, Done]:
    """Presses Ctrl-C; returns how long the end took."""
    began = time.monotonic()
    if group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return time.monotonic() - began, Done(process.returncode, out, err)


def test_the_same_command_on_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    first = quick(tmp_path / "run")
    before = lines(first.run)
    again = quick(tmp_path / "run")
    assert lines(first.run) == before
    assert again.state == first.state
    assert again.program == first.program
    assert (again.program or "").startswith("def compute_reward(")
    assert again.report.is_file()


def test_a_folder_with_another_run_is_left_alone_and_the_difference_named(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    before = lines(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"candidates was 2, now 3.*rewardsmith resume"):
        quick(tmp_path / "run", candidates=3)
    assert lines(tmp_path / "run") == before


def test_limits_and_helpers_are_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    assert quick(tmp_path / "run", max_steps=10**9, workers=1, llm_timeout_s=5.0).state.finished


def test_a_run_that_another_process_works_on_is_left_alone(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    with RunStore.open(tmp_path / "run").working():
        done = call("resume", str(tmp_path / "run"))
        assert (done.code, "another process" in done.err) == (2, True)
        assert call("show", str(tmp_path / "run")).code == 0, "readers are not held up"


def test_the_model_meant_does_not_depend_on_the_shell_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        quick(tmp_path / "other", llm=None)  # which model it serves cannot be asked
    quick(tmp_path / "run")
    head = RunStore.open(tmp_path / "run").head()
    assert head["config"]["llm"] == "scripted"


def test_a_damaged_line_of_the_journal_is_named_by_its_number(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    journal = tmp_path / "run" / "journal.jsonl"
    rows = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*rows[:3], "{broken\n", *rows[4:]]))
    for word in ("show", "resume", "replay"):
        done = call(word, str(tmp_path / "run"), "--json")
        assert done.code == 6
        assert "line 4" in done.document["message"]


def test_a_torn_last_line_is_dropped_and_the_run_goes_on(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    journal = tmp_path / "run" / "journal.jsonl"
    whole = show(tmp_path / "run")[0]
    rows = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(rows[:-2]) + rows[-2][: len(rows[-2]) // 2])
    result = resume(tmp_path / "run", view=unwatched, make_crew=quick_crew())
    assert result.state.finished
    assert result.as_dict()["arms"] == whole["arms"]


def test_a_recorded_answer_that_was_changed_is_found_by_its_hash(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    for blob in (tmp_path / "run" / "blobs").iterdir():
        blob.write_text(blob.read_text().replace("compute_reward", "compute_rewards"))
    done = call("replay", str(tmp_path / "run"))
    assert done.code == 6
    assert "does not match" in done.err


def test_a_full_disk_loses_nothing_and_the_same_command_goes_on(tmp_path: Path) -> None:
    # Unconfined: a limit on files stands in for the disk here, and would stop a worker's memory.
    unconfined = ("--sandbox", "none", "--yes-run-unsandboxed")
    words = ("design", TEXT, *SMALL, *TINY, "--out", "run", *unconfined)
    cut = spawn(*words, "--max-tokens", "10", cwd=tmp_path)
    assert cut.code == 5, cut.err  # a run that has begun
    size = (tmp_path / "run" / "journal.jsonl").stat().st_size + 300
    full = spawn(
        *words,
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    assert full.code == 6, full.err
    assert "free some space" in full.err.lower()
    kept = (tmp_path / "run" / "journal.jsonl").read_text()
    done = spawn(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "journal.jsonl").read_text().startswith(kept.rpartition("\n")[0])


@pytest.mark.parametrize(
    ("flag", "low"), [("max_steps", 3_000), ("max_time_s", 1e-9), ("max_tokens", 10)]
)
def test_a_limit_ends_a_run_with_5_and_a_higher_one_goes_on(
    tmp_path: Path, flag: str, low: float
) -> None:
    with pytest.raises(BudgetExhausted) as caught:
        quick(tmp_path / "run", steps=2000, **{flag: low})
    assert caught.value.exit_code == 5
    assert "resume with a higher --max-" in str(caught.value)
    page = (tmp_path / "run" / "report.html").read_text()
    assert str(caught.value).partition(";")[0][1:] in page  # as a sentence there
    with pytest.raises(BudgetExhausted):
        resume(tmp_path / "run", view=unwatched, make_crew=quick_crew())
    done = resume(tmp_path / "run", view=unwatched, limits={flag: 10**9}, make_crew=quick_crew())
    assert done.state.finished
    whole = quick(tmp_path / "whole", steps=2000)
    assert whole.as_dict()["arms"] == done.as_dict()["arms"]


def test_the_time_limit_holds_while_a_model_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer(["stall"] * 9) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        began = time.monotonic()
        with pytest.raises(BudgetExhausted, match="--max-time"):
            quick(tmp_path / "run", llm="openai:fake-small", max_time_s=1.0)
        assert time.monotonic() - began < 10
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_same_command_with_a_higher_limit_goes_on_too(tmp_path: Path) -> None:
    with pytest.raises(BudgetExhausted):
        quick(tmp_path / "run", steps=2000, max_steps=5_000)
    assert quick(tmp_path / "run", steps=2000, max_steps=10**9).state.finished


def test_an_unknown_price_under_a_money_limit_is_an_error_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    done = design(tmp_path / "run", "--llm", "openai:own", "--max-usd", "1")
    assert done.code == 2
    assert "--prices" in done.err
    assert not (tmp_path / "run").exists()


def test_the_estimate_stands_before_the_start(tmp_path: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    quick(tmp_path / "run", view=lambda kind, **facts: told.append((kind, facts)))
    assert told[0][0] == "run_started"
    assert told[0][1]["estimate"].trainings > 0
    assert "at most" in told[0][1]["estimate"].as_text()


def test_unconfined_code_is_announced_at_the_start_and_in_the_report(tmp_path: Path) -> None:
    told: list[str] = []
    quick(
        tmp_path / "run",
        sandbox="none",
        yes_run_unsandboxed=True,
        view=lambda kind, **facts: told.append(kind),
    )
    assert told[:2] == ["run_started", "warning"]
    assert "was not confined" in (tmp_path / "run" / "report.html").read_text()


def test_a_sandbox_that_holds_too_little_is_refused_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    with pytest.raises(SandboxUnavailable, match="process: cpu is soft, hard is required"):
        quick(tmp_path / "run", sandbox="process", sandbox_require="cpu=hard")
    with pytest.raises(SandboxUnavailable, match="none: time is none, soft is required"):
        quick(tmp_path / "other", sandbox="none", sandbox_require="time=soft")


def test_a_report_names_the_sandbox_that_auto_stood_for(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    assert resolve("auto").name in (tmp_path / "run" / "report.html").read_text()


def test_a_pause_leaves_a_report_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(AwaitingFeedback, match="rewardsmith feedback"):
        quick(tmp_path / "run", pause_after=True)
    assert (tmp_path / "run" / "report.html").is_file()
    assert resume(tmp_path / "run", view=unwatched, make_crew=quick_crew()).state.finished


def test_the_same_configuration_gives_the_same_folder_and_another_one_another() -> None:
    one, two = (make_config({"env": POINT, "seed": seed}) for seed in (0, 1))
    assert run_name(one) == run_name(make_config({"env": POINT, "max_usd": 3.0}))
    assert run_name(one) != run_name(two)
    assert run_name(one).startswith("rewardsmith-point-v0-")


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run folder"):
        show(tmp_path)


def test_ctrl_c_while_training_stops_within_seconds_and_resuming_completes(tmp_path: Path) -> None:
    process = launch("design", TEXT, *SMALL, *TINY, "--out", "run", cwd=tmp_path)
    run = tmp_path / "run"
    wait_for(process, run / "journal.jsonl", '"designed"')
    wait_for(process, run / "jobs" / "g0.0.s0" / "log.txt", "")
    took_s, done = stop(process, group=False)
    assert done.code == 130, done.err
    assert took_s < HALT_S
    assert f"rewardsmith resume {run}" in done.err
    assert "Traceback" not in done.err
    assert processes_of(tmp_path) == []
    again = call("resume", str(run), "--json")
    assert again.code == 0, again.err
    assert again.document["finished"] is True


def test_ctrl_c_while_a_model_stalls_stops_within_seconds(tmp_path: Path) -> None:
    with FakeServer(["stall"] * 9) as server:
        process = launch(
            *("design", TEXT, *SMALL, "--llm", "openai:fake-small", "--out", "run", "--json"),
            cwd=tmp_path,
            env=os.environ | {"OPENAI_BASE_URL": server.url},
        )
        for _ in range(300):
            if server.requests:
                break
            time.sleep(0.1)
        took_s, done = stop(process, group=True)
    assert done.code == 130, done.err
    assert took_s < HALT_S
    assert json.loads(done.out)["exit_code"] == 130
    assert processes_of(tmp_path) == []
