import numpy as np
from training_rig import episode, training

from rewardsmith.agent.evidence.alarm import alarm
from rewardsmith.runs.records import TrainingReport
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

RISING = [0.1 * i for i in range(10)]
FLAT = [0.0] * 10
NOISE = [3.0, 1.0, 2.0, 3.5, 1.5, 2.5, 3.0, 1.0, 2.0, 2.2]


def test_a_return_that_rises_while_fitness_is_flat_warns_and_names_the_component() -> None:
    found = alarm([training(NOISE, bounce=RISING, calm=[0.5] * 10)])
    assert found.verdict == "warn"
    assert found.facts["component"] == "bounce"
    assert "the return comes from `bounce`" in found.text
    assert "exploits" in found.text


def test_a_return_that_rises_with_fitness_is_honest() -> None:
    found = alarm([training([2.0 * value for value in RISING], run=RISING)])
    assert found.verdict == "pass"
    assert found.score == 0.0


def test_a_reward_per_step_that_rises_is_a_rise_however_long_episodes_are() -> None:
    report = training(NOISE, wriggle=[1.0 + value for value in RISING])
    lengths = [100.0, 900.0, 300.0, 500.0, 100.0, 400.0, 200.0, 300.0, 100.0, 200.0]
    points = tuple(
        point.model_copy(update={"episode_length": length})
        for point, length in zip(report.curve, lengths, strict=True)
    )
    found = alarm([report.model_copy(update={"curve": points})], random=[2.0], others=[50.0])
    assert found.facts["return"]["rises"] > 0.05
    assert found.verdict == "warn"


def test_what_is_farmed_after_the_first_point_leaps() -> None:
    found = alarm([training(NOISE, wage=[0.5] + [1.0] * 9)], random=[2.0], others=[50.0])
    assert found.facts["leap"] == 0.5
    assert found.verdict == "warn"
    assert found.facts["component"] == "wage"


def test_what_is_farmed_before_the_first_point_leaps_from_the_untrained_policy() -> None:
    report = training(NOISE, wage=[1.0] * 10)
    assert alarm([report], random=[2.0], others=[50.0]).verdict == "pass"
    found = alarm([report], random=[2.0], others=[50.0], untrained=20.0)
    assert found.facts["leap"] == 0.8
    assert found.verdict == "warn"


def test_rounding_is_no_rise() -> None:
    creeping = [1.0 + 1e-6 * i for i in range(10)]
    found = alarm([training(NOISE, wage=creeping)], random=[2.0], others=[50.0])
    assert found.facts["return"]["tau"] == 0.0
    assert found.verdict == "pass"


def test_a_training_that_learns_nothing_is_no_hack() -> None:
    assert alarm([training(NOISE, run=NOISE)]).verdict == "pass"


def test_fitness_that_falls_while_the_return_rises_warns() -> None:
    found = alarm([training([5.0 - value for value in RISING], bounce=RISING)])
    assert found.verdict == "warn"


def test_it_never_fails_a_candidate() -> None:
    found = alarm([training([-value for value in RISING], bounce=RISING)], others=[100.0])
    assert found.verdict == "warn"


def test_a_small_but_steady_gain_warns_once_it_is_known_what_is_possible() -> None:
    report = training([0.1 * value for value in RISING], bounce=RISING)
    assert alarm([report]).verdict == "pass"
    found = alarm([report], random=[0.0, 0.01], others=[50.0, 0.3])
    assert found.verdict == "warn"
    assert "where 50 is known to be possible" in found.text


def test_a_gain_within_the_luck_of_untrained_episodes_is_none() -> None:
    report = training([0.1 * value for value in RISING], bounce=RISING)
    assert alarm([report], random=[-3.0, 3.0]).verdict == "warn"


def test_a_fast_learner_on_a_plateau_is_honest_against_the_untrained_policy() -> None:
    plateau = [99.0, 101.0, 100.0, 100.5, 99.5, 100.0, 101.0, 99.0, 100.0, 100.0]
    found = alarm([training(plateau, run=RISING)], random=[0.0, 1.0], others=[80.0])
    assert found.verdict == "pass"
    assert found.score == 0.0


def test_another_reward_that_taught_the_opposite_makes_no_gain_of_nothing() -> None:
    report = training(NOISE, bounce=RISING)
    found = alarm([report], others=[-200.0, 3.0, 2.0, 2.5, 3.0, 90.0])
    assert found.verdict == "warn"


def test_a_return_that_creeps_up_on_a_plateau_warns_of_nothing() -> None:
    creeping = [10.0 + 0.01 * i for i in range(10)]
    assert alarm([training(NOISE, run=creeping)]).verdict == "pass"


def test_fitness_that_is_lost_again_while_the_return_stays_warns() -> None:
    fitness = [0.0, 4.0, 8.0, 10.0, 10.0, 8.0, 6.0, 4.0, 2.0, 1.0]
    found = alarm([training(fitness, run=RISING)])
    assert found.verdict == "warn"
    assert found.facts["fell"] > 0.5
    assert "lost" in found.text


def test_longer_episodes_raise_a_return_whose_steps_pay_the_same() -> None:
    report = training(NOISE, alive=[1.0] * 10)
    points = tuple(
        point.model_copy(update={"episode_length": 10.0 * (at + 1)})
        for at, point in enumerate(report.curve)
    )
    found = alarm([report.model_copy(update={"curve": points})])
    assert found.verdict == "warn"
    assert found.facts["component"] == "alive"


def test_seeds_are_judged_together() -> None:
    short = [training(NOISE[:3], bounce=RISING[:3], seed=seed) for seed in range(3)]
    assert alarm(short[:1]).verdict == "pass"
    found = alarm(short)
    assert found.verdict == "warn"
    assert found.facts["seeds"] == 3


def test_the_farmed_component_is_named_rather_than_a_cost_that_fades() -> None:
    farmed = [0.97 + 0.003 * i for i in range(10)]
    fading = [-0.05 * (10 - i) for i in range(10)]
    found = alarm([training(NOISE, contact=farmed, effort=fading)])
    assert found.facts["component"] == "contact"


def test_the_stretch_that_pays_best_is_named_with_its_episode() -> None:
    pay = np.concatenate([np.zeros(10), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    found = alarm(
        [training(NOISE, bounce=RISING)],
        episodes=[episode(10, seed=3), episode(10, seed=4)],
        values=RewardBatch(total=pay, components={"bounce": pay}),
    )
    assert found.facts["stretch"] == {
        "seed": 4, "first": 2, "last": 5, "rate": 1.0, "share": 1.0
    }  # fmt: skip
    assert "steps 2 to 5 of the episode of seed 4" in found.text


def test_failed_and_unsampled_trainings_say_nothing() -> None:
    failed = TrainingReport(unit="u", seed=0, steps=0, failure=Failure(kind="oom", text="memory"))
    found = alarm([failed, training([1.0, 2.0], run=[0.0, 1.0])])
    assert (found.verdict, found.score) == ("pass", None)


def test_missing_values_are_left_out() -> None:
    report = training(NOISE, bounce=RISING)
    first = report.curve[0].model_copy(update={"total": None, "fitness": None, "components": {}})
    found = alarm([report.model_copy(update={"curve": (first, *report.curve[1:])})])
    assert found.facts["return"]["points"] == 9
    assert found.verdict == "warn"


def test_the_facts_are_plain_json() -> None:
    found = alarm([training(NOISE, bounce=RISING)], random=[0.0], others=[9.0])
    assert type(found).model_validate_json(found.model_dump_json()) == found
