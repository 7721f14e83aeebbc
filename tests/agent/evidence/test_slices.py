import numpy as np
import numpy.typing as npt
import pytest
from evidence_rig import Played, bank_of

from rewardsmith.agent.evidence.elements import Element, elements_read
from rewardsmith.agent.evidence.slices import (
    GRID,
    Cut,
    asked,
    line_cuts,
    most_moving,
    slices_of,
    surface_cuts,
    surfaces_of,
)
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field
from rewardsmith.sandbox.reward import RewardBatch

SPEC = EnvSpec(
    "Arm-v0",
    (Field("distance", (), "m", "", "obs[0]"), Field("angles", (2,), "rad", "", "obs[1:3]")),
    (),
    ActionSpec((1,), (-1.0,), (1.0,), None, "torque"),
    50,
    0.02,
)
READ = elements_read(("distance", "angles", "prev_distance", "action"), SPEC)
BASES = np.array([7, 3])


def stored() -> Stored:
    rng = np.random.default_rng(0)
    states = {"distance": rng.random(31) * 2.0, "angles": rng.normal(size=(31, 2))}
    return bank_of([Played(states, action=rng.random((30, 1)))])


def rows(bank: Stored) -> npt.NDArray[np.int64]:
    return np.arange(bank.steps.rows)


def cuts_of(bank: Stored) -> tuple[Cut, ...]:
    return line_cuts(bank, rows(bank), READ, SPEC)


def reward(steps: Steps) -> RewardBatch:
    near, spin = -steps.after["distance"], 0.1 * steps.after["angles"][:, 1] ** 2
    return RewardBatch(near + spin, {"near": near, "spin": spin})


def test_a_slice_asks_about_stored_steps_with_one_number_changed() -> None:
    bank = stored()
    cuts = cuts_of(bank)
    steps = asked(bank, BASES, cuts)
    points = len(cuts[1].axes[0].at)
    block = slice(2 * points, 4 * points)  # angles[0], the second cut
    assert steps.rows == sum(2 * cut.size for cut in cuts)
    varied = steps.after["angles"][block, 0].reshape(2, -1)
    assert (varied == np.array(cuts[1].axes[0].at)).all()
    held = np.repeat(BASES, points)
    assert (steps.after["angles"][block, 1] == bank.steps.after["angles"][held, 1]).all()
    assert (steps.after["distance"][block] == bank.steps.after["distance"][held]).all()
    assert (steps.before["angles"][block] == bank.steps.before["angles"][held]).all()
    assert (steps.action[block] == bank.steps.action[held]).all()


@pytest.mark.parametrize("place", [3, 4])
def test_what_was_before_a_step_and_the_action_are_varied_alone_too(place: int) -> None:
    bank = stored()
    cut = cuts_of(bank)[place]
    steps = asked(bank, BASES[:1], [cut])
    changed = [
        (steps.before["distance"] != bank.steps.before["distance"][7]).any(),
        (steps.action != bank.steps.action[7]).any(),
    ]
    assert changed == [place == 3, place == 4]
    assert (steps.after["distance"] == bank.steps.after["distance"][7]).all()


def test_the_bank_itself_is_not_changed() -> None:
    bank = stored()
    before = bank.steps.after["distance"].copy()
    asked(bank, BASES, cuts_of(bank))
    assert (bank.steps.after["distance"] == before).all()


def test_the_rows_of_a_slice_are_unrelated_steps() -> None:
    steps = asked(stored(), BASES, cuts_of(stored()))
    assert steps.num_envs == steps.rows
    assert steps.starts.all()


def test_a_slice_is_the_reward_along_its_axis_at_each_step() -> None:
    bank = stored()
    cuts = cuts_of(bank)
    first, *_ = slices_of(reward(asked(bank, BASES, cuts)), bank, BASES, cuts, std=0.5)
    line = first.lines[1]
    spin = 0.1 * bank.steps.after["angles"][3, 1] ** 2
    assert first.axis.name == "distance"
    assert (line.row, line.here) == (3, bank.steps.after["distance"][3])
    assert line.total == pytest.approx(spin - np.array(first.axis.at))
    assert line.components["near"] == pytest.approx(-np.array(first.axis.at))
    assert first.move == pytest.approx((first.axis.at[-1] - first.axis.at[0]) / 0.5)


def test_the_axes_that_move_the_total_most_come_first_and_flat_ones_never() -> None:
    bank = stored()
    cuts = cuts_of(bank)
    slices = slices_of(reward(asked(bank, BASES, cuts)), bank, BASES, cuts, std=0.5)
    order = [slices[k].axis.name for k in most_moving(slices, 9)]
    assert order == ["distance", "angles[1]"]
    assert most_moving(slices, 1) == (0,)


def test_a_surface_is_the_total_at_every_pair_of_values() -> None:
    bank = stored()
    pair: tuple[Element, Element] = (READ[0], READ[2])
    (cut,) = surface_cuts(bank, rows(bank), [pair], SPEC)
    (surface,) = surfaces_of(reward(asked(bank, BASES, [cut])), bank, BASES, [cut], std=0.5)
    total = np.array(surface.total)
    assert total.shape == (GRID, GRID)
    wanted = 0.1 * np.array(surface.y.at)[:, None] ** 2 - np.array(surface.x.at)[None, :]
    assert total == pytest.approx(wanted)
    assert surface.step == "median"
    assert surface.here == (bank.steps.after["distance"][7], bank.steps.after["angles"][7, 1])


def test_a_surface_that_is_faint_at_the_median_step_is_the_best_paid_ones() -> None:
    def gated(steps: Steps) -> RewardBatch:
        open_gate = steps.before["angles"][:, 0] == bank.steps.before["angles"][3, 0]
        return RewardBatch(open_gate * steps.after["distance"], {})

    bank = stored()
    (cut,) = surface_cuts(bank, rows(bank), [(READ[0], READ[2])], SPEC)
    (surface,) = surfaces_of(gated(asked(bank, BASES, [cut])), bank, BASES, [cut], std=0.5)
    assert surface.step == "best paid"
    assert surface.here[0] == bank.steps.after["distance"][3]
