from pathlib import Path

import numpy as np
import pytest
from command_rig import POINT
from evidence_rig import Played, bank_of

from rewardsmith.agent.single import train_file
from rewardsmith.agent.trained import Trained, trained_with, with_trained
from rewardsmith.errors import ConfigError
from rewardsmith.runs.store import RunStore

GOOD = 'def compute_reward(distance):\n    near = -distance\n    return near, {"near": near}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``train --out`` leaves of two short trainings."""
    place = tmp_path_factory.mktemp("trained")
    (place / "reward.py").write_text(GOOD)
    options = {"env": POINT, "steps": 500, "final_seeds": 2, "eval_episodes": 2}
    train_file(
        place / "reward.py",
        options | {"out": place / "out", "executor": "serial"},
        view=lambda kind, **facts: None,
    )
    return place / "out"


def test_the_trainings_of_a_folder_are_those_of_the_program(folder: Path) -> None:
    found = trained_with(folder, POINT, GOOD)
    ((label, reports),) = found.groups
    assert (label, len(reports), len(found.jobs)) == ("train", 2, 2)
    assert all(report.fitness is not None for report in reports)


def test_judged_episodes_follow_those_of_the_bank(folder: Path) -> None:
    found = trained_with(folder, POINT, GOOD)
    names = ("position", "velocity", "target", "distance", "out")
    bank = bank_of([Played({name: np.zeros(4) for name in names}, fitness=0.1)])
    whole = with_trained(bank, found)
    told = [e for _, report in found.jobs for e in report.episodes]
    assert [e.fitness for e in whole.episodes] == [0.1, *(e.fitness for e in told)]
    assert [e.policy for e in whole.episodes[1:]] == ["train.s0"] * 2 + ["train.s1"] * 2
    assert whole.episodes[-1].stop == whole.steps.rows
    assert whole.steps.starts[[e.first for e in whole.episodes]].all()
    assert whole.steps.starts.sum() == len(whole.episodes)


def test_without_trainings_the_played_part_of_a_bank_stays() -> None:
    states = {"x": np.arange(4.0)}
    bank = bank_of([Played(states), Played(states, kind="corrupted"), Played(states)])
    whole = with_trained(bank, Trained())
    assert [(e.first, e.stop) for e in whole.episodes] == [(0, 3), (3, 6)]
    assert whole.steps.starts.tolist() == [True, False, False] * 2


def test_a_candidate_of_a_run_has_its_selection_and_its_held_out_seeds(finished_run: Path) -> None:
    state = RunStore.open(finished_run).state()
    best = next(c for c in state.candidates if c.id == state.best)
    found = trained_with(finished_run, POINT, "other", best.program or "")
    labels = [label for label, _ in found.groups]
    assert f"{best.id}, selection seeds" in labels
    assert "held-out seeds" in labels
    assert all(path.is_dir() for path, _ in found.jobs)


def test_what_holds_no_training_of_the_program_is_an_error_that_says_what_to_give(
    folder: Path, finished_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        trained_with(tmp_path / "absent", POINT, GOOD)
    with pytest.raises(ConfigError, match="neither a run nor"):
        trained_with(tmp_path, POINT, GOOD)
    with pytest.raises(ConfigError, match="of another program"):
        trained_with(folder, POINT, "other")
    with pytest.raises(ConfigError, match=r"candidates/ID/reward\.py"):
        trained_with(finished_run, POINT, "other")
    with pytest.raises(ConfigError, match="--env is Hopper-v5"):
        trained_with(folder, "Hopper-v5", GOOD)
