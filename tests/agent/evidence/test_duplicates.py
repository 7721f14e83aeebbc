import numpy as np
import pytest
from evidence_rig import bank_of, rewards_of
from starc_rig import near, shaping, walks

from rewardsmith.agent.evidence.duplicates import starc_probe
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

TASK = find_task("rewardsmith/Point-v0")
BANK = bank_of(walks())


def effort(bank: Stored) -> FloatArray:
    cost: FloatArray = -np.sum(bank.steps.action**2, axis=-1)
    return cost


def reward(column: FloatArray) -> RewardBatch:
    return rewards_of(BANK, all=column)


def found(values: FloatArray, **others: FloatArray) -> Evidence:
    batches = {name: reward(column) for name, column in others.items()}
    return starc_probe(batches)(reward(values), BANK, TASK)


@pytest.mark.parametrize(
    "copy",
    [5 * near(BANK) + 3, near(BANK) + 2 * shaping(BANK, "distance")],
    ids=["scaled and offset", "shaped"],
)
def test_the_preference_of_a_trained_candidate_is_refused_by_its_name(copy: FloatArray) -> None:
    told = found(copy, c06=effort(BANK), c07=near(BANK))
    assert told.verdict == "fail"
    assert told.text.startswith("Same preference as c07 (distance 0.000,")
    assert told.facts["nearest"] == "c07"


def test_a_near_variant_is_a_warning_that_says_when_to_train_it() -> None:
    told = found(near(BANK) + 0.05 * effort(BANK), c07=near(BANK))
    assert told.verdict == "warn"
    assert "Near variant of c07" in told.text
    assert "only if c07 is the best so far" in told.text


def test_another_preference_passes_with_its_novelty() -> None:
    told = found(near(BANK), c06=effort(BANK), c07=-near(BANK))
    apart = {name: item["distance"] for name, item in told.facts["distances"].items()}
    assert told.verdict == "pass"
    assert told.score == pytest.approx((apart["c06"] + apart["c07"]) / 2)
    assert told.facts["opposed"] == ["c07"]
    assert "Nearly the opposite of c07" in told.text


def test_the_first_candidate_has_nothing_to_be_compared_with() -> None:
    told = found(near(BANK))
    assert (told.verdict, told.score) == ("pass", None)


def test_pure_shaping_is_a_warning() -> None:
    told = found(shaping(BANK, "distance"), c07=near(BANK))
    assert (told.verdict, told.score) == ("warn", None)
    assert told.facts == {"undecided": "no_preference"}
    assert "Add a term for what is wanted" in told.text


def test_a_trained_candidate_of_pure_shaping_is_nobodys_twin() -> None:
    told = found(near(BANK), c07=shaping(BANK, "distance"))
    assert told.verdict == "pass"
    assert told.facts["distances"]["c07"]["undecided"] == "no_preference"
    assert told.score is None


def test_on_too_few_transitions_nothing_is_said_of_a_copy() -> None:
    small = bank_of(walks(8, 20))
    values = rewards_of(small, all=near(small))
    told = starc_probe({"c07": values})(values, small, TASK)
    assert (told.verdict, told.score) == ("pass", None)
    assert told.facts == {"undecided": "too_few"}


def test_a_candidate_may_have_any_name() -> None:
    assert found(near(BANK), **{"this reward": near(BANK)}).verdict == "fail"
