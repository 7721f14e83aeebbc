"""Gates over scripted episodes: when they open, when they shut, and what they may see."""

from dataclasses import replace

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.step import Steps
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.gating import EPISODES, GatedReward
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.shaped import ShapedReward
from rewardsmith.sandbox.shaping import Gate, parse_shaping

TASK = toy.tasks()[0]
SHAPING = parse_shaping("combine=sum,gate=effort(0.6,0.4)")


class Two:
    """A reward of 1 and an effort of -0.5, which remembers the fields that it was given."""

    def __init__(self) -> None:
        self.fields: set[str] = set()

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.fields |= set(steps.after)
        one = np.ones(steps.rows)
        return RewardBatch(0.5 * one, {"run": one, "effort": -0.5 * one})

    def close(self) -> None:
        pass


def gated(inner: Two | None = None) -> GatedReward:
    source = ShapedReward(inner or Two(), SHAPING, gamma=0.9)
    return GatedReward(source, SHAPING.gates, TASK)


def played(successes: list[bool], length: int = 2) -> Steps:
    """One episode after the other in one environment; one that succeeds is at the target."""
    rows = length * len(successes)
    fields = [field.name for field in (*TASK.env.fields, *TASK.env.hidden)]
    columns = {name: np.zeros(rows) for name in fields}
    columns["distance"] = np.repeat([0.0 if good else 1.0 for good in successes], length)
    first = np.arange(rows) % length == 0
    return Steps(
        num_envs=1,
        after=columns,
        before=dict(columns),
        action=np.zeros((rows, 1)),
        terminated=np.zeros(rows, dtype=bool),
        truncated=np.arange(rows) % length == length - 1,
        starts=first,
        native_reward=np.zeros(rows),
    )


def mean(source: GatedReward, steps: Steps, *, carry: bool = True) -> float:
    answer = source.rewards(steps, carry=carry)
    assert isinstance(answer, RewardBatch)
    return float(answer.total.mean())


def test_a_penalty_counts_from_the_call_after_success_was_frequent_enough() -> None:
    source = gated()
    assert mean(source, played([True] * 59)) == 1.0
    assert mean(source, played([True])) == 1.0, "this very rollout was still under way"
    assert mean(source, played([False])) == 0.5
    (switch,) = source.switches
    assert (switch.counts, switch.success_rate, switch.rows) == (True, 0.6, 120)


def test_it_ceases_to_count_only_when_success_has_become_rare() -> None:
    source = gated()
    mean(source, played([True] * 60 + [False] * 40))
    mean(source, played([False] * 20))
    assert mean(source, played([False])) == 0.5, "0.4 is not below 0.4"
    assert mean(source, played([True])) == 1.0
    assert [item.counts for item in source.switches] == [True, False]
    assert source.switches[1].success_rate == 0.39


def test_episodes_not_yet_played_count_as_failures() -> None:
    source = gated()
    mean(source, played([True] * 30))
    assert EPISODES == 100
    assert source.switches == []


def test_an_episode_may_go_on_over_calls_and_is_counted_once() -> None:
    whole, source = played([True] * 60), gated()
    for first in range(0, whole.rows, 3):
        index = np.arange(first, min(first + 3, whole.rows))
        part = whole.take(index)
        source.rewards(replace(part, num_envs=1, starts=whole.starts[index]), carry=True)
    assert [item.success_rate for item in source.switches] == [0.6]


def test_lanes_are_cut_apart() -> None:
    one, two = played([True] * 30), played([False], length=60)
    mixed = {name: np.stack([one.after[name], two.after[name]], 1).ravel() for name in one.after}
    both = replace(
        one,
        num_envs=2,
        after=mixed,
        before=mixed,
        action=np.zeros((120, 1)),
        terminated=np.zeros(120, dtype=bool),
        truncated=np.stack([one.truncated, two.truncated], 1).ravel(),
        starts=np.stack([one.starts, two.starts], 1).ravel(),
        native_reward=np.zeros(120),
    )
    source = gated()
    source.rewards(both, carry=True)
    assert source.switches == []
    source.rewards(both, carry=True)
    assert [item.success_rate for item in source.switches] == [0.6]


def test_asked_apart_from_the_training_it_counts_nothing() -> None:
    source = gated()
    for _ in range(3):
        mean(source, played([True] * 60), carry=False)
    assert source.switches == []


def test_what_is_hidden_is_seen_by_the_fitness_and_never_handed_on() -> None:
    inner = Two()
    mean(gated(inner), played([True]))
    assert inner.fields == {field.name for field in TASK.env.fields}


def untold(episode: object) -> object:
    """A fitness that tells no success."""
    from rewardsmith.envs.task import Score

    return Score(1.0, None, "end")


def test_a_fitness_that_tells_no_success_is_said_at_the_first_episode() -> None:
    source = ShapedReward(Two(), SHAPING, gamma=0.9)
    task = replace(TASK, fitness=f"{__name__}:untold")
    gate = GatedReward(source, (Gate(component="effort", on=0.6, off=0.4),), task)
    with pytest.raises(ConfigError, match="tells no success"):
        gate.rewards(played([True]), carry=True)
