import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rewardsmith.envs.card import EnvRequest, spec_of
from rewardsmith.envs.columns import layout
from rewardsmith.envs.recorder import KEY, Recorder, Row, make_env, plain_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec, Field
from rewardsmith.errors import ConfigError


def _point() -> EnvSpec:
    return find_task("rewardsmith/Point-v0").env


def _steps(env: Recorder, count: int) -> list[Row]:
    return [env.step(np.array([0.5], dtype=np.float32))[4][KEY] for _ in range(count)]


class Shift(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Adds ten to every observation; applied by name in the tests."""

    def observation(self, observation: Any) -> Any:
        return observation + 10.0


def test_reset_records_the_reset_state_as_both_rows() -> None:
    env = make_env(_point())
    _, info = env.reset(seed=3)
    row = info[KEY]
    assert row.starts
    assert row.before.tolist() == row.after.tolist()
    assert row.after[0] == env.unwrapped.position  # type: ignore[attr-defined]


def test_each_row_begins_where_the_one_before_ended() -> None:
    env = make_env(_point())
    _, info = env.reset(seed=0)
    rows = _steps(env, 5)
    assert rows[0].before.tolist() == info[KEY].after.tolist()
    for one, two in pairwise(rows):
        assert two.before.tolist() == one.after.tolist()
    assert [r.starts for r in rows] == [True, False, False, False, False]


def test_the_reward_is_zero_and_the_native_one_is_recorded() -> None:
    env, native = make_env(_point()), make_env(_point(), native_reward=True)
    env.reset(seed=0)
    native.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros(1))
    _, own, _, _, _ = native.step(np.zeros(1))
    assert reward == 0.0
    assert info[KEY].native_reward == own < 0.0


def test_the_last_row_is_the_terminal_state_and_the_next_episode_starts_afresh() -> None:
    env = make_env(_point())
    env.reset(seed=0)
    rows = _steps(env, 40)
    _, info = env.reset()
    first = _steps(env, 1)[0]
    assert rows[-1].after[0] != first.before[0]
    assert first.before.tolist() == info[KEY].after.tolist()
    assert first.starts


def test_the_time_limit_of_the_spec_truncates() -> None:
    env = make_env(replace(_point(), max_steps=3))
    env.reset(seed=0)
    ends = [env.step(np.zeros(1))[3] for _ in range(3)]
    assert ends == [False, False, True]


def test_a_step_before_the_first_reset_is_refused() -> None:
    with pytest.raises((ConfigError, gymnasium.error.ResetNeeded)):
        make_env(_point()).step(np.zeros(1))


def test_deep_copies_share_the_rows_because_they_never_change() -> None:
    env = make_env(_point())
    _, info = env.reset(seed=0)
    assert copy.deepcopy(info)[KEY] is info[KEY]


def test_vectorised_training_sees_the_terminal_row() -> None:
    from stable_baselines3.common.vec_env import DummyVecEnv

    spec = replace(_point(), max_steps=2)
    vec: Any = DummyVecEnv([lambda: make_env(spec)])
    vec.reset()
    vec.step(np.zeros((1, 1)))
    _, _, dones, infos = vec.step(np.zeros((1, 1)))
    assert dones[0]
    assert np.float32(infos[0][KEY].after[0]) == infos[0]["terminal_observation"][0]
    _, _, _, infos = vec.step(np.zeros((1, 1)))
    assert infos[0][KEY].starts


def test_wrappers_are_applied_by_name_and_seen_by_the_card() -> None:
    spec = replace(
        _point(),
        fields=(Field("seen", (), "m", "observed position", "obs[0]"),),
        wrappers=(f"{__name__}:Shift",),
    )
    env = make_env(spec)
    _, info = env.reset(seed=0)
    position = env.unwrapped.position  # type: ignore[attr-defined]
    assert info[KEY].after[0] == pytest.approx(position + 10.0, abs=1e-6)


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [("nowhere:Thing", "No module"), ("math:Thing", "has no 'Thing'"), ("Thing", "module:attr")],
)
def test_a_wrong_wrapper_is_named(wrapper: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(replace(_point(), wrappers=(wrapper,)))


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"refused.*'wings'"):
        plain_env("rewardsmith/Point-v0", {"wings": 2})


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(ConfigError, match="no_such_package"):
        plain_env("no_such_package:Thing-v0", {})


def test_a_package_prefix_imports_the_package() -> None:
    env = plain_env("gymnasium.envs.classic_control:CartPole-v1", {})
    assert env.spec is not None
    assert env.spec.id == "CartPole-v1"


def test_rows_agree_with_the_card_after_a_hard_reset_of_the_simulator() -> None:
    spec = find_task("HalfCheetah-v5").env
    env = make_env(spec)
    for seed in (0, 1):
        _, info = env.reset(seed=seed)
        data: Any = env.unwrapped.data  # type: ignore[attr-defined]
        columns = layout(spec).split(info[KEY].after[None])
        assert columns["joint_angles"][0].tolist() == data.qpos[3:9].tolist()


def test_an_info_key_that_only_steps_give_reads_zero_at_reset(tmp_path: Any) -> None:
    spec = spec_of(EnvRequest("Hopper-v5", {}), None)
    spec = replace(spec, fields=(Field("speed", (), "m/s", "speed", "info['x_velocity']"),))
    env = make_env(spec)
    _, info = env.reset(seed=0)
    assert info[KEY].after.tolist() == [0.0]
    info = env.step(np.zeros(3))[4]
    assert info[KEY].after.tolist() == [info["x_velocity"]]


def test_making_an_environment_writes_no_log_into_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plain_env("HalfCheetah-v5", {}).close()
    assert list(tmp_path.iterdir()) == []
    assert "settotalmass" not in "".join(capfd.readouterr())
