"""A long training takes no more memory than a short one."""

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.step import Steps
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Lane, Order, Trained, Unwatched
from rewardsmith.runs.training.trainers.fast import ppo
from rewardsmith.sandbox.reward import RewardBatch

SPEC = replace(toy.tasks()[0].env, max_steps=7)
ROLLOUTS, BETWEEN = 1000, 100
MIB = 1 << 20


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class Weighed(NativeReward):
    """Weighs the process now and then while it rewards."""

    def __init__(self) -> None:
        self.calls = 0
        self.sizes: list[int] = []

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch:
        self.calls += 1
        if self.calls % BETWEEN == 0:
            self.sizes.append(resident_bytes())
        return super().rewards(steps, carry=carry)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_a_thousand_rollouts_take_no_more_memory_than_a_hundred(tmp_path: Path) -> None:
    sizes = {"n_envs": 2, "n_steps": 8, "batch_size": 8, "n_epochs": 1, "net_arch": [8]}
    params = hyperparams("fast", SPEC.id, sizes | {"normalize_obs": True})
    order = Order(SPEC, params, seed=1, steps=ROLLOUTS * 16, checkpoint=tmp_path)
    weighed = Weighed()
    lanes: list[Any] = [Lane(order, weighed, Unwatched())]
    lanes += [Lane(replace(order, seed=2, checkpoint=None), NativeReward(), Unwatched())]
    assert all(isinstance(result, Trained) for result in ppo.train_stack(lanes))
    assert weighed.calls == ROLLOUTS
    assert weighed.sizes[-1] - weighed.sizes[0] < 4 * MIB
