from typing import Any

import numpy as np
from evidence_rig import bank_of, rewards_of
from line_task import ARRIVE, walk

from rewardsmith.agent.evidence.probes import Probe, ledger, refused
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.evidence.suite import before_training
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

BANK = bank_of(
    [
        *(walk(np.linspace(0.0, 0.05 * n, 31)) for n in range(1, 12)),
        *(walk(np.linspace(0.0, 1.0, n), ends=True) for n in (15, 20, 25)),
        walk(np.full(6, 0.95), kind="behaviour", policy="hovering"),
    ]
)


def probes(**options: Any) -> tuple[Probe, ...]:
    return before_training(parameters=("position",), gamma=0.99, **options)


def names(values: RewardBatch) -> list[str]:
    return [item.probe for item in ledger(values, BANK, ARRIVE, probes())]


def test_a_sound_reward_goes_through_all_probes() -> None:
    steps = BANK.steps
    values = rewards_of(BANK, gain=steps.after["position"] - steps.before["position"])
    assert names(values) == ["health", "ranking", "farming", "sensitivity"]
    assert not refused(ledger(values, BANK, ARRIVE, probes()))


def test_a_constant_is_tried_no_further() -> None:
    assert names(rewards_of(BANK, one=np.ones(BANK.steps.rows))) == ["health"]


def test_a_farmable_reward_is_refused_for_farming() -> None:
    found = ledger(rewards_of(BANK, near=BANK.steps.after["position"]), BANK, ARRIVE, probes())
    assert [item.probe for item in found if item.verdict == "fail"] == ["farming"]


def test_comparisons_with_other_rewards_come_last() -> None:
    def beside(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        return Evidence(probe="beside", verdict="pass", text="said")

    assert probes(compared=[beside])[-1] is beside
