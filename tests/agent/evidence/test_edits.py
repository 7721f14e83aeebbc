import numpy as np
import pytest
from bank_rig import CONTINUOUS, bad, good

from rewardsmith.agent.evidence.edits import edits_of
from rewardsmith.agent.evidence.played import Played, stored_of
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import Task

REACHER = find_task("Reacher-v5")


def reacher_bank() -> Stored:
    episodes = rollout(REACHER.env, random_act(REACHER.env, 0), range(2))
    return stored_of([Played(item, str(item.seed), "random", "random") for item in episodes])


def test_an_edit_differs_from_its_step_in_one_value_after_the_action() -> None:
    bank = reacher_bank()
    changed, edits = edits_of(bank, REACHER.env, rows=500, seed=0)
    assert changed.rows == len(edits) > 100
    assert changed.starts.all()
    for row, edit in enumerate(edits):
        assert edit.row == bank.steps.rows + row
        for name, values in changed.after.items():
            moved = values[row] - bank.steps.after[name][edit.of]
            assert np.count_nonzero(moved) == (name == edit.field)
            assert np.array_equal(changed.before[name][row], bank.steps.before[name][edit.of])
        shifted = changed.after[edit.field][row] - bank.steps.after[edit.field][edit.of]
        assert shifted[edit.index] == pytest.approx(edit.shift)
    assert np.array_equal(changed.action, bank.steps.action[[edit.of for edit in edits]])


def test_shifts_are_half_a_standard_deviation_either_way() -> None:
    bank = reacher_bank()
    _, edits = edits_of(bank, REACHER.env, rows=500, seed=0)
    for edit in edits:
        std = bank.steps.after[edit.field].std(axis=0)[edit.index]
        assert abs(edit.spreads) == 0.5
        assert edit.shift == pytest.approx(edit.spreads * std)
    assert {edit.spreads for edit in edits} == {-0.5, 0.5}


def toy_bank(task: Task = CONTINUOUS) -> Stored:
    return stored_of([*good(task), *bad(task)])


def test_every_field_that_changes_is_edited_and_no_hidden_one() -> None:
    _, edits = edits_of(toy_bank(), CONTINUOUS.env, rows=10_000, seed=0)
    assert {edit.field for edit in edits} == {"position", "velocity", "target", "distance"}


def test_a_constant_has_no_edits() -> None:
    bank = stored_of(good(CONTINUOUS, 1))
    _, edits = edits_of(bank, CONTINUOUS.env, rows=10_000, seed=0)
    assert {edit.field for edit in edits} == {"position", "velocity", "distance"}


@pytest.mark.parametrize(("rows", "steps"), [(10_000, 160), (80, 10), (3, 1)])
def test_fewer_steps_are_edited_where_rows_are_few(rows: int, steps: int) -> None:
    _, edits = edits_of(toy_bank(), CONTINUOUS.env, rows=rows, seed=0)
    assert len({edit.of for edit in edits}) == steps
    assert len(edits) == steps * 8


def test_only_steps_that_a_simulator_took_are_edited() -> None:
    made = [Played(item.episode, item.name, "behaviour", "still") for item in bad(CONTINUOUS)]
    bank = stored_of([*good(CONTINUOUS), *made])
    _, edits = edits_of(bank, CONTINUOUS.env, rows=10_000, seed=0)
    assert max(edit.of for edit in edits) < 80
