from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_rig import Killed

from rewardsmith.agent.budget import Ledger
from rewardsmith.agent.evidence.gather import gathered
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.proving import Prover
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.store import RunStore
from rewardsmith.runs.training.files import TRAJECTORIES
from rewardsmith.runs.training.judging import Judging, judge, play
from rewardsmith.runs.training.trajectories import save_episodes

REACHER, POINT = find_task("Reacher-v5"), find_task("rewardsmith/Point-v0")
NAMES = ("g0.0.s0", "g0.1.s0", "g0.2.s0")


class Judged:
    """An executor that trains nothing and judges truly; it may be killed or end in any order."""

    def __init__(self, order: Sequence[int], cut_after: int = 9) -> None:
        self.order, self.cut_after = order, cut_after

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: Any = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        wanted = [item for n in self.order for item in units if item[0].id == NAMES[n]]
        for done, (unit, folder) in enumerate(wanted):
            if done == self.cut_after:
                raise Killed
            folder.mkdir(parents=True, exist_ok=True)
            asked = Judging(task=unit.task, eval_seeds=unit.eval_seeds, random_seed=unit.seed)
            episodes = play(asked, lambda observation: None)
            save_episodes(folder / TRAJECTORIES, episodes)
            found = judge(unit.task, episodes).model_dump()
            yield unit, TrainingReport(unit=unit.id, seed=unit.seed, steps=100, **found)


def unit(number: int, task: Task) -> Unit:
    return Unit(
        id=NAMES[number],
        task=task,
        program=None,
        trainer="toy",
        hyperparams={},
        steps=100,
        seed=number,
        eval_seeds=(number, 7),
    )


def proved(path: Path, *executors: Judged, task: Task = POINT) -> Bank:
    RunStore.create(path, {"config": {}}, task)
    store = RunStore.open(path)
    bank = Bank(store.bank_path)
    rows = [("select.g0", unit(number, task)) for number in range(len(NAMES))]
    for executor in executors:
        try:
            Prover(store, bank, executor, Ledger(), lambda *told, **facts: None).prove(rows)
        except Killed:
            continue
    return bank


def test_what_was_judged_is_kept_with_a_snapshot_every_ten_steps(tmp_path: Path) -> None:
    bank = proved(tmp_path / "run", Judged([0, 1, 2]), task=REACHER)
    assert [shard.policy for shard in bank.shards] == list(NAMES)
    for shard in bank.shards:
        for known in shard.episodes:
            assert known.fitness is not None
            assert known.outcome == ("reached" if known.success else "missed")
    for episode in bank.episodes():
        assert sorted(episode.snapshots) == [0, 10, 20, 30, 40]


def same(one: Stored, two: Stored) -> bool:
    columns = (np.array_equal(v, two.steps.after[name]) for name, v in one.steps.after.items())
    return one.episodes == two.episodes and one.edits == two.edits and all(columns)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return gathered(proved(tmp_path_factory.mktemp("run") / "whole", Judged([0, 1, 2])), POINT)


@pytest.mark.parametrize("cut_after", [0, 2])
def test_probes_read_the_same_wherever_a_run_was_killed(
    cut_after: int, undisturbed: Stored, tmp_path: Path
) -> None:
    bank = proved(tmp_path / "run", Judged([2, 0, 1], cut_after), Judged([1, 0, 2]))
    assert same(undisturbed, gathered(bank, POINT))
    assert {episode.policy for episode in undisturbed.of("policy")} == set(NAMES)
