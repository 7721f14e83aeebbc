"""What of a training is remembered, when it is asked again, and what follows from a difference."""

from dataclasses import replace

import numpy as np
import pytest

from rewardsmith.envs.step import Steps
from rewardsmith.runs.training import auditing
from rewardsmith.runs.training.auditing import KEPT, AuditedReward
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch


class Height:
    """Rewards height; from its call ``cheats_from`` on one more."""

    def __init__(self, cheats_from: float = np.inf, until: float = np.inf) -> None:
        self.calls = 0
        self.rows: list[int] = []
        self.closed = False
        self._cheats = (cheats_from, until)

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.calls += 1
        self.rows.append(steps.rows)
        low, high = self._cheats
        total = steps.after["height"] + float(low <= self.calls < high)
        return RewardBatch(total, {"height": total})

    def close(self) -> None:
        self.closed = True


class Desk:
    """Opens sources of one kind and remembers them."""

    def __init__(self, cheats_from: float = np.inf, until: float = np.inf) -> None:
        self.opened: list[Height] = []
        self._cheats = (cheats_from, until)

    def open(self) -> Height:
        self.opened.append(Height(*self._cheats))
        return self.opened[-1]

    def audited(self, *, seed: int = 0, memory: bool = False) -> AuditedReward:
        return AuditedReward(self.open(), self.open, memory=memory, seed=seed)


def trained(audited: AuditedReward, calls: int, rows: int = 24) -> list[RewardBatch | Failure]:
    return [audited.rewards(example_steps(rows, 4, seed), carry=True) for seed in range(calls)]


def test_an_honest_training_gets_every_answer_and_no_verdict() -> None:
    desk = Desk()
    audited = desk.audited()
    answers = trained(audited, 30)
    assert all(isinstance(answer, RewardBatch) for answer in answers)
    assert audited.verdict() is None
    audited.close()
    assert all(source.closed for source in desk.opened)


@pytest.mark.parametrize(("calls", "workers"), [(1, 1), (7, 1), (8, 2), (63, 2), (64, 3), (600, 4)])
def test_fresh_workers_are_few_however_long_the_training(calls: int, workers: int) -> None:
    desk = Desk()
    audited = desk.audited()
    trained(audited, calls)
    audited.verdict()
    assert len(desk.opened) == 1 + workers
    assert audited.audit_calls <= workers * (2 * (KEPT + 1) + 1)
    assert audited.audit_calls == sum(source.calls for source in desk.opened[1:])


def test_every_audit_has_a_worker_of_its_own_that_is_closed_after_it() -> None:
    desk = Desk()
    audited = desk.audited()
    trained(audited, 8)
    assert [source.closed for source in desk.opened] == [False, True]


@pytest.mark.parametrize("honest_calls", [1, 3, 20, 99])
def test_honest_at_first_and_then_no_more_is_found(honest_calls: int) -> None:
    audited = Desk(honest_calls + 1).audited()
    trained(audited, 100)
    failure = audited.verdict()
    assert failure is not None
    assert failure.kind == "impure"


def test_the_last_call_is_always_asked_again() -> None:
    for seed in range(10):
        audited = Desk(40).audited(seed=seed)
        trained(audited, 40)
        assert audited.verdict() is not None


def test_what_is_found_during_the_training_ends_it() -> None:
    desk = Desk(3)
    answers = trained(desk.audited(), 12)
    kinds = [answer.kind if isinstance(answer, Failure) else "" for answer in answers]
    assert kinds == [""] * 7 + ["impure"] * 5
    assert desk.opened[0].calls == 8, "nothing more is asked of it"


def test_each_call_is_remembered_with_the_same_chance() -> None:
    """A cheat in one call of forty is found as often as that call is among the kept."""
    found = sum(
        _caught(AuditedReward(Height(20, 21), Height, memory=False, seed=seed))
        for seed in range(200)
    )
    assert 0.5 * KEPT / 40 < found / 200 < 2.0 * KEPT / 40


def _caught(audited: AuditedReward) -> bool:
    trained(audited, 40, rows=8)
    return audited.verdict() is not None


def test_the_same_seed_remembers_the_same_calls() -> None:
    rows = []
    for seed in (1, 1, 2):
        desk = Desk()
        audited = desk.audited(seed=seed)
        for number in range(60):
            audited.rewards(example_steps(8 + number, 1, number))
        audited.verdict()
        rows.append([source.rows for source in desk.opened[1:]])
    assert rows[0] == rows[1] != rows[2]


def test_what_is_remembered_does_not_change_with_the_trainer_s_arrays() -> None:
    audited = Desk().audited()
    steps = example_steps(24, 4)
    for number in range(5):
        steps.after["height"][:] = number
        answer = audited.rewards(steps, carry=True)
        assert isinstance(answer, RewardBatch)
        answer.total[:] = -1.0
    assert audited.verdict() is None


def test_of_a_large_call_only_some_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "_MOST_BYTES", 4096)
    desk = Desk()
    audited = desk.audited()
    trained(audited, 3, rows=4000)
    assert audited.verdict() is None
    assert max(desk.opened[1].rows) < 100
    cheat = Desk(2).audited()
    trained(cheat, 3, rows=4000)
    assert cheat.verdict() is not None


def test_of_a_large_call_with_memory_whole_lanes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "_MOST_BYTES_TOGETHER", 4096)
    desk = Desk()
    audited = desk.audited(memory=True)
    trained(audited, 3, rows=400)
    assert audited.verdict() is None
    assert set(desk.opened[1].rows) <= {100, *range(150, 300)}, "one lane, by calls and joined"


def test_a_failure_of_the_program_is_handed_on_and_not_remembered() -> None:
    program = "def compute_reward(height):\n    return 1.0 / (height * 0.0), {}\n"
    with RewardClient(program, EXAMPLE_SPEC, sandbox="process") as client:
        audited = AuditedReward(client, Height, memory=False, seed=0)
        answer = audited.rewards(example_steps(8))
        assert isinstance(answer, Failure)
        assert answer.kind == "bad_output"
        assert audited.verdict() is None


def test_after_the_verdict_nothing_is_remembered_or_asked_again() -> None:
    desk = Desk(16)
    audited = desk.audited()
    trained(audited, 5)
    assert audited.verdict() is None
    asked = audited.audit_calls
    assert all(isinstance(answer, RewardBatch) for answer in trained(audited, 20))
    assert audited.verdict() is None
    assert audited.audit_calls == asked


def test_no_steps_are_no_call() -> None:
    audited = Desk().audited()
    audited.rewards(example_steps(0))
    assert audited.verdict() is None
    assert audited.audit_calls == 0


_MEMORY = """
MEMORY = {"sum": 0.0}
KEPT = [0.0]

def compute_reward(height, memory):
    KEPT[0] += 1.0
    memory["sum"] = memory["sum"] + height
    return memory["sum"] + CHEAT, {"sum": memory["sum"]}
"""


def _memory_training(cheat: str, length: int) -> Failure | None:
    program = _MEMORY.replace("CHEAT", cheat)

    def fresh() -> RewardClient:
        return RewardClient(program, EXAMPLE_SPEC, sandbox="process")

    audited = AuditedReward(fresh(), fresh, memory=True, seed=3)
    for number in range(30):
        steps = example_steps(40, 4, number)
        times = np.repeat(np.arange(number * 10, number * 10 + 10), 4)
        audited.rewards(replace(steps, starts=times % length == 0), carry=True)
    verdict = audited.verdict()
    audited.close()
    return verdict


@pytest.mark.parametrize("length", [7, 35, 60])
def test_memory_over_many_calls_is_honoured_and_what_lies_beside_it_found(length: int) -> None:
    assert _memory_training("0.0", length) is None
    failure = _memory_training("(KEPT[0] > 150.0)", length)
    assert failure is not None
    assert failure.kind == "impure"
