import numpy as np
import pytest
from evidence_rig import Played, bank_of, rewards_of

from rewardsmith.agent.evidence.health import health, unused_components
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

TASK = find_task("rewardsmith/Point-v0")
X = np.random.default_rng(0).normal(size=200)
Y = np.random.default_rng(1).normal(size=200)


def bank(*, ends: bool = False) -> Stored:
    return bank_of([Played({"x": np.zeros(201)}, terminated=ends)])


def found(*, ends: bool = False, **components: FloatArray) -> Evidence:
    return health()(rewards_of(bank(ends=ends), **components), bank(ends=ends), TASK)


def test_a_total_that_never_varies_fails() -> None:
    evidence = found(a=np.ones(200), b=np.full(200, 2.0))
    assert (evidence.verdict, evidence.score) == ("fail", 0.0)
    assert "same in every step (3)" in evidence.text


def test_components_of_one_scale_pass() -> None:
    evidence = found(a=X, b=0.5 * Y)
    assert (evidence.verdict, evidence.score) == ("pass", 1.0)
    assert evidence.facts["components"]["a"]["spread_share"] == pytest.approx(2 / 3, abs=0.05)


def test_a_component_that_makes_nearly_all_of_the_total_is_named() -> None:
    evidence = found(a=100 * X, b=Y)
    assert evidence.verdict == "warn"
    assert "`a` makes 9" in evidence.text


def test_a_component_that_the_total_does_without_is_named() -> None:
    values = RewardBatch(total=2 * X, components={"a": X, "b": Y})
    evidence = health()(values, bank(), TASK)
    assert "`b` does not move the total" in evidence.text
    assert evidence.score == 0.5


def test_of_a_total_that_is_no_sum_nothing_is_claimed_unused() -> None:
    assert unused_components(X * Y, {"x": X, "y": Y}) == frozenset()


@pytest.mark.parametrize(
    "column", [np.tanh(400 * np.abs(X)), np.exp(-200 * np.abs(X)), np.clip(50 * np.abs(X), 0, 1)]
)
def test_a_pinned_component_is_named(column: FloatArray) -> None:
    assert "`a` is pinned" in found(a=column, b=Y).text


def test_a_bonus_that_is_seldom_paid_is_not_pinned() -> None:
    assert found(a=np.where(X > 2, 1.0, 0.0), b=0.5 * Y).verdict == "pass"


def test_a_constant_says_something_only_where_episodes_end_early() -> None:
    assert "`alive` is 1 in every step" in found(alive=np.ones(200), b=Y).text
    assert found(ends=True, alive=np.ones(200), b=Y, c=X).verdict == "pass"


def test_small_and_silent_components_are_told_without_a_warning() -> None:
    evidence = found(a=X, b=Y, tiny=1e-3 * X * Y, never=np.zeros(200))
    assert evidence.verdict == "pass"
    assert "matter on these steps: tiny." in evidence.text
    assert "Zero on all of these steps: never." in evidence.text
    assert evidence.score == 0.75


@pytest.mark.parametrize(("factor", "said"), [(1e-7, "hardly varies"), (1e6, "very large")])
def test_a_total_out_of_proportion_is_told(factor: float, said: str) -> None:
    assert said in found(a=factor * X, b=factor * Y).text


def test_a_total_without_components_passes_and_says_so() -> None:
    evidence = health()(RewardBatch(total=X, components={}), bank(), TASK)
    assert (evidence.verdict, evidence.score) == ("pass", None)
    assert "names no components" in evidence.text


def test_a_behaviour_that_nobody_simulated_does_not_count() -> None:
    mixed = bank_of([Played({"x": np.zeros(4)}), Played({"x": np.zeros(4)}, kind="behaviour")])
    evidence = health()(rewards_of(mixed, a=[1.0, 1.0, 1.0, 0.0, 5.0, 9.0]), mixed, TASK)
    assert evidence.verdict == "fail"
