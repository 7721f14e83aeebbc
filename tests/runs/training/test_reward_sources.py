from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.step import Steps
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training.auditing import AuditedReward
from rewardsmith.runs.training.job import with_returns
from rewardsmith.runs.training.judging import Judgement, judge
from rewardsmith.runs.training.reward_sources import (
    LEAST_ROWS_PER_S,
    MeteredReward,
    NativeReward,
    open_reward,
    training_limits,
)
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.docker_options import lifetime
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

TASK = toy.tasks()[0]
EPISODES = rollout(TASK.env, random_act(TASK.env, 1), (1, 2, 3), max_steps=6)
STEPS = EPISODES[0].steps


def unit(**changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "u", "task": TASK, "program": None, "trainer": "toy", "hyperparams": {}, "seed": 1,
        "steps": 1, "eval_seeds": (1,),
    }  # fmt: skip
    return Unit(**(plain | changes))


class Scripted:
    """Answers with a batch of a value, with a failure, or with an exception."""

    def __init__(self, answer: float | Failure | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Steps, bool]] = []
        self.closed = 0

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.asked.append((steps, carry))
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Failure):
            return self.answer
        total = np.full(steps.rows, self.answer)
        return RewardBatch(total=total, components={"one": total, "two": 2 * total})

    def close(self) -> None:
        self.closed += 1


def test_the_native_reward_is_handed_on_unchanged_with_or_without_memory() -> None:
    for carry in (False, True):
        batch = NativeReward().rewards(STEPS, carry=carry)
        assert batch.total is STEPS.native_reward
        assert list(batch.components) == ["native"]
    NativeReward().close()


def test_a_meter_changes_nothing_and_counts_failures_and_errors_too() -> None:
    inner = Scripted(2.0)
    meter = MeteredReward(inner)
    assert isinstance(meter.rewards(STEPS, carry=True), RewardBatch)
    assert inner.asked == [(STEPS, True)]
    inner.answer = Failure(kind="oom", text="x")
    assert meter.rewards(STEPS) is inner.answer
    inner.answer = KeyError("broken")
    with pytest.raises(KeyError):
        meter.rewards(STEPS)
    assert meter.calls == 3
    assert meter.wall_s > 0


def test_leaving_a_meter_closes_its_source_even_after_an_error() -> None:
    inner = Scripted(1.0)
    with pytest.raises(KeyError), MeteredReward(inner):
        raise KeyError
    assert inner.closed == 1


def test_a_unit_without_a_program_gets_no_worker() -> None:
    with open_reward(unit()) as source:
        assert isinstance(source._source, NativeReward)


def test_a_units_program_is_run_in_a_worker_with_its_mode_and_fails_as_a_value() -> None:
    program = "def compute_reward(distance):\n    return -distance, {'near': -distance}\n"
    with open_reward(unit(program=program)) as source:
        assert isinstance(source._source, AuditedReward)
        batch = source.rewards(STEPS)
        assert isinstance(batch, RewardBatch)
        np.testing.assert_allclose(batch.total, -STEPS.after["distance"])
    broken = "def compute_reward(distance):\n    return -distance / 0.0, {}\n"
    with open_reward(unit(program=broken, mode="rows")) as source:
        assert isinstance(source.rewards(STEPS), Failure)


IMPURE = """
N = [0]

def compute_reward(distance):
    N[0] += 1
    return -distance + (N[0] > 3), {"near": -distance}
"""


def test_a_verdict_is_that_of_the_audits_and_its_calls_and_time_are_counted() -> None:
    with open_reward(unit(program=IMPURE)) as source:
        for _ in range(5):
            assert isinstance(source.rewards(STEPS, carry=True), RewardBatch)
        assert source.calls == 5
        before = source.wall_s
        failure = source.verdict()
        assert failure is not None
        assert failure.kind == "impure"
        assert source.calls > 5
        assert source.wall_s > before


def test_an_honest_program_and_the_environments_own_reward_have_no_verdict() -> None:
    honest = IMPURE.replace("N[0] > 3", "0.0")
    for program in (honest, None):
        with open_reward(unit(program=program)) as source:
            source.rewards(STEPS, carry=True)
            assert source.verdict() is None


def test_a_training_s_worker_has_time_for_its_steps_and_waits_as_long_as_it_takes() -> None:
    small, large = (training_limits(unit(steps=steps)) for steps in (0, 10**6))
    assert small.total_s is not None
    assert large.total_s == small.total_s + 10**6 / LEAST_ROWS_PER_S
    assert large.total_s < 3600
    assert lifetime(large) > 24 * 3600, "a container waits through hours of training"


def judged() -> Judgement:
    return judge(TASK, EPISODES)


def test_returns_are_sums_over_each_stored_episode_and_the_rest_has_none() -> None:
    source = Scripted(0.5)
    found = with_returns(judged(), EPISODES[:2], source, unit())
    assert [e.reward_return for e in found] == [3.0, 3.0, None]
    assert found[0].component_returns == {"one": 3.0, "two": 6.0}
    assert found[2].component_returns == {}
    (steps, carry), *more = source.asked
    assert not more
    assert not carry
    assert steps.rows == 12
    assert set(steps.after) == {field.name for field in TASK.env.fields}


@pytest.mark.parametrize(
    "answer", [Failure(kind="timeout", text="x"), np.nan, np.inf], ids=["failure", "nan", "inf"]
)
def test_a_reward_without_numbers_does_not_touch_the_judgement(answer: Any) -> None:
    judgement = judged()
    found = with_returns(judgement, EPISODES, Scripted(answer), unit())
    assert found == judgement.episodes
    # None of it may stop the report from being read again.
    for episode in found:
        assert type(episode).model_validate_json(episode.model_dump_json()) == episode


def test_memory_starts_anew_with_every_judged_episode() -> None:
    program = (
        "MEMORY = {'age': 0.0}\n\ndef compute_reward(position, memory):\n"
        "    memory['age'] = memory['age'] + 1.0\n"
        "    return 0.0 * position, {'age': memory['age'] + 0.0}\n"
    )
    with RewardClient(program, TASK.env) as client:
        found = with_returns(judged(), EPISODES, client, unit(program=program))
    assert [e.component_returns["age"] for e in found] == [21.0, 21.0, 21.0]


def test_episodes_that_end_early_keep_their_own_sums() -> None:
    short = replace(EPISODES[0], steps=first_rows(EPISODES[0].steps, 2))
    found = with_returns(judge(TASK, (short, EPISODES[1])), (short, EPISODES[1]), Scripted(1.0),
                         unit())  # fmt: skip
    assert [e.reward_return for e in found] == [2.0, 6.0]


def first_rows(steps: Steps, count: int) -> Steps:
    return Steps(
        num_envs=1,
        after={k: v[:count] for k, v in steps.after.items()},
        before={k: v[:count] for k, v in steps.before.items()},
        action=steps.action[:count],
        terminated=steps.terminated[:count],
        truncated=steps.truncated[:count],
        starts=steps.starts[:count],
        native_reward=steps.native_reward[:count],
    )
