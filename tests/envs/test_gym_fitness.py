from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import gym_fitness
from rewardsmith.envs.step import Episode, Steps

_LANDED = {
    "x": 0.5,
    "height": 0.0,
    "x_velocity": 0.0,
    "vertical_velocity": 0.0,
    "angle": 0.0,
    "left_leg_contact": 1.0,
    "right_leg_contact": 1.0,
    "crashed": 0.0,
    "at_rest": 1.0,
}


def _episode(terminated: bool = False, **columns: Any) -> Episode:
    """Columns hold T + 1 values: the reset state, then the state after each step."""
    whole = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    rows = len(next(iter(whole.values()))) - 1
    last = np.arange(rows) == rows - 1
    steps = Steps(
        num_envs=1,
        after={n: v[1:] for n, v in whole.items()},
        before={n: v[:-1] for n, v in whole.items()},
        action=np.zeros((rows, 1)),
        terminated=last & terminated,
        truncated=last & (not terminated),
        starts=np.arange(rows) == 0,
        native_reward=np.zeros(rows),
    )
    return Episode(0, 0.1, steps, {})


def _landing(*, terminated: bool = True, **changed: Any) -> Any:
    last = {**_LANDED, **changed}
    columns: dict[str, Any] = {n: [0.0, v] for n, v in last.items()}
    return gym_fitness.landing(_episode(terminated, **columns))


def test_distance_is_the_way_from_the_reset_to_the_terminal_state() -> None:
    score = gym_fitness.distance(_episode(True, x_position=[1.0, 2.0, 1.5, 4.0]))
    assert score.fitness == pytest.approx(3.0)
    assert score.outcome == "fell"


def test_distance_backwards_is_negative() -> None:
    score = gym_fitness.distance(_episode(x_position=[0.0, -1.0]))
    assert score.fitness == -1.0
    assert score.outcome == "time limit"


def test_metres_on_the_back_do_not_count() -> None:
    episode = _episode(x_position=[0.0, 1.0, 3.0, 6.0, 7.0], torso_up=[1.0, 1.0, -0.5, -1.0, 0.9])
    assert gym_fitness.upright_distance(episode).fitness == pytest.approx(2.0)


def test_an_episode_spent_on_the_back_says_so() -> None:
    episode = _episode(x_position=[0.0, 1.0, 2.0, 3.0], torso_up=[1.0, 1.0, -1.0, -1.0])
    assert gym_fitness.upright_distance(episode).outcome == "on its back"


def test_seconds_upright_end_with_the_first_fall() -> None:
    score = gym_fitness.seconds_upright(_episode(True, fallen=[0, 0, 0, 1, 1]))
    assert score.fitness == pytest.approx(0.2)
    assert (score.success, score.outcome) == (False, "fell")


def test_seconds_upright_to_the_time_limit_are_a_success() -> None:
    score = gym_fitness.seconds_upright(_episode(fallen=[0, 0, 0, 0]))
    assert score.fitness == pytest.approx(0.3)
    assert score.success


def test_a_termination_that_the_tip_does_not_show_is_a_fall() -> None:
    score = gym_fitness.seconds_upright(_episode(True, fallen=[0, 0, 0]))
    assert score.fitness == pytest.approx(0.1)
    assert not score.success


def test_reach_is_minus_the_mean_miss_of_the_last_ten_steps() -> None:
    score = gym_fitness.reach(_episode(miss=[0.5] * 20 + [0.01] * 10))
    assert score.fitness == pytest.approx(-0.01)
    assert (score.success, score.outcome) == (True, "reached")


def test_reach_outside_two_centimetres_is_a_miss() -> None:
    score = gym_fitness.reach(_episode(miss=[0.021] * 12))
    assert (score.success, score.outcome) == (False, "missed")


def test_a_landing_between_the_flags_is_the_best_there_is() -> None:
    score = _landing()
    assert (score.fitness, score.success, score.outcome) == (1.0, True, "landed")


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({"x": 3.0}, "landed outside"),
        ({"crashed": 1.0}, "crashed"),
        ({"at_rest": 0.0, "x": 11.0, "height": 2.0}, "flew away"),
    ],
)
def test_every_other_end_is_no_success(changed: dict[str, Any], outcome: str) -> None:
    score = _landing(**changed)
    assert (score.success, score.outcome) == (False, outcome)
    assert score.fitness < 0.8


def test_a_lander_asleep_on_the_pad_has_landed_whatever_its_leg_contacts_say() -> None:
    assert _landing(left_leg_contact=0.0, right_leg_contact=0.0).outcome == "landed"


def test_ends_of_a_landing_are_ranked_as_a_pilot_would() -> None:
    ends = [
        _landing(crashed=1.0, vertical_velocity=-8.0),
        _landing(crashed=1.0, vertical_velocity=-2.0),
        _landing(x=6.0),
        _landing(x=3.0),
        _landing(at_rest=0.0, terminated=False),
        _landing(),
    ]
    scores = [e.fitness for e in ends]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


def test_hovering_is_worth_more_when_lower() -> None:
    high = _landing(terminated=False, at_rest=0.0, left_leg_contact=0.0, height=6.0)
    low = _landing(terminated=False, at_rest=0.0, left_leg_contact=0.0, height=1.0)
    assert high.fitness < low.fitness <= 0.3
    assert high.outcome == "time limit"


def test_the_far_end_is_a_walkers_success() -> None:
    score = gym_fitness.biped_distance(_episode(True, x_position=[4.7, 88.7], fallen=[0, 0]))
    assert (score.success, score.outcome) == (True, "arrived")


def test_a_walkers_fall_keeps_its_metres() -> None:
    score = gym_fitness.biped_distance(_episode(True, x_position=[4.7, 14.7], fallen=[0, 1]))
    assert score.fitness == pytest.approx(10.0)
    assert (score.success, score.outcome) == (False, "fell")


def test_walking_off_the_start_is_said() -> None:
    score = gym_fitness.biped_distance(_episode(True, x_position=[4.7, -0.1], fallen=[0, 0]))
    assert (score.success, score.outcome) == (False, "left the track")


def test_the_goal_is_worth_one_and_the_way_there_at_most_half() -> None:
    reached = gym_fitness.hill_climb(_episode(True, car_position=[-0.5, 0.45]))
    half = gym_fitness.hill_climb(_episode(car_position=[-0.5, -0.025, -0.9]))
    none = gym_fitness.hill_climb(_episode(car_position=[-0.5, -0.9]))
    assert (reached.fitness, reached.success) == (1.0, True)
    assert half.fitness == pytest.approx(0.25)
    assert none.fitness == 0.0
