import numpy as np
import pytest
from evidence_rig import Played, bank_of, rewards_of

from rewardsmith.agent.evidence.preferences import preferred
from rewardsmith.agent.evidence.stored import Kind

# Five episodes of two steps; the numbers below are per episode.
BANK = bank_of([Played({"x": np.zeros(3)}, policy=f"p{n}") for n in range(5)])
UP = np.repeat(np.arange(5.0), 2)
STILL = np.zeros(10)


def test_the_most_disputed_episodes_come_first() -> None:
    found = preferred(BANK, rewards_of(BANK, up=UP), rewards_of(BANK, down=-UP))
    assert [item.episode.policy for item in found] == ["p4", "p3"]
    assert (found[0].rank, found[0].other_rank) == (1.0, 0.0)


def test_rewards_of_one_order_dispute_nothing() -> None:
    assert preferred(BANK, rewards_of(BANK, up=UP), rewards_of(BANK, up=UP**3)) == ()


def test_no_more_are_told_than_asked_for() -> None:
    assert len(preferred(BANK, rewards_of(BANK, a=UP), rewards_of(BANK, a=-UP), count=1)) == 1


def test_the_components_that_make_the_difference_are_named() -> None:
    one = rewards_of(BANK, speed=UP, alive=STILL + 1)
    two = rewards_of(BANK, effort=-2 * UP, speed=0.1 * UP)
    first = preferred(BANK, one, two)[0]
    # Returns 0, 2, 4, 6, 8 have a standard deviation of sqrt(8), and the first is 4 above the mean.
    assert first.raised is not None
    assert first.lowered is not None
    assert (first.raised[0], first.lowered[0]) == ("speed", "effort")
    assert first.raised[1] == pytest.approx(4 / 8**0.5)
    assert first.lowered[1] == pytest.approx(-2 / 1.9 * 4 / 8**0.5)


def test_a_reward_that_never_varies_has_no_component_to_blame() -> None:
    found = preferred(BANK, rewards_of(BANK, up=UP), rewards_of(BANK, alive=STILL + 1))
    assert found[0].other_rank == 0.5
    assert found[0].lowered is None


@pytest.mark.parametrize("kind", ["behaviour", "policy"])
def test_only_what_a_simulator_played_is_ranked(kind: Kind) -> None:
    played = [Played({"x": np.zeros(3)}, kind=kind) for _ in range(2)]
    bank = bank_of(played)
    up = np.repeat(np.arange(2.0), 2)
    found = preferred(bank, rewards_of(bank, a=up), rewards_of(bank, a=-up))
    assert len(found) == (kind == "policy")
