from typing import Literal

import numpy as np
from evidence_rig import Played, bank_of, rewards_of

from rewardsmith.agent.evidence.probes import Probe, ledger, refused, values_on
from rewardsmith.envs.registry import find_task
from rewardsmith.runs.records import Evidence
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.sandbox.reward import RewardBatch

Verdict = Literal["pass", "warn", "fail"]
TASK = find_task("rewardsmith/Point-v0")
BANK = bank_of([Played({"x": np.arange(3.0)})])


def saying(verdict: Verdict) -> Probe:
    return lambda values, bank, task: Evidence(probe=verdict, verdict=verdict, text="said")


def test_a_ledger_ends_at_the_first_failure() -> None:
    values = rewards_of(BANK, a=np.array([0.0, 1.0]))
    found = ledger(values, BANK, TASK, [saying("warn"), saying("fail"), saying("pass")])
    assert [item.probe for item in found] == ["warn", "fail"]
    assert refused(found)


def test_a_warning_refuses_nothing() -> None:
    values = rewards_of(BANK, a=np.array([0.0, 1.0]))
    found = ledger(values, BANK, TASK, [saying("warn"), saying("pass")])
    assert [item.verdict for item in found] == ["warn", "pass"]
    assert not refused(found)


def test_a_source_is_asked_for_every_row() -> None:
    values = values_on(NativeReward(), BANK)
    assert isinstance(values, RewardBatch)
    assert len(values.total) == BANK.steps.rows
