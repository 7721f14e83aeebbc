"""Trainings whose reward is shaped: the same path as every other, in the toy task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.errors import ConfigError
from rewardsmith.runs.executors.stacks import grouped
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training.files import write_unit
from rewardsmith.runs.training.job import run_job
from rewardsmith.runs.training.reward_sources import open_reward
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.shaping import parse_shaping

TASK = toy.tasks()[0]
STEPS = rollout(TASK.env, random_act(TASK.env, 1), (1,), max_steps=20)[0].steps
PROGRAM = """
def compute_reward(distance, velocity):
    near = np.exp(-distance)
    calm = 0.5 + 0.5 * np.exp(-velocity**2)
    return near, {"near": near, "calm": calm}


def subgoals(distance):
    return {"close": distance < 0.8, "there": distance < 0.1}
"""


def unit(spelling: str | None, **changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "u", "task": TASK, "program": PROGRAM, "trainer": "toy",
        "hyperparams": {"population": 8}, "seed": 4, "steps": 1500, "eval_seeds": (1, 2),
        "eval_points": 2, "shaping": parse_shaping(spelling) if spelling else None,
    }  # fmt: skip
    return Unit(**(plain | changes))


def trained(folder: Path, work: Unit) -> TrainingReport:
    write_unit(folder, work)
    report = run_job(folder)
    assert report.failure is None, report.failure
    return report


def test_a_unit_without_shaping_has_the_key_that_it_had_before_there_was_any() -> None:
    old = Unit(
        id="u", task=TASK, program=None, trainer="toy", hyperparams={}, seed=1, steps=1,
        eval_seeds=(1,),
    )  # fmt: skip
    assert old.key == "4c112229148fe45660c1502d55fdb2fa75af2e9766a90b9bbcf5560ec8da7483"
    keys = {unit(None).key, unit("combine=sum").key, unit("combine=geomean").key}
    assert len(keys) == 3


def test_a_training_gets_the_shaped_total_and_logs_components_as_they_are(tmp_path: Path) -> None:
    report = trained(tmp_path, unit("combine=geomean,squash=clip(0,0.75)"))
    for point in report.curve:
        assert point.total is not None
        assert set(point.components) == {"near", "calm"}
        assert point.total <= 0.75
        assert point.components["calm"] >= 0.5
    episode = report.episodes[0]
    assert episode.reward_return is not None
    assert episode.reward_return != pytest.approx(episode.component_returns["near"])


def test_a_shaped_training_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = (
        trained(tmp_path / name, unit("combine=sum,potential=near,subgoals=potential"))
        for name in ("a", "b")
    )
    assert [e.reward_return for e in one.episodes] == [e.reward_return for e in two.episodes]
    assert one.fitness == two.fitness
    assert "subgoals" in one.curve[-1].components


def test_the_discount_of_potentials_is_that_of_the_trainer() -> None:
    paid = {}
    for gamma in (0.5, None):
        work = unit("subgoals=potential", hyperparams={} if gamma is None else {"gamma": gamma})
        with open_reward(work) as reward:
            answer = reward.rewards(STEPS)
        assert isinstance(answer, RewardBatch)
        paid[gamma] = answer.components["subgoals"]
    share = np.select([STEPS.after["distance"] < 0.1, STEPS.after["distance"] < 0.8], [1.0, 0.5])
    past = np.select([STEPS.before["distance"] < 0.1, STEPS.before["distance"] < 0.8], [1.0, 0.5])
    alive = ~STEPS.terminated
    np.testing.assert_allclose(paid[None], share * alive - past)
    np.testing.assert_allclose(paid[0.5], 0.5 * share * alive - past)


def test_an_impure_program_is_found_out_behind_its_shaping() -> None:
    impure = "N = [0]\n" + PROGRAM.replace("near = np", "N[0] += 1\n    near = (N[0] > 3) + np")
    with open_reward(unit("combine=sum,squash=clip(-5,5)", program=impure)) as reward:
        for _ in range(5):
            assert isinstance(reward.rewards(STEPS, carry=True), RewardBatch)
        found = reward.verdict()
    assert found is not None
    assert found.kind == "impure"


def test_impure_subgoals_are_found_out_too() -> None:
    impure = "N = [0]\n" + PROGRAM.replace(
        '    return {"close": distance < 0.8',
        '    N[0] += 1\n    return {"close": distance < 9.0 * (N[0] < 3)',
    )
    with open_reward(unit("subgoals=potential", program=impure)) as reward:
        for _ in range(5):
            reward.rewards(STEPS, carry=True)
        found = reward.verdict()
    assert found is not None
    assert found.kind == "impure"


def test_a_component_that_turns_negative_ends_a_training_as_the_programs_fault(
    tmp_path: Path,
) -> None:
    signed = PROGRAM.replace("np.exp(-distance)", "1.0 - distance")
    write_unit(tmp_path, unit("combine=geomean", program=signed))
    failure = run_job(tmp_path).failure
    assert failure is not None
    assert "'near' is -" in failure.text


def test_subgoals_that_are_to_be_paid_and_are_not_there_are_a_mistake_of_the_caller() -> None:
    without = PROGRAM.partition("def subgoals")[0]
    with pytest.raises(ConfigError, match="no function subgoals"):
        open_reward(unit("subgoals=potential", program=without))


def test_a_gate_and_a_checkpoint_do_not_go_together(tmp_path: Path) -> None:
    write_unit(tmp_path, unit("combine=sum,gate=calm(0.6,0.4)", checkpoint=True, stop=500))
    with pytest.raises(ConfigError, match="train without rungs"):
        run_job(tmp_path)


def test_units_that_differ_in_shaping_share_a_stack_but_not_with_a_gate(tmp_path: Path) -> None:
    spellings = (None, "combine=sum", "combine=geomean", "combine=sum,gate=calm(0.6,0.4)")
    jobs = [
        (unit(text, id=f"u{i}", trainer="fast"), tmp_path / f"u{i}")
        for i, text in enumerate(spellings)
    ]
    groups = grouped(jobs, cores=1)
    assert [[work.id for work, _ in group] for group in groups] == [["u0", "u1", "u2"], ["u3"]]


def test_a_gate_opens_in_a_training_that_succeeds_and_the_report_tells_when(tmp_path: Path) -> None:
    work = unit("combine=sum,gate=calm(0.05,0.01)", steps=20_000, hyperparams={"population": 16})
    report = trained(tmp_path, work)
    assert report.switches, "the rate never passed 0.05"
    first = report.switches[0]
    assert (first.component, first.counts, first.success_rate) == ("calm", True, 0.05)
    assert 0 < first.rows <= report.steps
    assert trained(tmp_path / "again", work).switches == report.switches


def test_a_failure_stays_a_value_behind_a_gate() -> None:
    broken = PROGRAM.replace("np.exp(-distance)", "distance / 0.0")
    with open_reward(unit("combine=sum,gate=calm(0.6,0.4)", program=broken)) as reward:
        assert isinstance(reward.rewards(STEPS, carry=True), Failure)
