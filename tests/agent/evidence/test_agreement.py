from dataclasses import replace

import numpy as np
import pytest
from evidence_rig import bank_of, rewards_of
from starc_rig import near, walks

from rewardsmith.agent.evidence.agreement import agreement, agreement_text, human_probe
from rewardsmith.agent.evidence.starc import Distance
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import FloatArray

TASK = find_task("rewardsmith/Point-v0")
BANK = bank_of(walks())


def with_native(column: FloatArray) -> Stored:
    return replace(BANK, steps=replace(BANK.steps, native_reward=column))


def test_a_scaled_copy_agrees_in_every_way() -> None:
    found = agreement(BANK, near(BANK), 2 * near(BANK))
    assert isinstance(found.distance, Distance)
    assert found.distance.value < 1e-3
    assert found.spearman == pytest.approx(1.0)
    assert found.ranking_accuracy == 1.0
    assert found.episodes == 60


def test_progress_prefers_as_closeness_does_and_orders_episodes_otherwise() -> None:
    after, before = BANK.steps.after["distance"], BANK.steps.before["distance"]
    found = agreement(BANK, before - after, -after)
    assert isinstance(found.distance, Distance)
    assert found.distance.value < 1e-2
    assert found.spearman == pytest.approx(0.0, abs=0.2)
    assert found.ranking_accuracy == pytest.approx(0.5, abs=0.1)


def test_low_agreement_with_the_human_reward_is_no_fault() -> None:
    told = human_probe()(rewards_of(BANK, all=near(BANK)), with_native(-near(BANK)), TASK)
    assert told.verdict == "pass"
    assert told.score == pytest.approx(2.0)
    assert told.facts["ranking_accuracy"] == 0.0
    assert told.facts["starc"]["interval"] == pytest.approx([2.0, 2.0])
    assert "percent" not in told.text


def test_a_reward_that_prefers_nothing_has_no_distance_and_no_order() -> None:
    told = human_probe()(rewards_of(BANK, all=np.ones(2_400)), with_native(near(BANK)), TASK)
    assert (told.verdict, told.score) == ("pass", None)
    assert told.facts["starc"]["undecided"] == "no_preference"
    assert told.facts["spearman"] is None
    assert "Spearman of returns undefined" in told.text


def test_a_task_without_a_human_reward_is_told_so() -> None:
    task = replace(TASK, human_reward=False)
    told = human_probe()(rewards_of(BANK, all=near(BANK)), BANK, task)
    assert (told.verdict, told.facts) == ("pass", {})


def test_the_words_hold_all_three_numbers() -> None:
    text = agreement_text(agreement(BANK, near(BANK), near(BANK)))
    assert text == (
        "distance 0.00 (95 % 0.00 to 0.00); Spearman of returns 1.00; ranking accuracy 1.00"
    )
