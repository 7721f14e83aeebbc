import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stack_rig import PARAMS, STACKED, lanes, rig

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError
from rewardsmith.runs.executors.child import Rules
from rewardsmith.runs.executors.local import Local
from rewardsmith.runs.executors.stacks import Job, grouped
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.whole import write_whole

TASK = toy.tasks()[0]


def unit(name: str, **changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": name, "task": TASK, "program": None, "trainer": STACKED, "hyperparams": {"n": 1},
        "seed": 1, "steps": 9, "eval_seeds": (1,),
    }  # fmt: skip
    return Unit(**(plain | changes))


def names(groups: Sequence[Sequence[Job]]) -> list[list[str]]:
    return [[unit.id for unit, _ in group] for group in groups]


def sizes(count: int, cores: int, most: int = 8) -> list[int]:
    jobs = [(unit(f"u{i}", seed=i), Path("nowhere")) for i in range(count)]
    return [len(group) for group in grouped(jobs, cores, most)]


@pytest.mark.parametrize(
    ("count", "cores", "wanted"),
    [
        (16, 2, [8, 8]),
        (20, 2, [5, 5, 5, 5]),
        (3, 2, [1, 2]),
        (1, 2, [1]),
        (2, 4, [1, 1]),
        (9, 1, [4, 5]),
        (0, 2, []),
    ],
)
def test_stacks_keep_all_cores_busy_alike(count: int, cores: int, wanted: list[int]) -> None:
    assert sizes(count, cores) == wanted


@given(count=st.integers(1, 70), cores=st.integers(1, 9), most=st.integers(1, 9))
def test_no_stack_is_larger_than_allowed_nor_much_smaller_than_another(
    count: int, cores: int, most: int
) -> None:
    found = sizes(count, cores, most)
    assert sum(found) == count
    assert max(found) <= most
    assert max(found) - min(found) <= 1
    assert len(found) % cores == 0 or len(found) == count


@pytest.mark.parametrize(
    "changes",
    [
        {"task": replace(TASK, env=toy.tasks()[1].env)},
        {"hyperparams": {"n": 2}},
        {"steps": 10},
        {"stop": 5},
        {"checkpoint": True},
        {"device": "cuda"},
        {"sandbox": "docker"},
        {"trainer": "toy"},
        {"steps": 0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_units_that_differ_in_more_are_not_trained_together(changes: dict[str, Any]) -> None:
    jobs = [(unit("a"), Path("x")), (unit("b", **changes), Path("x")), (unit("c"), Path("x"))]
    assert names(grouped(jobs, 1)) == [["a", "c"], ["b"]]


def test_lanes_may_differ_in_program_seed_and_judging() -> None:
    jobs = [(unit("a"), Path("x")), (unit("b", program="x", mode="rows", seed=2), Path("x")),
            (unit("c", eval_seeds=(7, 8)), Path("x"))]  # fmt: skip
    assert names(grouped(jobs, 1)) == [["a", "b", "c"]]


def test_promoted_units_are_stacked_with_those_of_their_rung() -> None:
    low = [unit(f"l{i}", seed=i, stop=3, checkpoint=True) for i in range(2)]
    high = [unit(f"h{i}", seed=i, stop=5, checkpoint=True) for i in range(2)]
    jobs = [(u.promoted(f"{u.id}+"), Path("x")) for u in (low[0], high[0], low[1], high[1])]
    assert names(grouped(jobs, 1)) == [["l0+", "l1+"], ["h0+", "h1+"]]


def test_one_lane_at_most_or_a_trainer_that_cannot_stack_means_units_alone() -> None:
    jobs = [(unit(f"u{i}"), Path("x")) for i in range(3)]
    assert names(grouped(jobs, 1, 1)) == [["u0"], ["u1"], ["u2"]]
    plain = [(unit(f"u{i}", trainer="toy"), Path("x")) for i in range(3)]
    assert names(grouped(plain, 1)) == [["u0"], ["u1"], ["u2"]]


def test_finished_units_take_no_place_in_a_stack(tmp_path: Path) -> None:
    jobs = [(unit(f"u{i}"), tmp_path / f"u{i}") for i in range(3)]
    files.write_unit(jobs[1][1], jobs[1][0])
    report = TrainingReport(unit="u1", seed=1, steps=9, fitness=0.0)
    write_whole(jobs[1][1] / files.REPORT, report.model_dump_json().encode())
    assert names(grouped(jobs, 1)) == [["u0", "u2"], ["u1"]]


def test_a_trainer_that_does_not_exist_is_an_error_of_the_callers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no_such_module"):
        list(Local().run([(unit("a", trainer="no_such_module:x"), tmp_path / "a")]))


def test_no_lane_to_a_process_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one unit to a process"):
        Local(stack=0)


# Stands in for the stack: leaves what it is told to, then ends as it is told to.
STACK = """
import json, os, pathlib, sys, time
folders = [pathlib.Path(name) for name in sys.argv[1:]]
for folder in folders:
    unit = json.loads((folder / "unit.json").read_text())
    do = unit["hyperparams"]
    (folder / "stack").write_text(f"{os.getpid()} {len(folders)}")
    (folder / "progress.json").write_text('{"steps": 3}')
    if unit["seed"] < do.get("reports", 99):
        report = {"unit": unit["id"], "seed": unit["seed"], "steps": 5, "fitness": 1.0}
        (folder / "report.json").write_text(json.dumps(report))
time.sleep(do.get("sleep", 0))
sys.exit(do.get("code", 0))
"""
ALONE = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
unit = json.loads((folder / "unit.json").read_text())
(folder / "alone").touch()
report = {"unit": unit["id"], "seed": unit["seed"], "steps": 5, "fitness": 2.0}
(folder / "report.json").write_text(json.dumps(report))
"""


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    for name, text in (("stack.py", STACK), ("alone.py", ALONE)):
        (tmp_path / name).write_text(text)
    alone, stack = ((sys.executable, "-S", str(tmp_path / f"{n}.py")) for n in ("alone", "stack"))
    return Rules(command=alone, stack=stack)


def run(
    folder: Path, rules: Rules, count: int, told: Any = None, **do: Any
) -> dict[str, float | None]:
    jobs = [(unit(f"u{i}", seed=i, hyperparams=do), folder / f"u{i}") for i in range(count)]
    found = list(Local(workers=1, rules=rules, stack=4).run(jobs, told))
    assert len(found) == count
    return {unit.id: report.fitness for unit, report in found}


def test_a_stack_is_one_process_whose_units_keep_their_folders(
    tmp_path: Path, rules: Rules
) -> None:
    assert run(tmp_path, rules, 3) == dict.fromkeys(("u0", "u1", "u2"), 1.0)
    seen = {(tmp_path / f"u{i}" / "stack").read_text() for i in range(3)}
    assert len(seen) == 1
    assert seen.pop().endswith(" 3")
    assert not any((tmp_path / f"u{i}" / "alone").exists() for i in range(3))


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_stack_leaves_undone_is_done_alone(code: int, tmp_path: Path, rules: Rules) -> None:
    found = run(tmp_path, rules, 4, reports=2, code=code)
    assert found == {"u0": 1.0, "u1": 1.0, "u2": 2.0, "u3": 2.0}


def test_a_stack_that_cannot_be_started_falls_back_to_its_units(
    tmp_path: Path, rules: Rules
) -> None:
    gone = replace(rules, stack=("/no/such/program",))
    assert run(tmp_path, gone, 2) == {"u0": 2.0, "u1": 2.0}


def test_a_report_is_told_while_the_other_lanes_still_run(tmp_path: Path, rules: Rules) -> None:
    jobs = [(unit(f"u{i}", seed=i, hyperparams={"reports": 1, "sleep": 60}), tmp_path / f"u{i}")
            for i in range(2)]  # fmt: skip
    running = Local(workers=1, rules=rules, stack=4).run(jobs)
    first, report = next(running)
    assert (first.id, report.fitness) == ("u0", 1.0)
    pid = int((tmp_path / "u1" / "stack").read_text().split()[0])
    os.kill(pid, 0)  # it is alive
    running.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_progress_is_told_of_each_lane(tmp_path: Path, rules: Rules) -> None:
    told: list[tuple[str, Any]] = []
    run(tmp_path, rules, 2, lambda name, state: told.append((name, state)), reports=0, sleep=0.8)
    assert sorted(told) == [("u0", {"steps": 3}), ("u1", {"steps": 3})]


@pytest.mark.slow
def test_real_stacks_report_what_their_units_report_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rig(tmp_path).items():
        monkeypatch.setenv(name, value)
    work = [
        unit(f"u{i}", seed=i, hyperparams=PARAMS, steps=900, eval_points=2, program=program)
        for i, program in enumerate((None, PROGRAM, BROKEN))
    ]
    found: list[dict[str, Any]] = []
    for most, place in ((4, "stacked"), (1, "alone")):
        jobs = [(u, tmp_path / place / u.id) for u in work]
        reports = dict(
            (u.id, timeless(report)) for u, report in Local(workers=1, stack=most).run(jobs)
        )
        found.append(reports)
    assert found[0] == found[1]
    assert lanes(tmp_path) == [3]
    assert found[0]["u2"]["failure"]["kind"] == "reward_error"
    assert found[0]["u1"]["fitness"] is not None


PROGRAM = """
def compute_reward(distance):
    near = -distance
    return near, {"near": near}
"""
BROKEN = """
def compute_reward(distance):
    return nothing, {}
"""


def timeless(report: TrainingReport) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(report.model_dump_json())
    for record in (plain, *plain["curve"]):
        for name in ("wall_s", "cpu_s", "reward_wall_s", "steps_per_s"):
            record.pop(name, None)
    return plain
