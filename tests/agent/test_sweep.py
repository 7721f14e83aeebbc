import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, call, launch, spawn
from loop_rig import ANALYSIS, Arithmetic, answer
from quick_crew import Here, quick_crew, unwatched, worth

from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.session import DesignResult, design
from rewardsmith.agent.sweep import Board, Row, sweep
from rewardsmith.errors import ConfigError, Interrupted, ModelError, StoreError

PLAN = """
tasks:
  - rewardsmith/Point-v0
  - {{env: rewardsmith/Point-v0, text: come to rest at the goal}}
models: ["scripted:{script}"]
seeds: [0, 1]
base: {{candidates: 1, generations: 1, critic_rounds: 0, video: false, probes: false, steps: 2000,
       eval_episodes: 2, final_seeds: 1, recheck_seeds: 0}}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    programs = [answer(weight) for weight in (0.5, 1.0, 2.0, 3.0)]
    script = {"designer": programs, "analyzer": [ANALYSIS]}
    (tmp_path / "script.yaml").write_text(json.dumps(script))  # JSON is YAML
    path.write_text(PLAN.format(script=tmp_path / "script.yaml"))
    return path


def quick(config: RunConfig, *, view: Any) -> DesignResult:
    return design(config, view=view, make_crew=quick_crew())


def run(plan: Path, out: Path, run_cell: Any = quick, **flags: Any) -> Board:
    return sweep(plan, flags | {"out": out}, view=unwatched, run_cell=run_cell)


def table(out: Path) -> dict[str, Any]:
    """The leaderboard but for where it lies."""
    value = json.loads((out / "leaderboard.json").read_text())
    assert isinstance(value, dict)
    return {key: value[key] for key in ("rows", "groups")}


def test_a_sweep_is_every_task_with_every_seed(plan: Path, tmp_path: Path) -> None:
    board = run(plan, tmp_path / "out")
    assert sorted((row.env, row.seed) for row in board.rows) == [(POINT, 0)] * 2 + [(POINT, 1)] * 2
    assert all(row.best is not None and row.random is not None for row in board.rows)
    assert (tmp_path / "out" / "leaderboard.md").read_text().rstrip() == board.as_text()
    assert table(tmp_path / "out")["rows"] == [dict(vars(row)) for row in board.rows]


def test_each_cell_is_a_run_folder(plan: Path, tmp_path: Path) -> None:
    board = run(plan, tmp_path / "out")
    for row in board.rows:
        assert (tmp_path / "out" / row.cell / "report.html").is_file()


def test_a_sweep_cut_anywhere_ends_with_the_same_table(plan: Path, tmp_path: Path) -> None:
    run(plan, tmp_path / "whole")

    class Cut(BaseException):
        pass

    executors: list[Arithmetic] = []
    for allowed in range(4):

        def cell(config: RunConfig, *, view: Any, allowed: int = allowed) -> DesignResult:
            if len(executors) > 3 * allowed:
                raise Cut
            executors.append(Arithmetic(worth))
            return design(config, view=view, make_crew=quick_crew(executors[-1]))

        with pytest.raises(Cut):
            run(plan, tmp_path / "cut", cell)
    run(plan, tmp_path / "cut")
    assert table(tmp_path / "cut") == table(tmp_path / "whole")
    trained = [unit for executor in executors for unit in executor.trained]
    assert len(trained) <= 4 * 5, "no cell trained twice"


@pytest.mark.slow
def test_a_sweep_killed_half_way_ends_with_the_same_table(plan: Path, tmp_path: Path) -> None:
    # Real trainings in this process, one after the other: they come to the same numbers.
    run(plan, tmp_path / "whole", partial(design, make_crew=quick_crew(Here())))
    killed = launch("sweep", str(plan), "--out", "killed", "--json", cwd=tmp_path)
    for _ in range(900):  # until the third of four cells is at work
        if len(list((tmp_path / "killed").glob("*/run.json"))) > 2:
            break
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    half = table(tmp_path / "killed")
    assert len(half["rows"]) == 2
    done = spawn("sweep", str(plan), "--out", "killed", "--json", cwd=tmp_path, timeout_s=170)
    assert done.code == 0, done.err
    assert table(tmp_path / "killed") == table(tmp_path / "whole")
    assert done.document["rows"] == table(tmp_path / "whole")["rows"]


def test_a_cell_that_fails_is_a_row_with_the_reason(plan: Path, tmp_path: Path) -> None:
    def cell(config: RunConfig, *, view: Any) -> DesignResult:
        if config.seed == 1:
            raise ModelError("quota", "no credit")
        return quick(config, view=view)

    board = run(plan, tmp_path / "out", cell)
    failed = [row for row in board.rows if row.error]
    assert board.failed
    assert [(row.seed, row.error, row.best) for row in failed] == [
        (1, "ModelError (quota)", None),
        (1, "ModelError (quota)", None),
    ]
    assert board.rows[-1].error, "failures stand last"
    assert {group["runs"] for group in board.groups()} == {2}


def test_a_full_disk_and_ctrl_c_end_the_sweep_itself(plan: Path, tmp_path: Path) -> None:
    for error in (StoreError("full"), Interrupted("resume that cell")):

        def cell(config: RunConfig, *, view: Any, error: Exception = error) -> DesignResult:
            raise error

        with pytest.raises(type(error)) as caught:
            run(plan, tmp_path / "out", cell)
    assert "the same command" in str(caught.value)


def test_flags_stand_above_the_file(plan: Path, tmp_path: Path) -> None:
    asked: list[RunConfig] = []

    def cell(config: RunConfig, *, view: Any) -> DesignResult:
        asked.append(config)
        return quick(config, view=view)

    run(plan, tmp_path / "out", cell, candidates=1)
    assert {config.candidates for config in asked} == {1}
    assert len({config.out for config in asked}) == 4


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("tasks: []", "tasks"),
        ("task: [a]", "known keys"),
        (f"tasks: [{POINT}, {POINT}]", "the same run"),
        (f"tasks: [{POINT}]\nbase: {{candidate: 1}}", "did you mean candidates"),
        ("tasks: [", "YAML"),
    ],
)
def test_a_wrong_file_is_an_error_before_anything_runs(
    tmp_path: Path, text: str, wrong: str
) -> None:
    (tmp_path / "sweep.yaml").write_text(text)

    def cell(config: RunConfig, *, view: Any) -> DesignResult:
        raise AssertionError("a cell ran")

    with pytest.raises(ConfigError, match=wrong):
        run(tmp_path / "sweep.yaml", tmp_path / "out", cell)
    assert not (tmp_path / "out").exists()


def test_an_unknown_environment_ends_the_command_with_2(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("tasks: [Hoper-v5]\nmodels: [scripted]\n")
    done = call("sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out"), "--json")
    assert done.code == 2
    assert "Hopper-v5" in done.document["message"]


def test_what_is_not_known_is_a_dash_in_the_table() -> None:
    row = Row("a", "A", "m", "greedy", 0, best=1.0, human=None, random=None, trained=1, proposed=1)
    assert "| A | m | greedy | 0 | 1 | - | - | 1/1 |" in Board(Path(), (row,)).as_text()
