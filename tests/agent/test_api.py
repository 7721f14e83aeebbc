import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, TEXT

import rewardsmith
from rewardsmith.errors import ConfigError
from rewardsmith.runs.store import RunStore

SAME_AS_SMALL: dict[str, Any] = {
    "env": POINT, "llm": "scripted", "candidates": 2, "generations": 2, "steps": 2000,
    "final_seeds": 1, "eval_episodes": 2, "critic_rounds": 0, "video": False,
    "probes": False,
}  # fmt: skip


def test_design_in_python_is_the_same_run_as_the_command(
    finished_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished_run, out)
    before = (out / "journal.jsonl").read_bytes()
    result = rewardsmith.design(TEXT, **SAME_AS_SMALL, out=out)
    assert (out / "journal.jsonl").read_bytes() == before, "nothing was left to do"
    assert result.state == RunStore.open(out).state()
    assert result.report == out / "report.html"
    assert (result.program or "").startswith("def compute_reward(")


def test_events_are_told_to_who_watches(finished_run: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_run, tmp_path / "run")
    told: list[str] = []
    rewardsmith.design(
        TEXT, **SAME_AS_SMALL, out=str(tmp_path / "run"), watch=lambda kind, **_: told.append(kind)
    )
    assert told == ["finished"]


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean candidates"):
        rewardsmith.design("x", env=POINT, candidate=3)


def test_the_package_imports_nothing_heavy() -> None:
    code = "import sys, rewardsmith; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "gymnasium", "numpy", "pydantic"} & set(done.stdout.split())


@pytest.mark.slow
def test_the_example_runs(root: Path, tmp_path: Path) -> None:
    script = root / "examples" / "design_in_python.py"
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "def compute_reward(" in done.stdout
    assert (tmp_path / "results" / "from-python" / "report.html").is_file()


def test_the_example_is_short(root: Path) -> None:
    text = (root / "examples" / "design_in_python.py").read_text()
    code = [line for line in text.partition("import rewardsmith")[2].splitlines() if line.strip()]
    assert len(code) <= 12
