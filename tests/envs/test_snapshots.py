from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.recorder import KEY, Row, make_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.snapshots import capture, restore
from rewardsmith.errors import ConfigError


def _actions(count: int, size: int) -> Any:
    return np.random.default_rng(0).uniform(-1.0, 1.0, (count, size)).astype(np.float32)


def _play(env: Any, actions: Any) -> list[tuple[Row, bool, bool]]:
    played = []
    for action in actions:
        _, _, terminated, truncated, info = env.step(action)
        played.append((info[KEY], terminated, truncated))
    return played


@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Reacher-v5", "InvertedDoublePendulum-v5"])
def test_a_restored_state_continues_the_same_to_the_bit(env_id: str) -> None:
    spec = find_task(env_id).env
    actions = _actions(24, spec.action.shape[0]) * 0.02
    env = make_env(spec)
    env.reset(seed=0)
    _play(env, actions[:4])
    state = capture(env)
    assert state is not None
    first = _play(env, actions[4:])
    fresh = make_env(spec)
    fresh.reset(seed=99)
    restore(fresh, state)
    again = _play(fresh, actions[4:])
    for (one, *ends), (two, *others) in zip(first, again, strict=True):
        assert one.after.tobytes() == two.after.tobytes()
        assert one.native_reward == two.native_reward
        assert ends == others


def test_the_row_before_a_restored_step_is_the_restored_state() -> None:
    spec = find_task("HalfCheetah-v5").env
    env = make_env(spec)
    env.reset(seed=0)
    last = _play(env, _actions(5, 6))[-1][0]
    state = capture(env)
    assert state is not None
    env.reset(seed=1)
    restore(env, state)
    row = _play(env, _actions(1, 6))[0][0]
    assert not row.starts
    assert row.before.tolist() == last.after.tolist()


def test_the_time_limit_goes_on_from_the_restored_step() -> None:
    spec = find_task("Reacher-v5").env
    env = make_env(spec)
    env.reset(seed=0)
    _play(env, _actions(47, 2))
    state = capture(env)
    assert state is not None
    env.reset(seed=1)
    restore(env, state)
    assert [t for _, _, t in _play(env, _actions(3, 2))] == [False, False, True]


def test_what_has_no_simulator_state_gives_none_and_refuses_to_restore() -> None:
    env = make_env(find_task("rewardsmith/Point-v0").env)
    env.reset(seed=0)
    assert capture(env) is None
    with pytest.raises(ConfigError, match="PointEnv has no state that can be restored"):
        restore(env, np.zeros(3))


def test_a_snapshot_of_another_model_is_refused() -> None:
    one, other = make_env(find_task("Reacher-v5").env), make_env(find_task("HalfCheetah-v5").env)
    one.reset(seed=0)
    other.reset(seed=0)
    state = capture(one)
    assert state is not None
    with pytest.raises(ConfigError, match="shape"):
        restore(other, state)
