import numpy as np
from evidence_rig import Played, bank_of

from rewardsmith.agent.evidence.stored import Stored, discounted_return, mean_rewards, returns


def two_episodes() -> Stored:
    return bank_of(
        [Played({"x": np.arange(4.0)}), Played({"x": np.arange(3.0)}, kind="policy", policy="a")]
    )


def test_rows_of_an_episode_are_its_own() -> None:
    bank = two_episodes()
    assert bank.rows_of(bank.of("policy")).tolist() == [3, 4]
    assert bank.steps.after["x"][bank.rows_of(bank.of("policy"))].tolist() == [1.0, 2.0]
    assert bank.rows_of(()).tolist() == []


def test_a_behaviour_is_not_simulated() -> None:
    bank = bank_of([Played({"x": np.zeros(2)}), Played({"x": np.zeros(2)}, kind="behaviour")])
    assert [episode.kind for episode in bank.simulated] == ["random"]


def test_a_later_reward_counts_less() -> None:
    assert discounted_return(np.array([0.0, 0.0, 4.0]), 0.5) == 1.0


def test_returns_are_per_episode() -> None:
    bank = two_episodes()
    values = np.array([1.0, 1.0, 1.0, 2.0, 4.0])
    assert returns(values, bank.episodes).tolist() == [3.0, 6.0]
    assert returns(values, bank.episodes, gamma=0.5).tolist() == [1.75, 4.0]
    assert mean_rewards(values, bank.episodes).tolist() == [1.0, 3.0]
