import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.runs.training.lifetime import forget_secrets, job_environment, without_secrets

SECRET = [
    "OPENAI_API_KEY", "ANTHROPIC_AUTH_TOKEN", "MY_api_key", "GITHUB_TOKEN", "AWS_PROFILE",
    "DB_PASSWORD", "PGPASSWD", "SESSION_COOKIE", "GOOGLE_APPLICATION_CREDENTIALS", "HF_HOME",
    "client_secret", "NPM_AUTH", "HTTP_BASIC_AUTH", "OPENROUTER_BASE_URL", "AZURE_ENDPOINT",
]  # fmt: skip
PLAIN = [
    "PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "MUJOCO_GL", "PYTHONPATH", "TMPDIR", "XAUTHORITY",
    "DISPLAY", "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV", "LOGNAME",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_what_may_hold_a_key_is_kept_from_a_job(name: str) -> None:
    assert name not in job_environment({name: "x"})
    assert without_secrets({name: "x"}) == {}


@pytest.mark.parametrize("name", PLAIN)
def test_what_a_job_needs_reaches_it(name: str) -> None:
    assert job_environment({name: "x"})[name] == "x"
    assert without_secrets({name: "x"}) == {name: "x"}


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_no_variable_is_changed_and_none_is_invented(given_: dict[str, str]) -> None:
    kept = without_secrets(given_)
    assert kept.items() <= given_.items()
    assert not any("token" in name.lower() for name in kept)
    assert without_secrets(kept) == kept


def test_a_job_computes_in_one_thread_and_knows_its_parent() -> None:
    found = job_environment({"OMP_NUM_THREADS": "16", "MKL_NUM_THREADS": "16"})
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "1"
    assert found["OPENBLAS_NUM_THREADS"] == "1"
    assert found["REWARDSMITH_PARENT"] == str(os.getpid())


def test_keys_are_forgotten_by_a_process_that_was_given_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in SECRET:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("TMPDIR", "/tmp")
    forget_secrets()
    assert not set(SECRET) & set(os.environ)
    assert "TMPDIR" in os.environ


WAITS = """
import sys, time
from rewardsmith.runs.training.lifetime import die_with_parent
die_with_parent()
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("in order", flush=True)
"""


def start(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WAITS],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_asked_process_leaves_in_order() -> None:
    with start() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "in order\n"
    assert process.returncode == 128 + signal.SIGTERM


def test_a_process_whose_parent_has_already_gone_does_not_begin() -> None:
    with start(REWARDSMITH_PARENT="1") as process:
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert process.returncode == 128 + signal.SIGKILL


def test_the_parents_number_is_not_handed_on() -> None:
    program = (
        "import os; from rewardsmith.runs.training.lifetime import die_with_parent;"
        "die_with_parent(); print(os.environ.get('REWARDSMITH_PARENT'))"
    )
    environment = {**os.environ, "REWARDSMITH_PARENT": str(os.getpid())}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = (
        "import os, pathlib, subprocess, sys, time\n"
        "from rewardsmith.runs.training.lifetime import job_environment\n"
        f"child = subprocess.Popen([sys.executable, '-c', {WAITS!r}], stdout=subprocess.PIPE,\n"
        "                         env=job_environment(os.environ))\n"
        "child.stdout.readline()\n"
        f"pathlib.Path({str(told)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    for _ in range(1500):
        if told.exists() and told.read_text():
            break
        time.sleep(0.01)
    child = int(told.read_text())
    parent.kill()
    parent.wait()
    for _ in range(500):
        if not alive(child):
            break
        time.sleep(0.01)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
