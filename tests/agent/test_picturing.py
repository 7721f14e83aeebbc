from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evidence_rig import Played, bank_of

from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.picturing import MOST_AXES, MOST_SLICES, pictures_of
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Steps
from rewardsmith.errors import ConfigError
from rewardsmith.runs.pictures import Pictures
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

TASK = find_task("rewardsmith/Point-v0")
HEAD = "def compute_reward(distance, velocity, target, action, terminated):\n    return 0, {}\n"
Rule = Callable[[Steps], RewardBatch]


class Asked:
    """A reward as a function of arrays, that counts its calls and can fail in one."""

    def __init__(self, rule: Rule, fails_in: int = 0) -> None:
        self.rule, self.fails_in, self.calls = rule, fails_in, 0

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        self.calls += 1
        if self.calls == self.fails_in:
            return Failure(kind="reward_error", text="line 2: it broke")
        return self.rule(steps)

    def close(self) -> None:
        """Has nothing to end."""


def near_and_slow(steps: Steps) -> RewardBatch:
    near = -np.minimum(steps.after["distance"], 1.0)
    slow = -0.5 * steps.after["velocity"] ** 2
    return RewardBatch(near + slow, {"near": near, "slow": slow})


@pytest.fixture(scope="module")
def bank() -> Stored:
    rng = np.random.default_rng(3)
    played = [
        Played(
            {name: rng.random(41) * 2 - 0.5 for name in ("position", "velocity", "target")}
            | {"distance": 3.0 * rng.random(41)},
            fitness=float(k),
            action=rng.uniform(-1, 1, (40, 1)),
        )
        for k in range(6)
    ]
    return bank_of(played)


def drawn(bank: Stored, rule: Rule = near_and_slow, **options: Any) -> Pictures:
    found = pictures_of(Asked(rule), HEAD, bank, TASK, **options)
    assert isinstance(found, Pictures)
    return found


def test_the_fields_that_move_the_total_are_drawn_the_most_moving_first(bank: Stored) -> None:
    found = drawn(bank)
    assert [item.axis.name for item in found.slices] == ["velocity", "distance"]
    assert found.unmoved == ("target", "action[0]")
    assert found.findings[0].text == (
        "read, yet without effect at the typical steps: target, action[0]"
    )
    assert [(item.x.name, item.y.name) for item in found.surfaces] == [("velocity", "distance")]


def test_a_finding_holds_where_the_program_is_flat(bank: Stored) -> None:
    (distance,) = drawn(bank, fields="distance").slices
    flat = next(item for item in distance.findings if item.kind == "flat")
    assert flat.text.startswith("flat, range < 1 % of std, for distance > 1.")
    assert flat.low == pytest.approx(1.0, abs=0.06)


def test_named_fields_are_drawn_in_their_order_and_even_where_they_move_nothing(
    bank: Stored,
) -> None:
    found = drawn(bank, fields="target,distance")
    assert [item.axis.name for item in found.slices] == ["target", "distance"]


def test_a_field_that_is_not_read_is_refused_before_anything_is_asked(bank: Stored) -> None:
    source = Asked(near_and_slow)
    with pytest.raises(ConfigError, match="does not read 'position'"):
        pictures_of(source, HEAD, bank, TASK, fields="position")
    assert source.calls == 0


def test_three_calls_are_enough_for_everything(bank: Stored) -> None:
    source = Asked(near_and_slow)
    pictures_of(source, HEAD, bank, TASK)
    assert source.calls == 3


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_program_that_fails_in_any_call_has_its_failure_returned(bank: Stored, call: int) -> None:
    found = pictures_of(Asked(near_and_slow, fails_in=call), HEAD, bank, TASK)
    assert isinstance(found, Failure)
    assert found.text == "line 2: it broke"


def test_a_program_that_cannot_be_read_is_a_failure(bank: Stored) -> None:
    assert isinstance(pictures_of(Asked(near_and_slow), "def (", bank, TASK), Failure)


def test_a_constant_reward_is_told_and_has_no_slices(bank: Stored) -> None:
    found = drawn(bank, lambda steps: RewardBatch(np.ones(steps.rows), {}))
    assert found.slices == ()
    assert found.surfaces == ()
    assert found.findings[0].text == "the total is 1 in every stored step: it teaches nothing"


def test_a_program_that_reads_no_field_has_histograms_only(bank: Stored) -> None:
    bare = "def compute_reward(terminated):\n    return terminated * 1.0, {}\n"
    source = Asked(lambda steps: RewardBatch(steps.terminated.astype(np.float64), {}))
    found = pictures_of(source, bare, bank, TASK)
    assert isinstance(found, Pictures)
    assert (found.slices, found.unmoved) == ((), ())
    assert len(found.histograms) == 1


def test_no_more_is_drawn_than_a_page_holds(bank: Stored) -> None:
    def everything(steps: Steps) -> RewardBatch:
        parts = [steps.after[name] for name in ("position", "velocity", "target", "distance")]
        parts += [steps.before[name] for name in ("position", "velocity", "target")]
        return RewardBatch(np.asarray(np.sum(parts, axis=0), dtype=np.float64), {})

    names = "position, velocity, target, distance, prev_position, prev_velocity, prev_target"
    program = f"def compute_reward({names}):\n    return 0, {{}}\n"
    found = pictures_of(Asked(everything), program, bank, TASK)
    assert isinstance(found, Pictures)
    assert len(found.slices) == MOST_SLICES
    assert len(found.surfaces) == MOST_AXES * (MOST_AXES - 1) // 2


def test_only_steps_that_a_policy_played_are_counted(bank: Stored) -> None:
    frozen = replace(bank.episodes[0], kind="corrupted")
    found = drawn(replace(bank, episodes=(frozen, *bank.episodes[1:])))
    assert (found.episodes, found.rows) == (5, 200)


def test_what_has_only_a_faint_effect_is_named_and_not_drawn(bank: Stored) -> None:
    def rule(steps: Steps) -> RewardBatch:
        return RewardBatch(-steps.after["distance"] + 0.02 * steps.action[:, 0], {})

    found = drawn(bank, rule)
    assert [item.axis.name for item in found.slices] == ["distance"]
    assert found.findings[-1].text.endswith("less than a tenth of its std: action[0]")


def test_where_every_effect_is_faint_the_faint_ones_are_drawn(bank: Stored) -> None:
    def rule(steps: Steps) -> RewardBatch:
        unread = 5.0 * steps.after["position"]
        return RewardBatch(unread + 0.01 * steps.after["distance"], {})

    assert [item.axis.name for item in drawn(bank, rule).slices] == ["distance"]
