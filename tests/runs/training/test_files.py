from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.errors import TrainingError
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.evaluate import evaluate
from rewardsmith.runs.training.judging import Judgement, Judging
from rewardsmith.runs.training.policy import Policy, PolicySpec, save_policy, shapes


def unit(**changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "g0.1.s1", "task": toy.tasks()[0], "program": "x", "trainer": "toy",
        "hyperparams": {"net": [8, 8], "rate": 0.1}, "seed": 1, "steps": 10, "eval_seeds": (1, 2),
    }  # fmt: skip
    return Unit(**(plain | changes))


def test_a_unit_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files.write_unit(tmp_path / "new" / "job", unit())
    assert files.read_unit(tmp_path / "new" / "job").model_dump_json() == unit().model_dump_json()


def test_nothing_half_written_is_left_or_seen(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.write_whole(path, b"one")
    files.write_whole(path, b"two", lasting=False)
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_a_folder_is_finished_only_with_the_report_of_its_own_unit(tmp_path: Path) -> None:
    files.write_unit(tmp_path, unit())
    assert files.finished(tmp_path, unit()) is None
    report = TrainingReport(unit="g0.1.s1", seed=1, steps=10, fitness=0.5)
    files.write_whole(tmp_path / files.REPORT, report.model_dump_json().encode())
    assert files.finished(tmp_path, unit()) == report
    for other in (unit(seed=2), unit(program="y"), unit(hyperparams={"rate": 0.2}), unit(id="u")):
        assert files.finished(tmp_path, other) is None


def test_clearing_keeps_the_unit_and_the_log_alone(tmp_path: Path) -> None:
    files.write_unit(tmp_path, unit())
    for name in (files.LOG, files.CURVE, files.ERROR, "report.json.tmp"):
        (tmp_path / name).write_text("old")
    (tmp_path / files.TENSORBOARD / "deep").mkdir(parents=True)
    outside = tmp_path.parent / "outside"
    outside.mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(outside)
    files.clear(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {files.UNIT, files.LOG}
    assert outside.is_dir()


@pytest.mark.parametrize("content", ["", "{", "[1]", "3"])
def test_small_files_that_hold_no_object_read_as_nothing(content: str, tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert files.read_json(path) is None
    path.write_text(content)
    assert files.read_json(path) is None
    path.write_text('{"steps": 3}')
    assert files.read_json(path) == {"steps": 3}


def test_an_error_is_left_with_its_kind_and_words(tmp_path: Path) -> None:
    files.write_error(tmp_path, TrainingError("what was found"))
    assert files.read_json(tmp_path / files.ERROR) == {
        "error": "TrainingError", "text": "what was found"
    }  # fmt: skip


def write_judging(folder: Path, **changes: Any) -> None:
    judging = Judging(**({"task": toy.tasks()[0], "eval_seeds": (4, 5)} | changes))
    files.write_whole(folder / files.JUDGING, judging.model_dump_json().encode())


def test_the_evaluator_needs_weights_and_seeds_alone(tmp_path: Path) -> None:
    spec = PolicySpec(kind="linear", observation_size=3, action_shape=(1,), low=(-1,), high=(1,))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes(spec).items()}
    save_policy(Policy(spec, zeros), tmp_path)
    write_judging(tmp_path)
    evaluate(tmp_path)
    found = Judgement.model_validate_json((tmp_path / files.EVALUATION).read_bytes())
    assert [episode.seed for episode in found.episodes] == [4, 5]
    assert (tmp_path / files.TRAJECTORIES).exists()
    # No force at all leaves the point where it started.
    assert all(abs(e.fields["position"][-1]) <= 0.2 for e in found.episodes)


def test_the_evaluator_refuses_a_folder_without_weights(tmp_path: Path) -> None:
    write_judging(tmp_path)
    with pytest.raises(TrainingError, match="no readable policy"):
        evaluate(tmp_path)
    assert not (tmp_path / files.EVALUATION).exists()
