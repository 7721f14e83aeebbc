import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_rig import POINT, SMALL, TEXT, TINY, call, design, spawn

from rewardsmith.agent import cli
from rewardsmith.agent.fake_server import FakeServer
from rewardsmith.errors import BudgetExhausted

HEAVY = {
    *("torch", "stable_baselines3", "gymnasium", "mujoco", "numpy", "pydantic", "yaml"),
    *("openai", "litellm", "docker", "matplotlib", "rich.live", "jinja2", "xllamacpp"),
}
GOOD = """def compute_reward(distance):
    near = -distance
    return near, {"near": near}
"""
BROKEN = GOOD.replace("(distance)", "(distence)").replace("-distance", "-distence")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, rewardsmith.agent.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_help_takes_less_than_half_a_second_of_one_core(tmp_path: Path) -> None:
    spent = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert spawn("--help", cwd=tmp_path).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert spent[1] < 0.5


def test_help_names_every_command() -> None:
    out = call("--help").out
    for name in [
        "design",
        "resume",
        "replay",
        "feedback",
        "sweep",
        "show",
        "check",
        "compare",
        "plot",
        "train",
        "tasks",
        "doctor",
    ]:
        assert f"\n  {name} " in out


def test_the_version_is_told() -> None:
    assert call("--version").out.strip()[0].isdigit()


MISTAKES = {
    "unknown environment": (("design", "x", "--env", "Hoper-v5", "--llm", "scripted"), "Hopper-v5"),
    "unknown provider": (("design", "x", "--env", POINT, "--llm", "opnai"), "openai"),
    "missing key": (("design", "x", "--env", POINT, "--llm", "openai:gpt-5.4"), "OPENAI_API_KEY"),
    "missing litellm key": (
        ("design", "x", "--env", POINT, "--llm", "litellm:mistral/codestral-2508"),
        "MISTRAL_API_KEY",
    ),
    "bad number": (("design", "x", *SMALL, "--candidates", "0"), "candidates"),
    "bad duration": (("design", "x", *SMALL, "--max-time", "soon"), "soon"),
    "bad JSON": (("design", "x", *SMALL, "--env-kwargs", "{"), "--env-kwargs"),
    "no file": (("check", "nowhere.py", "--env", POINT), "nowhere.py"),
    "unknown flag": (("design", "x", "--evn", POINT), "--evn"),
    "unknown command": (("desing",), "desing"),
    "unknown task": (("tasks", "Hoper-v5"), "Hopper-v5"),
    "unknown strategy": (("design", "x", *SMALL, "--strategy", "greddy"), "greedy"),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # litellm's and pydantic's own
def test_a_mistake_ends_with_2_and_says_what_was_meant(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, hint = MISTAKES[name]
    done = call(*words)
    assert (done.code, done.out) == (2, "")
    assert hint in done.err
    assert not any(tmp_path.iterdir()), "a mistake leaves nothing behind"


@pytest.mark.parametrize("name", ["unknown environment", "unknown flag", "no file", "bad number"])
def test_a_mistake_is_one_json_document_too(name: str, tmp_path: Path) -> None:
    words, hint = MISTAKES[name]
    done = call(*words, "--json")
    assert done.document["exit_code"] == 2
    assert hint in done.document["message"]


def test_an_unknown_key_of_a_config_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"env: {POINT}\ncandidate: 3\ngenerations: 0\n")
    done = call("design", "x", "--config", str(path))
    assert done.code == 2
    assert "did you mean candidates" in done.err
    assert "generations is 0" in done.err, "every mistake at once"
    assert str(path) in done.err


def test_flags_stand_above_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("env: Hoper-v5\nllm: scripted\n")
    done = call("design", "x", "--config", str(path), "--env", "Nowhere-v1")
    assert "Nowhere-v1" in done.err


def test_what_is_no_run_folder_ends_with_6(tmp_path: Path) -> None:
    for words in (("show",), ("resume",), ("replay",), ("feedback",)):
        assert call(*words, str(tmp_path)).code == 6


def test_a_closed_endpoint_is_named_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    began = time.monotonic()
    done = design(tmp_path / "run", "--llm", "openai:some", "--llm-timeout", "2s", "--json")
    assert time.monotonic() - began < 15
    assert done.code == 4
    assert done.document["error"] == "ModelError"
    assert url in done.document["message"]


def test_a_stalling_endpoint_is_given_up_when_the_user_says_so_and_asked_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer(["stall"], answer=lambda _: f"```python\n{GOOD}```") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        more = ("--llm", "openai:fake-small", "--llm-timeout", "0.4s", *TINY)
        began = time.monotonic()
        done = design(tmp_path / "run", *more)
        assert done.code == 4, done.err
        assert time.monotonic() - began < 15
        assert "gave up" in done.err
        # Without the flag: how long to wait is no part of what the run is.
        assert call("resume", str(tmp_path / "run"), "--llm-timeout", "30s").code == 0


def test_show_and_resume_of_a_finished_run_print_one_document(finished_run: Path) -> None:
    shown, resumed = (call(word, str(finished_run), "--json") for word in ("show", "resume"))
    assert shown.code == resumed.code == 0
    assert shown.document == resumed.document
    assert shown.document["finished"] is True
    assert [arm["name"] for arm in shown.document["arms"]] == ["best", "human", "random"]
    assert shown.document["fitness_unit"]


def test_show_tells_fitness_with_its_unit(finished_run: Path) -> None:
    text = call("show", str(finished_run)).out
    assert "[fraction]" in text
    assert "report.html" in text


def test_progress_never_stands_on_standard_output(tmp_path: Path) -> None:
    done = design(tmp_path / "run", *TINY, "--json")
    assert done.code == 0, done.err
    assert done.document["best"] == "g0.0"
    assert "generation 1 of 1" in done.err


def test_tasks_are_listed_and_one_card_is_shown() -> None:
    listed = call("tasks", "--json").document["tasks"]
    assert {"Hopper-v5", "LunarLander-v3"} <= {row["id"] for row in listed}
    assert "Hopper-v5" in call("tasks").out
    card = call("tasks", "Hopper-v5", "--json").document
    assert {"name", "shape", "unit", "meaning"} == set(card["fields"][0])
    assert card["fields"][0]["name"] in call("tasks", "Hopper-v5").out


def test_a_sound_reward_passes_the_check(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(GOOD)
    done = call("check", str(tmp_path / "reward.py"), "--env", POINT, "--json")
    assert (done.code, done.document["failure"]) == (0, None)
    assert done.document["components"] == ["near"]
    assert "health" in {item["probe"] for item in done.document["evidence"]}


def test_a_reward_that_no_run_would_train_with_ends_with_1_and_its_ledger(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(GOOD.replace("-distance", "1.0 * distance"))
    done = call("check", str(tmp_path / "reward.py"), "--env", POINT, "--json")
    assert (done.code, done.document["failure"]) == (1, None)
    assert done.document["evidence"][-1]["verdict"] == "fail"


def test_a_broken_reward_ends_with_1_and_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(BROKEN)
    words = ("check", str(tmp_path / "reward.py"), "--env", POINT)
    done = call(*words)
    assert done.code == 1
    assert "distance" in done.out
    assert call(*words, "--json").document["failure"]["kind"]


def test_a_reward_trains_over_the_seeds_asked_for(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(GOOD)
    words = ("train", "--reward", str(tmp_path / "reward.py"), "--env", POINT)
    more = ("--steps", "2000", "--final-seeds", "1", "--out", str(tmp_path / "jobs"))
    done = call(*words, *more, "--json")
    assert done.code == 0, done.err
    assert len(done.document["fitness"]) == len(done.document["seeds"]) == 1
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("jobs/*/report.json")}
    again = call(*words, *more, "--json")  # goes on: nothing is left to do
    assert again.document == done.document
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_a_broken_reward_is_not_trained(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(BROKEN)
    done = call("train", "--reward", str(tmp_path / "reward.py"), "--env", POINT)
    assert done.code == 2
    assert "breaks the reward contract" in done.err


def test_unconfined_reward_code_is_announced(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(GOOD)
    unconfined = ("check", str(tmp_path / "reward.py"), "--env", POINT, "--sandbox", "none")
    done = call(*unconfined, "--yes-run-unsandboxed")
    assert "the contract holds" in done.out
    assert "WARNING: --sandbox none" in done.err


def test_unconfined_reward_code_is_refused_where_nobody_reads_the_warning(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(GOOD)
    done = call("check", str(tmp_path / "reward.py"), "--env", POINT, "--sandbox", "none")
    assert done.code == 3
    assert "--yes-run-unsandboxed" in done.err


def test_a_guarantee_that_no_sandbox_here_holds_ends_with_3_and_the_remedy(
    tmp_path: Path,
) -> None:
    (tmp_path / "reward.py").write_text(GOOD)
    flags = ("--reward", str(tmp_path / "reward.py"), "--env", POINT, "--sandbox", "process")
    done = call("train", *flags, "--sandbox-require", "cpu=hard")
    assert done.code == 3
    assert "process: cpu is soft, hard is required. Use --sandbox docker" in done.err


def test_a_guarantee_that_there_is_not_is_the_callers_mistake() -> None:
    done = call("train", "--env", POINT, "--sandbox-require", "speed=hard")
    assert done.code == 2
    assert "'speed=hard' is not understood; name each of files, network" in done.err


def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "rewardsmith", "tasks", "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    os.close(write)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1)


def test_a_bug_is_called_one_and_is_a_document_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rewardsmith", "show", "--json"])
    assert cli._say_unexpected(ZeroDivisionError("1 by 0")) == 1
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "error": "ZeroDivisionError",
        "message": "1 by 0",
        "exit_code": 1,
    }
    assert "this is a bug" in told.err


def test_an_error_ends_with_the_code_of_its_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._say(BudgetExhausted("no money")) == 5
    assert capsys.readouterr().err == "rewardsmith: no money\n"


def test_a_stopped_run_says_how_to_go_on(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(finished_run, out)
    assert f"rewardsmith resume {out}" in call("design", "y", *SMALL, "--out", str(out)).err
    assert call("design", TEXT, *SMALL, "--out", str(out)).code == 0
