from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.stack import run_stack
from rewardsmith.runs.training.trainers import Lane, Trained
from rewardsmith.runs.training.trainers.toy import search
from rewardsmith.sandbox.failure import Failure

TASK = toy.tasks()[0]
PARAMS = {"population": 4, "episodes": 1, "elite": 2, "spread": 1.0}


class Fake:
    """Trains its lanes one after the other; loses or fails some if told to."""

    def __init__(self, *, answers: int | None = None, failing: int | None = None) -> None:
        self.answers, self.failing = answers, failing
        self.stacks: list[int] = []

    def train(self, order: Any, reward: Any, watch: Any) -> Trained | Failure:
        return search.train(order, reward, watch)

    def train_stack(self, lanes: Sequence[Lane]) -> list[Trained | Failure]:
        self.stacks.append(len(lanes))
        found = [search.train(lane.order, lane.reward, lane.watch) for lane in lanes]
        if self.failing is not None:
            found[self.failing] = Failure(kind="diverged", text="NaN")
        return found[: self.answers]


whole, short, broken = Fake(), Fake(answers=1), Fake(failing=0)


def unit(name: str, trainer: str = "whole", **changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": name, "task": TASK, "program": None, "trainer": f"{__name__}:{trainer}",
        "hyperparams": PARAMS, "seed": 1, "steps": 200, "eval_seeds": (10**9,), "eval_points": 1,
    }  # fmt: skip
    return Unit(**(plain | changes))


def laid(folder: Path, *units: Unit) -> list[Path]:
    for work in units:
        files.write_unit(folder / work.id, work)
    return [folder / work.id for work in units]


@pytest.mark.parametrize(
    "change", [{"steps": 201}, {"hyperparams": PARAMS | {"elite": 1}}, {"trainer": "toy"}]
)
def test_units_that_cannot_be_lanes_of_one_stack_are_refused(
    change: dict[str, Any], tmp_path: Path
) -> None:
    folders = laid(tmp_path, unit("a"), unit("b").model_copy(update=change))
    with pytest.raises(ConfigError, match="differ in more than seed, reward and folders"):
        run_stack(folders)


def test_a_trainer_of_single_orders_is_refused(tmp_path: Path) -> None:
    toys = [unit(name).model_copy(update={"trainer": "toy"}) for name in "ab"]
    with pytest.raises(ConfigError, match="'toy' trains one order at a time"):
        run_stack(laid(tmp_path, *toys))


def test_lanes_that_do_not_come_back_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="2 lanes were trained, and 1 came back"):
        run_stack(laid(tmp_path, unit("a", "short"), unit("b", "short", seed=2)))


def test_finished_lanes_are_left_alone(tmp_path: Path) -> None:
    folders = laid(tmp_path, *(unit(name, seed=i) for i, name in enumerate("abc")))
    whole.stacks.clear()
    assert run_stack(folders[:1]) == []
    before = (folders[0] / files.REPORT).stat().st_mtime_ns
    assert run_stack(folders) == run_stack(folders) == []
    assert whole.stacks == [1, 2]
    assert (folders[0] / files.REPORT).stat().st_mtime_ns == before


def test_a_lane_that_failed_is_reported_and_the_others_are_judged(tmp_path: Path) -> None:
    work = [unit("a", "broken"), unit("b", "broken", seed=2)]
    folders = laid(tmp_path, *work)
    assert run_stack(folders) == []
    first, second = (files.finished(f, u) for f, u in zip(folders, work, strict=True))
    assert first is not None
    assert first.failure is not None
    assert second is not None
    assert second.fitness is not None
    assert second.wall_s > 0


def test_what_breaks_the_judging_of_one_lane_stays_its_own(tmp_path: Path) -> None:
    work = [unit("a"), unit("b", seed=2)]
    folders = laid(tmp_path, *work)
    (tmp_path / "fit.py").write_text("def fitness(episode):\n    raise SystemExit(9)\n")
    odd = replace(TASK, fitness=str(tmp_path / "fit.py"))
    files.write_unit(folders[0], work[0].model_copy(update={"task": odd, "eval_points": 0}))
    errors = run_stack(folders)
    assert [type(error) for error in errors] == [TrainingError]
    assert files.read_json(folders[0] / files.ERROR) is not None
    assert files.finished(folders[1], work[1]) is not None


def test_rungs_go_on_in_stacks(tmp_path: Path) -> None:
    low = [unit(f"l{i}", seed=i, stop=100, checkpoint=True) for i in range(2)]
    high = [work.promoted(f"h{i}") for i, work in enumerate(low)]
    alone = [unit(f"w{i}", seed=i) for i in range(2)]
    for stack in (low, high, alone):
        assert run_stack(laid(tmp_path, *stack)) == []
    for one, other in zip(high, alone, strict=True):
        ends = [files.finished(tmp_path / u.id, u) for u in (one, other)]
        assert ends[0] is not None
        assert ends[1] is not None
        assert ends[0].fitness == ends[1].fitness
        assert ends[0].steps == ends[1].steps


PID = """
import os, pathlib

def fitness(episode):
    with pathlib.Path({place!r}, "pids").open("a") as file:
        file.write(f"{{os.getpid()}}\\n")
    if episode.seed == {odd}:
        raise SystemExit(9)
    return 1.0
"""


@pytest.mark.parametrize("odd", [None, 7])
def test_one_process_judges_all_lanes_and_one_more_each_that_it_leaves(
    odd: int | None, tmp_path: Path
) -> None:
    (tmp_path / "fit.py").write_text(PID.format(place=str(tmp_path), odd=odd))
    task = replace(TASK, fitness=str(tmp_path / "fit.py"))
    work = [
        unit(name, "broken", seed=i, task=task, eval_points=0, eval_seeds=(6 + i,))
        for i, name in enumerate("abcd")
    ]
    errors = run_stack(laid(tmp_path, *work))
    judged = [files.finished(tmp_path / u.id, u) is not None for u in work]
    pids = (tmp_path / "pids").read_text().split()
    if odd is None:
        assert (errors, judged) == ([], [True] * 4)  # the first has failed, and is not judged
        assert (len(pids), len(set(pids))) == (3, 1)
    else:
        assert len(errors) == 1
        assert judged == [True, False, True, True]
        assert (len(pids), len(set(pids))) == (4, 4)
