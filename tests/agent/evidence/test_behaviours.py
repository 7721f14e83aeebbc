from dataclasses import replace

import numpy as np
from bank_rig import CONTINUOUS, DISCRETE, bad, good

from rewardsmith.agent.evidence.behaviours import (
    HOVERING,
    LENGTH,
    NOTHING,
    OSCILLATING,
    STILL,
    behaviours,
    neutral_action,
)
from rewardsmith.agent.evidence.played import Played, best_first
from rewardsmith.envs.registry import find_task


def shown(name: str) -> list[Played]:
    ranked = best_first([*good(CONTINUOUS), *bad(CONTINUOUS)])
    found = behaviours(CONTINUOUS, ranked, np.zeros(1), seed=0)
    assert {item.kind for item in found} == {"behaviour"}
    return [item for item in found if item.policy == name]


def test_doing_nothing_is_really_played() -> None:
    (item,) = shown(NOTHING)
    steps = item.episode.steps
    assert not steps.action.any()
    assert np.array_equal(steps.before["position"][1:], steps.after["position"][:-1])


def test_standing_still_changes_nothing_and_has_no_velocity() -> None:
    (item,) = shown(STILL)
    steps = item.episode.steps
    assert steps.rows == LENGTH
    for name, values in steps.after.items():
        assert np.array_equal(values, steps.before[name])
        assert len(np.unique(values)) == 1
    assert not steps.after["velocity"].any()


def test_oscillating_swings_between_stored_states() -> None:
    for item in shown(OSCILLATING):
        steps = item.episode.steps
        assert np.array_equal(steps.before["position"][1:], steps.after["position"][:-1])
        stored = next(i for i in good(CONTINUOUS) if i.name == item.of).episode.steps
        known = [*stored.before["position"][:1], *stored.after["position"]]
        assert np.isin(steps.after["position"], known).all()
        assert steps.after["position"].max() > steps.after["position"].min()


def test_on_the_way_back_velocities_have_the_other_sign_and_distances_do_not() -> None:
    for item in shown(OSCILLATING):
        steps = item.episode.steps
        moved = steps.after["position"] - steps.before["position"]
        np.testing.assert_allclose(steps.after["velocity"], moved / CONTINUOUS.env.dt, atol=1e-9)
        assert np.array_equal(steps.before["velocity"][1:], steps.after["velocity"][:-1])
        assert (steps.after["distance"] >= 0).all()


def test_hovering_stays_near_a_success_without_being_one() -> None:
    (item,) = shown(HOVERING)
    assert item.score is not None
    assert item.score.success is False
    assert item.episode.steps.after["distance"].max() < 1.0


def test_where_a_task_knows_no_success_hovering_halts_the_best_episode_halfway() -> None:
    task = replace(CONTINUOUS, fitness="rewardsmith.envs.fitness_return:native_return")
    best = good(CONTINUOUS, 1)[0]
    unknown = replace(best, score=replace(best.score, success=None) if best.score else None)
    item = behaviours(task, [unknown], np.zeros(1), seed=0)[-1]
    assert item.policy == HOVERING
    halfway = best.episode.steps.before["position"][best.episode.length // 2]
    assert item.episode.steps.after["position"].tolist() == [halfway] * LENGTH


def test_doing_nothing_is_zero_or_what_pushes_neither_way() -> None:
    assert neutral_action(CONTINUOUS.env, 0).tolist() == [0.0]
    assert neutral_action(DISCRETE.env, 0) == 1
    assert neutral_action(find_task("LunarLander-v3").env, 0) == 0


def test_an_action_that_cannot_be_zero_is_the_bound_next_to_it() -> None:
    spec = replace(CONTINUOUS.env, action=replace(CONTINUOUS.env.action, low=(0.2,)))
    assert neutral_action(spec, 0).tolist() == [0.2]
