"""The laws of a reward, tried against sources that keep or break exactly one of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from rewardsmith.envs.step import Steps
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.laws import Finding, broken_law, broken_law_with_memory, on_extremes
from rewardsmith.sandbox.probe_steps import probes, sequences
from rewardsmith.sandbox.reward import RewardBatch

SOURCE = "def compute_reward(height, memory):\n    return height, {}\n"
Total = npt.NDArray[np.float64]
PROBES = probes(example_steps(300, 2), EXAMPLE_SPEC)
SEQUENCES = sequences(example_steps(300, 2))


@dataclass
class _Source:
    """A reward source in this process; ``constants`` is what a worker would say of its columns."""

    reward: Callable[[Steps, bool], Total | Failure]
    constants: frozenset[str] = frozenset()
    calls: list[int] = field(default_factory=list)

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.calls.append(steps.rows)
        total = self.reward(steps, carry)
        return total if isinstance(total, Failure) else RewardBatch(total, {"part": total * 2})


def _finding(reward: Callable[[Steps, bool], Total | Failure], **more: Any) -> Finding | None:
    return broken_law(cast(RewardClient, _Source(reward, **more)), PROBES, SOURCE)


def _text(finding: Finding | None) -> str:
    assert finding is not None
    assert finding.failure.kind == "contract"
    return finding.failure.text


def _height(steps: Steps, carry: bool = False) -> Total:
    return steps.after["height"]


def test_a_function_of_the_row_keeps_every_law() -> None:
    source = _Source(_height)
    assert broken_law(cast(RewardClient, source), PROBES, SOURCE) is None
    assert source.calls[:3] == [61, 61, 61]
    assert set(source.calls[3:]) == {1}


def test_rounding_is_no_dependence() -> None:
    noise = 1e-12
    assert _finding(lambda steps, _: _height(steps) * (1 + noise * steps.rows)) is None
    found = _finding(lambda steps, _: _height(steps) * (1 + 1e-6 * steps.rows))
    assert "depends on the others" in _text(found)


def test_a_counter_is_found_by_asking_twice() -> None:
    calls: list[int] = []

    def counting(steps: Steps, _: bool) -> Total:
        calls.append(1)
        return _height(steps) + 1e-15 * len(calls) * (len(calls) > 1)

    assert "in one call and" in _text(_finding(lambda s, c: counting(s, c) * 1e6 + len(calls)))


def test_the_order_of_environments_must_not_matter() -> None:
    finding = _finding(lambda steps, _: np.arange(float(steps.rows)))
    assert finding is not None
    assert "depends on the others" in finding.failure.text
    assert not finding.perhaps_by_row


def test_only_the_order_may_show_it() -> None:
    def ordered(steps: Steps, _: bool) -> Total:
        whole = steps.rows > 1 and steps.after["height"][0] != PROBES.after["height"][0]
        return _height(steps) + float(whole)

    source = _Source(lambda s, c: ordered(s, c) if s.rows > 1 else _height(s))
    found = broken_law(cast(RewardClient, source), PROBES, SOURCE)
    assert "in another order" in _text(found)


def test_one_number_for_all_may_be_meant_by_row() -> None:
    def shared(steps: Steps, _: bool) -> Total:
        return np.full(steps.rows, np.sum(steps.action**2))

    lost = _finding(shared, constants=frozenset(["part", ""]))
    assert lost is not None
    assert lost.perhaps_by_row
    assert "one number for all environments" in lost.failure.text
    other = _finding(shared)
    assert other is not None
    assert not other.perhaps_by_row


@pytest.mark.parametrize("call", [1, 2, 3, 9])
def test_a_failure_at_any_call_is_the_finding(call: int) -> None:
    failure = Failure(kind="reward_error", text="no")
    calls: list[int] = []

    def failing(steps: Steps, _: bool) -> Total | Failure:
        calls.append(1)
        return failure if len(calls) == call else _height(steps)

    finding = _finding(failing)
    assert finding is not None
    assert finding.failure == failure
    assert not finding.perhaps_by_row


def test_bad_values_on_extremes_are_said_to_be_so() -> None:
    bad = Failure(kind="bad_output", text="The total is nan", line=3)
    assert on_extremes(bad).kind == "contract"
    assert on_extremes(bad).line == 3
    assert "extreme" in on_extremes(bad).text
    other = Failure(kind="stalled", text="slow")
    assert on_extremes(other) is other


class _Remembering:
    """A running sum per environment, with one fault at choice."""

    def __init__(self, fault: str = "") -> None:
        self._fault, self._sums = fault, np.zeros(0)

    def __call__(self, steps: Steps, carry: bool) -> Total:
        envs = steps.num_envs
        fresh = not carry or len(self._sums) != envs
        if fresh and not (self._fault == "keeps" and len(self._sums) == envs):
            self._sums = np.zeros(envs)
        if self._fault == "forgets":
            self._sums = np.zeros(envs)
        totals = []
        for first in range(0, steps.rows, envs):
            here = slice(first, first + envs)
            if self._fault != "no start":
                self._sums[steps.starts[here]] = 0.0
            self._sums = self._sums + steps.after["height"][here]
            shared = self._sums.mean() if self._fault == "shared" else 0.0
            future = steps.after["height"][-1] if self._fault == "future" else 0.0
            totals.append(self._sums + shared + future)
        return np.concatenate(totals)


def _memory_finding(fault: str) -> Finding | None:
    source = _Source(_Remembering(fault))
    return broken_law_with_memory(cast(RewardClient, source), SEQUENCES, SOURCE)


def test_memory_that_runs_along_time_keeps_every_law() -> None:
    assert _memory_finding("") is None


FAULTS = {
    "forgets": "given in two calls",
    "no start": "Everything that is remembered must be in `memory`",
    "shared": "depends on the others",
    "future": "first half of the steps is given alone",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_memory_is_found(fault: str) -> None:
    assert FAULTS[fault] in _text(_memory_finding(fault))


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5, 6, 7])
def test_a_failure_with_memory_is_the_finding(call: int) -> None:
    failure = Failure(kind="stalled", text="slow")
    memory, calls = _Remembering(), []

    def failing(steps: Steps, carry: bool) -> Total | Failure:
        calls.append(1)
        return failure if len(calls) == call else memory(steps, carry)

    finding = broken_law_with_memory(cast(RewardClient, _Source(failing)), SEQUENCES, SOURCE)
    assert finding is not None
    assert finding.failure == failure
