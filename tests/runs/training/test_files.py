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
from rewardsmith.runs.whole import write_whole


def unit(**changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "g0.1.s1", "task": toy.tasks()[0], "program": "x", "trainer": "toy",
        "hyperparams": {"net": [8, 8], "rate": 0.1}, "seed": 1, "steps": 10, "eval_seeds": (1, 2),
    }  # fmt: skip
    return Unit(**(plain | changes))


def test_a_unit_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files.write_unit(tmp_path / "new" / "job", unit())
    assert files.read_unit(tmp_path / "new" / "job").model_dump_json() == unit().model_dump_json()


def test_a_folder_is_finished_only_with_the_report_of_its_own_unit(tmp_path: Path) -> None:
    files.write_unit(tmp_path, unit())
    assert files.finished(tmp_path, unit()) is None
    report = TrainingReport(unit="g0.1.s1", seed=1, steps=10, fitness=0.5)
    write_whole(tmp_path / files.REPORT, report.model_dump_json().encode())
    assert files.finished(tmp_path, unit()) == report
    for other in (unit(seed=2), unit(program="y"), unit(hyperparams={"rate": 0.2}), unit(steps=11)):
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
    write_whole(folder / files.JUDGING, judging.model_dump_json().encode())


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


def test_the_same_content_under_another_name_is_not_run_again(tmp_path: Path) -> None:
    files.write_unit(tmp_path, unit())
    report = TrainingReport(unit="g0.1.s1", seed=1, steps=10, fitness=0.5)
    write_whole(tmp_path / files.REPORT, report.model_dump_json().encode())
    found = files.finished(tmp_path, unit(id="g7.2.s1", sandbox="docker"))
    assert found == report.model_copy(update={"unit": "g7.2.s1"})


def test_a_unit_that_was_to_leave_a_checkpoint_is_not_finished_without_one(tmp_path: Path) -> None:
    work = unit(checkpoint=True)
    files.write_unit(tmp_path, work)
    report = TrainingReport(unit=work.id, seed=1, steps=10, fitness=0.5)
    write_whole(tmp_path / files.REPORT, report.model_dump_json().encode())
    assert files.finished(tmp_path, work) is None
    (tmp_path / files.CHECKPOINT).mkdir()
    assert files.finished(tmp_path, work) == report


def test_a_promoted_unit_goes_on_from_the_finished_unit_of_that_content_alone(
    tmp_path: Path,
) -> None:
    first = unit(stop=5, checkpoint=True)
    second = first.promoted("next")
    with pytest.raises(TrainingError, match=r"no readable unit\.json"):
        files.checkpoint_of(tmp_path / "next", second)
    files.write_unit(tmp_path / first.id, first)
    with pytest.raises(TrainingError, match="train that one first"):
        files.checkpoint_of(tmp_path / "next", second)
    report = TrainingReport(unit=first.id, seed=1, steps=5, fitness=0.5)
    write_whole(tmp_path / first.id / files.REPORT, report.model_dump_json().encode())
    (tmp_path / first.id / files.CHECKPOINT).mkdir()
    assert files.checkpoint_of(tmp_path / "next", second) == tmp_path / first.id / "checkpoint"
    other = unit(stop=5, checkpoint=True, seed=2).promoted("next")
    with pytest.raises(TrainingError, match="of the content that it goes on from"):
        files.checkpoint_of(tmp_path / "next", other)
    assert files.checkpoint_of(tmp_path / "next", unit()) is None
