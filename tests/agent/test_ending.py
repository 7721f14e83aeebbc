from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, TEXT
from quick_crew import quick_crew, unwatched

from rewardsmith.agent.config import make_config
from rewardsmith.agent.ending import best_job, facts_of, finish, sandbox_used
from rewardsmith.agent.session import config_of
from rewardsmith.agent.session import design as run_design
from rewardsmith.envs.registry import find_task
from rewardsmith.runs.records import Arm, Candidate, Proposal, RunState, TrainingReport
from rewardsmith.runs.store import RunStore
from rewardsmith.sandbox.backends import resolve


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    values: dict[str, Any] = {"env": POINT, "text": TEXT, "llm": "scripted", "candidates": 2}
    config = make_config(
        values | {"seeds": 2, "video": False, "probes": False, "out": tmp_path / "run"}
    )
    return RunStore.open(run_design(config, view=unwatched, make_crew=quick_crew()).run)


def reports(prefix: str, values: Sequence[float | None]) -> tuple[TrainingReport, ...]:
    return tuple(
        TrainingReport(unit=f"{prefix}.s{i}", seed=i, steps=1, fitness=value)
        for i, value in enumerate(values)
    )


def state_of(final: Sequence[float | None], search: Sequence[float | None]) -> RunState:
    best = Candidate(
        id="g0.0",
        generation=0,
        index=0,
        proposal=Proposal(kind="fresh"),
        reports=reports("g0.0", search),
    )
    arms = (Arm(name="best", candidate="g0.0", reports=reports("final.best", final)),)
    return RunState(
        run="r", task=POINT, candidates=(best,), arms=arms if final else (), best="g0.0"
    )


@pytest.mark.parametrize(
    ("final", "search", "unit"),
    [
        ([1.0, 9.0, 5.0], [99.0], "final.best.s2"),
        ([], [1.0, 3.0], "g0.0.s1"),
        ([None, 2.0], [7.0], "final.best.s1"),
        ([None], [7.0], "g0.0.s0"),
    ],
)
def test_the_policy_handed_out_is_the_median_one_on_held_out_seeds(
    tmp_path: Path, final: list[float | None], search: list[float | None], unit: str
) -> None:
    store = RunStore.create(tmp_path / "run", {}, find_task(POINT))
    assert best_job(store, state_of(final, search)) == store.job_path(unit)


def test_where_nothing_trained_there_is_no_policy(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", {}, find_task(POINT))
    assert best_job(store, RunState(run="r", task=POINT)) is None


def test_the_report_is_told_what_it_takes_to_repeat_the_run(run: RunStore) -> None:
    facts = facts_of(run, config_of(run), run.state())
    assert facts.task == run.task()
    assert facts.trainer == "toy"
    assert facts.models == {"all": "scripted"}
    assert facts.sandbox == resolve("auto").name
    assert {row.role for row in facts.ledger} >= {"designer"}
    assert facts.versions["python"]
    groups = {name: set(seeds) for name, seeds in facts.seeds.items()}
    assert not groups["training (select)"] & groups["training (final)"]
    assert not groups["judging (select)"] & groups["judging (final)"]


def test_auto_does_not_hide_that_nothing_confines() -> None:
    assert sandbox_used(make_config({"env": POINT, "sandbox": "none"})) == "none"
    assert sandbox_used(make_config({"env": POINT})) == resolve("auto").name != "none"
    assert sandbox_used(make_config({"env": POINT, "sandbox": "process"})) == "process"


def test_an_unfinished_run_gets_no_video_yet(run: RunStore) -> None:
    journal = run.journal.path
    rows = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(row for row in rows if '"kind":"finished"' not in row))
    config = config_of(run).model_copy(update={"video": True})
    page = finish(run, config, unwatched, stopped="the budget is spent").read_text()
    assert "The budget is spent" in page
    assert not (run.best_path / "policy.mp4").exists()


def test_what_a_user_takes_away_lies_in_the_folder(finished_run: Path) -> None:
    best = finished_run / "best"
    assert (best / "reward.py").read_text().count("def compute_reward(") == 1
    assert (finished_run / "report.html").is_file()
