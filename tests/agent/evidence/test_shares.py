import pytest
from training_rig import summary, training

from rewardsmith.agent.evidence.shares import shares, shares_of
from rewardsmith.runs.records import EpisodeSummary, Evidence, TrainingReport
from rewardsmith.sandbox.failure import Failure

GOOD = [summary(float(i), success=i > 5, run=3.0 * i + 1.0, calm=-1.0) for i in range(10)]
BAD = [summary(float(i), bounce=20.0 - i, run=0.1 * i) for i in range(10)]


def found(episodes: list[EpisodeSummary]) -> Evidence:
    return shares([training([0.0, 1.0, 2.0], episodes=episodes, run=[0.0] * 3)])


def test_shares_are_parts_of_all_that_is_paid_and_charged() -> None:
    rows = shares_of([summary(0.0, run=3.0, effort=-1.0), summary(1.0, run=3.0, effort=-1.0)])
    assert [(row.component, row.share, row.mean) for row in rows] == [
        ("run", 0.75, 3.0),
        ("effort", 0.25, -1.0),
    ]


def test_a_component_that_pays_for_fitness_correlates_with_it() -> None:
    run = found(GOOD).facts["components"][0]
    assert run["component"] == "run"
    assert run["fitness"] == pytest.approx(1.0)
    assert run["success"] > 0.8


def test_a_constant_component_has_no_correlation() -> None:
    calm = found(GOOD).facts["components"][1]
    assert (calm["fitness"], calm["success"]) == (None, None)


def test_a_large_component_that_pays_more_in_worse_episodes_warns() -> None:
    evidence = found(BAD)
    assert evidence.verdict == "warn"
    assert evidence.text.startswith("`bounce` paid more in the worse episodes")
    assert found(GOOD).verdict == "pass"


def test_a_few_episodes_are_no_ground_for_a_warning() -> None:
    assert found(BAD[:4]).verdict == "pass"


def test_a_small_component_warns_of_nothing() -> None:
    episodes = [summary(float(i), run=100.0 + i, effort=-0.1 * i) for i in range(10)]
    assert found(episodes).verdict == "pass"


def test_the_episodes_of_all_seeds_are_looked_at() -> None:
    reports = [training([0.0], seed=seed, episodes=GOOD, run=[0.0]) for seed in range(3)]
    assert shares(reports).facts["episodes"] == 30


def test_without_episodes_nothing_is_said() -> None:
    failed = TrainingReport(unit="u", seed=0, steps=0, failure=Failure(kind="oom", text="memory"))
    assert shares([failed]).score is None
    assert shares([failed]).verdict == "pass"
