"""What scale, offset and shaping do to the distance (nothing), and what everything else does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evidence_rig import bank_of
from starc_rig import near, shaping, walks

from rewardsmith.agent.evidence.starc import (
    GAMMA,
    Canonical,
    Distance,
    Undecided,
    canonicalise,
    starc_facts,
)
from rewardsmith.agent.evidence.stored import Edit, Kind, Stored, StoredEpisode
from rewardsmith.envs.collect import concat
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.bank import collect_random

Rewards = Mapping[str, FloatArray]


WALKS = bank_of(walks())


def canonical(bank: Stored, rewards: Rewards, **options: Any) -> Canonical:
    found = canonicalise(bank, rewards, **options)
    assert isinstance(found, Canonical)
    return found


def apart(bank: Stored, first: FloatArray, second: FloatArray) -> Distance:
    found = canonical(bank, {"first": first, "second": second}).distance("first", "second")
    assert isinstance(found, Distance)
    return found


def refusal(bank: Stored, reward: FloatArray) -> str | None:
    found = canonicalise(bank, {"it": reward})
    refused = found if isinstance(found, Undecided) else found.undecided("it")
    return refused.reason if refused else None


def test_a_constant_prefers_nothing_where_only_the_time_is_up() -> None:
    assert refusal(WALKS, np.full(WALKS.steps.rows, 3.0)) == "no_preference"
    assert refusal(WALKS, np.zeros(WALKS.steps.rows)) == "no_preference"


def test_a_constant_is_told_from_shaping() -> None:
    rare = np.zeros(WALKS.steps.rows)  # a bonus that no stored episode earns
    refused = canonical(WALKS, {"bonus": rare}).undecided("bonus")
    assert refused is not None
    assert refused.text.startswith("bonus is constant on the stored transitions")


def test_rewards_of_any_size_can_be_compared() -> None:
    assert apart(WALKS, 1e300 * near(WALKS), 1e-300 * near(WALKS)).value < 1e-3


def test_a_constant_is_a_preference_where_episodes_terminate() -> None:
    bank = bank_of(walks(terminated=True))
    assert refusal(bank, np.ones(bank.steps.rows)) is None
    assert apart(bank, near(bank), near(bank) + 5.0).value > 0.1


def test_an_offset_of_any_size_makes_no_difference_where_only_the_time_is_up() -> None:
    bank = bank_of(walks())
    assert apart(bank, near(bank), near(bank) + 1e6).value < 1e-3


def test_a_terminal_state_has_no_potential() -> None:
    bank = bank_of(walks(terminated=True))
    rightly = near(bank) + 10 * shaping(bank, "distance")
    wrongly = near(bank) + 10 * shaping(bank, "distance", falls_at_end=False)
    assert apart(bank, near(bank), rightly).value < 1e-3
    assert apart(bank, near(bank), wrongly).value > 0.1


def test_a_state_where_the_time_is_up_has_its_potential() -> None:
    bank = bank_of(walks(terminated=False))
    assert apart(bank, near(bank), near(bank) + 10 * shaping(bank, "distance")).value < 1e-3


def test_shaping_with_another_discount_is_no_shaping() -> None:
    bank = bank_of(walks())
    shaped = near(bank) + 10 * shaping(bank, "distance")
    found = canonical(bank, {"plain": near(bank), "shaped": shaped}, gamma=0.8)
    told = found.distance("plain", "shaped")
    assert isinstance(told, Distance)
    assert told.value > 0.05


@pytest.mark.parametrize("kind", ["scripted", "policy", "corrupted"])
def test_every_simulated_episode_counts(kind: Kind) -> None:
    bank = bank_of(walks(kind=kind))
    assert apart(bank, near(bank), -near(bank)).value == pytest.approx(2.0)


def test_composed_episodes_and_edits_take_no_part() -> None:
    plain = bank_of(walks())
    more = bank_of([*walks(), *walks(5, 30, kind="behaviour")])
    edits = (Edit(row=more.steps.rows, of=0, field="distance", index=(), shift=1.0, spreads=1.0),)
    rows = np.concatenate([np.arange(more.steps.rows), [0]])
    steps = replace(more.steps.take(rows), num_envs=1)
    edited = Stored(steps, more.episodes, edits)
    reward = np.full(edited.steps.rows, 1e9)
    reward[: plain.steps.rows] = near(plain)
    other = np.where(reward == 1e9, -1e9, plain.steps.after["distance"].mean())
    other[: plain.steps.rows] = -plain.steps.after["distance"]
    first = apart(plain, near(plain), -plain.steps.after["distance"])
    assert apart(edited, reward, other) == first


def test_spoilt_copies_stay_with_their_episode() -> None:
    families = tuple(
        replace(episode, kind="corrupted", of=f"first/{number // 3}")
        if number % 3
        else replace(episode, name=f"first/{number // 3}")
        for number, episode in enumerate(WALKS.episodes)
    )
    bank = replace(WALKS, episodes=families)
    found = canonical(bank, {"near": near(bank)})
    assert np.bincount(found.family).tolist() == [3 * 40] * 5


def test_too_few_transitions_are_refused_without_a_number() -> None:
    bank = bank_of(walks(10, 20))
    found = canonicalise(bank, {"near": near(bank)})
    assert isinstance(found, Undecided)
    assert found.reason == "too_few"
    assert starc_facts(found) == {"distance": None, "interval": None, "undecided": "too_few"}


def test_too_few_episodes_are_refused_however_long() -> None:
    assert refusal(bank_of(walks(3, 2_000)), near(bank_of(walks(3, 2_000)))) == "too_few"


def test_an_empty_bank_is_refused() -> None:
    bank = bank_of(walks(3, 5, kind="behaviour"))
    assert refusal(bank, near(bank)) == "too_few"


def test_a_fit_that_is_worse_than_none_on_other_episodes_is_refused() -> None:
    found = replace(canonical(WALKS, {"it": near(WALKS)}), residual={"it": 2.5})
    refused = found.distance("it", "it")
    assert isinstance(refused, Undecided)
    assert refused.reason == "too_few"


def test_the_interval_holds_the_distance_and_narrows_with_more_episodes() -> None:
    widths = []
    for count in (60, 540):
        bank = bank_of(walks(count))
        found = apart(bank, near(bank), -bank.steps.after["distance"])
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.6 * widths[0]


def test_what_is_found_does_not_hang_on_the_other_rewards() -> None:
    bank = bank_of(walks())
    rng = np.random.default_rng(1)
    others = {str(n): rng.standard_normal(bank.steps.rows) for n in range(3)}
    rewards = {"first": near(bank), "second": -bank.steps.after["distance"]}
    beside = canonical(bank, {**others, **rewards}).distance("first", "second")
    assert isinstance(beside, Distance)
    assert beside.value == pytest.approx(apart(bank, *rewards.values()).value)


def test_a_reward_of_time_is_shaping_only_where_potentials_may_tell_the_time() -> None:
    bank = bank_of(walks())
    time = np.tile(np.arange(40.0), 60)
    rewards = {"time": GAMMA * (time + 1) - time}
    assert canonical(bank, rewards).undecided("time") is None
    refused = canonical(bank, rewards, timed=True).undecided("time")
    assert refused is not None
    assert refused.reason == "no_preference"


def test_a_field_that_never_changes_is_no_obstacle() -> None:
    played = [replace(p, states={**p.states, "still": np.full(41, 7.0)}) for p in walks()]
    bank = bank_of(played)
    assert apart(bank, near(bank), 5 * near(bank) + 3).value < 1e-3


@pytest.fixture(scope="module")
def reacher() -> Stored:
    """5,000 transitions of exploring policies on Reacher-v5."""
    return reacher_bank(5_000)


def reacher_bank(rows: int) -> Stored:
    episodes, found, first = collect_random(find_task("Reacher-v5"), rows, 0), [], 0
    for number, episode in enumerate(episodes):
        stop = first + episode.length
        found.append(StoredEpisode(f"random/{number}", "random", "random", first, stop))
        first = stop
    return Stored(concat(episodes), tuple(found))


def affine_shaping(bank: Stored) -> FloatArray:
    """Shaping by an affine potential of the joints' angles and velocities."""
    weights = {"joint_angles": [1.0, -0.5], "joint_velocities": [0.1, 0.2]}
    after, before = bank.steps.after, bank.steps.before
    parts = [GAMMA * (after[name] @ w) - before[name] @ w for name, w in weights.items()]
    shaped: FloatArray = np.sum(parts, axis=0) + (GAMMA - 1) * 2.0
    return shaped


COPIES = {
    "scaled and offset": lambda bank: 5 * near(bank) + 3,
    "shaped by an affine potential": lambda bank: near(bank) + affine_shaping(bank),
    "shaped by the distance": lambda bank: near(bank) - 10 * shaping(bank, "distance"),
    "a component counted twice, scaled back": lambda bank: (near(bank) + near(bank)) / 2,
    "all of it": lambda bank: 0.1 * near(bank) - 4 * shaping(bank, "distance") - 7,
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_reward_is_the_same_preference_on_reacher(name: str, reacher: Stored) -> None:
    assert apart(reacher, near(reacher), COPIES[name](reacher)).value < 1e-3


def test_the_negated_reward_is_the_opposite_on_reacher(reacher: Stored) -> None:
    found = apart(reacher, near(reacher), -near(reacher))
    assert (found.value, found.low) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize("seed", range(3))
def test_an_unrelated_reward_is_at_the_root_of_two_on_reacher(seed: int, reacher: Stored) -> None:
    noise = np.random.default_rng(seed).standard_normal(reacher.steps.rows)
    assert apart(reacher, near(reacher), noise).value == pytest.approx(2**0.5, abs=0.1)


def test_progress_and_closeness_are_the_same_preference_on_reacher(reacher: Stored) -> None:
    after, before = reacher.steps.after["distance"], reacher.steps.before["distance"]
    assert apart(reacher, -after, before - after).value < 1e-3


def test_a_slightly_changed_weight_is_a_near_variant_on_reacher(reacher: Stored) -> None:
    changed = near(reacher) - 0.02 * np.sum(reacher.steps.action**2, axis=-1)
    assert 0.05 < apart(reacher, near(reacher), changed).value < 0.2


def test_pure_shaping_is_told_as_such_on_reacher(reacher: Stored) -> None:
    found = canonical(reacher, {"pure": shaping(reacher, "distance"), "near": near(reacher)})
    assert found.residual["pure"] < 1e-3
    refused = found.distance("pure", "near")
    assert isinstance(refused, Undecided)
    assert refused.reason == "no_preference"
    assert "potential shaping and nothing else" in refused.text


def test_200_transitions_of_reacher_are_too_few() -> None:
    bank = reacher_bank(200)
    assert refusal(bank, near(bank)) == "too_few"
