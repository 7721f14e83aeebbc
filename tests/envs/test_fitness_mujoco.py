"""How the MuJoCo tasks are judged, on episodes written by hand and on played ones."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rewardsmith.envs.collect import rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.gym_fitness import distance, reach, seconds_upright, upright_distance
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Episode, Steps

DT_S = 0.05


def episode(*, terminated: bool = False, start: float = 0.0, **columns: npt.ArrayLike) -> Episode:
    """An episode whose fields are ``columns`` after each step, and ``start`` before the first."""
    after = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    before = {name: np.concatenate([[start], values[:-1]]) for name, values in after.items()}
    rows = len(next(iter(after.values())))
    last = np.arange(rows) == rows - 1
    steps = Steps(
        num_envs=1,
        after=after,
        before=before,
        action=np.zeros((rows, 1)),
        terminated=last & terminated,
        truncated=last & (not terminated),
        starts=np.arange(rows) == 0,
        native_reward=np.full(rows, 1e6),
    )
    return Episode(0, DT_S, steps, {})


def test_distance_is_from_the_reset_state_to_the_terminal_one() -> None:
    score = distance(episode(start=1.0, x_position=[1.5, 4.0, 3.0], terminated=True))
    assert score.fitness == pytest.approx(2.0)
    assert score.outcome == "fell"
    assert score.success is None


def test_distance_backwards_is_negative() -> None:
    score = distance(episode(x_position=[-1.0, -2.5]))
    assert score.fitness == pytest.approx(-2.5)
    assert score.outcome == "time limit"


def test_falling_early_keeps_only_the_way_so_far() -> None:
    whole = distance(episode(x_position=[1.0, 2.0, 3.0, 4.0]))
    fallen = distance(episode(x_position=[1.0, 2.0], terminated=True))
    assert fallen.fitness < whole.fitness


def test_distance_heeds_no_reward_of_the_environment() -> None:
    assert distance(episode(x_position=[0.5])).fitness == 0.5


def test_metres_on_the_back_do_not_count() -> None:
    score = upright_distance(
        episode(x_position=[1.0, 2.0, 12.0, 13.0], torso_up=[1.0, 0.9, -0.8, 0.7])
    )
    assert score.fitness == pytest.approx(3.0)
    assert score.outcome == "time limit"


def test_sliding_on_the_back_earns_nothing_and_is_named() -> None:
    score = upright_distance(episode(x_position=np.arange(1.0, 11.0), torso_up=[1.0] + [-1.0] * 9))
    assert score.fitness == pytest.approx(1.0)
    assert score.outcome == "on its back"


def test_an_upright_runner_gets_its_whole_distance() -> None:
    metres = np.linspace(0.1, 5.0, 50)
    both = episode(x_position=metres, torso_up=np.ones(50))
    assert upright_distance(both).fitness == pytest.approx(distance(both).fitness)


def test_seconds_stop_at_the_fall() -> None:
    score = seconds_upright(episode(fallen=[0.0, 0.0, 0.0, 1.0], terminated=True))
    assert score.fitness == pytest.approx(3 * DT_S)
    assert score.success is False
    assert score.outcome == "fell"


def test_never_falling_is_success_for_the_whole_time() -> None:
    score = seconds_upright(episode(fallen=np.zeros(1000)))
    assert score.fitness == pytest.approx(50.0)
    assert score.success is True
    assert score.outcome == "time limit"


def test_only_the_last_ten_steps_tell_whether_the_target_is_held() -> None:
    score = reach(episode(miss=[0.3] * 40 + [0.01] * 10))
    assert score.fitness == pytest.approx(-0.01)
    assert score.success is True
    assert score.outcome == "reached"


def test_passing_the_target_at_the_end_is_not_holding_it() -> None:
    score = reach(episode(miss=[0.2] * 49 + [0.0]))
    assert score.fitness == pytest.approx(-0.18)
    assert score.success is False
    assert score.outcome == "missed"


def test_nearer_is_better() -> None:
    assert reach(episode(miss=[0.05] * 50)).fitness > reach(episode(miss=[0.1] * 50)).fitness


@pytest.mark.parametrize(
    ("env_id", "field"),
    [
        ("Hopper-v5", "x_position"),
        ("Walker2d-v5", "x_position"),
        ("HalfCheetah-v5", "x_position"),
        ("Ant-v5", "x_position"),
        ("InvertedDoublePendulum-v5", "fallen"),
        ("Reacher-v5", "miss"),
    ],
)
def test_fitness_reads_what_is_hidden_from_rewards(env_id: str, field: str) -> None:
    task = find_task(env_id)
    assert field in {item.name for item in task.env.hidden}
    assert field not in {item.name for item in task.env.fields}


def test_a_balanced_pendulum_outlives_a_pushed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = find_task("InvertedDoublePendulum-v5")
    still, pushed = (
        judge(task, rollout(task.env, constant(force), range(3))) for force in (0.0, 0.5)
    )
    assert min(s.fitness for s in still) > max(s.fitness for s in pushed)
    assert {s.outcome for s in (*still, *pushed)} == {"fell"}


def test_a_hand_that_steers_to_the_target_beats_one_at_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = find_task("Reacher-v5")
    resting = judge(task, rollout(task.env, constant(0.0, 2), range(5)))
    steered = judge(task, rollout(task.env, steer, range(5)))
    assert np.mean([s.fitness for s in steered]) > np.mean([s.fitness for s in resting]) + 0.05


def constant(value: float, size: int = 1) -> Any:
    return lambda obs: np.full(size, value, dtype=np.float32)


def steer(obs: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Pulls the fingertip towards the target through the arm's transposed Jacobian."""
    one, both = np.arctan2(obs[2], obs[0]), np.arctan2(obs[2], obs[0]) + np.arctan2(obs[3], obs[1])
    elbow = np.array([-np.sin(both), np.cos(both)]) * 0.11
    shoulder = np.array([-np.sin(one), np.cos(one)]) * 0.1 + elbow
    pull = -obs[8:10]
    torque = 5.0 * np.array([shoulder @ pull, elbow @ pull]) - 0.02 * obs[6:8]
    return np.clip(torque, -1.0, 1.0).astype(np.float32)
