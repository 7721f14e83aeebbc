from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, TEXT
from quick_crew import quick_crew, unwatched

from rewardsmith.agent.config import make_config
from rewardsmith.agent.run_pictures import keep_pictures
from rewardsmith.agent.session import config_of
from rewardsmith.agent.session import design as run_design
from rewardsmith.runs.report_pictures import pictured, read_pictures
from rewardsmith.runs.store import RunStore


def run_in(folder: Path, **more: Any) -> RunStore:
    """A run whose trainings are arithmetic, with the pictures that it kept."""
    values: dict[str, Any] = {"env": POINT, "text": TEXT, "llm": "scripted", "candidates": 2}
    config = make_config(values | {"generations": 1, "video": False, "out": folder} | more)
    return RunStore.open(run_design(config, view=unwatched, make_crew=quick_crew()).run)


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return run_in(tmp_path / "run")


def test_a_run_keeps_the_numbers_of_its_best_rewards_and_the_report_draws_them(
    run: RunStore,
) -> None:
    best, *others = pictured(run.state())
    found = read_pictures(run.pictures_path(best.id))
    assert found is not None
    assert found.slices
    assert found.program_id == best.program_id
    assert all(run.pictures_path(c.id).exists() for c in others)
    assert f'id="pictures-{best.id}"' in run.report_path.read_text()


def test_what_is_kept_is_not_asked_for_again(run: RunStore) -> None:
    path = run.pictures_path(pictured(run.state())[0].id)
    path.write_text("kept")
    keep_pictures(run, config_of(run), unwatched)
    assert path.read_text() == "kept"


def test_pictures_that_cannot_be_made_are_a_warning_and_no_end_of_a_run(run: RunStore) -> None:
    path = run.pictures_path(pictured(run.state())[0].id)
    path.unlink()
    (run.bank_path / "index.json").write_text("damaged")
    told: list[str] = []
    keep_pictures(run, config_of(run), lambda kind, **facts: told.append(facts["text"]))
    assert not path.exists()
    assert told[0].startswith("no pictures of the best rewards: ")


def test_a_shaped_reward_is_drawn_as_it_trained(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", shaping="squash=clip(-1,1)")
    found = read_pictures(run.pictures_path(pictured(run.state())[0].id))
    assert found is not None
    assert found.findings[0].kind == "shaped"
    totals = [value for item in found.slices for line in item.lines for value in line.total]
    assert all(-1.0 <= value <= 1.0 for value in totals)
