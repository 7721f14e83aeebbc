"""The robots under Gymnasium's ids: one, and many side by side."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rewardsmith.envs import gymnasium_ids
from rewardsmith.envs.registry import find_task

HOPPER = "rewardsmith/Hopper-v5"


@pytest.fixture(autouse=True)
def quiet_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes MUJOCO_LOG.TXT into the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hoppers() -> Iterator[Any]:
    env = gymnasium.make_vec(HOPPER, num_envs=3, threads=2)
    yield env
    env.close()


def test_importing_twice_is_harmless() -> None:
    gymnasium_ids.register()
    assert {f"rewardsmith/{name}" for name in gymnasium_ids.ROBOTS} <= set(gymnasium.registry)


def test_an_id_may_name_the_module_to_import() -> None:
    env = gymnasium.make(f"{gymnasium_ids.__name__}:rewardsmith/Reacher-v5")
    assert env.reset(seed=0)[0].shape == (10,)


@pytest.mark.parametrize("name", gymnasium_ids.ROBOTS)
def test_gymnasiums_own_checker_passes(name: str) -> None:
    env = gymnasium.make(f"rewardsmith/{name}", disable_env_checker=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wrapper is what is to be checked
        check_env(env, skip_render_check=True)
    env.close()


def test_one_robot_is_gymnasiums_with_named_fields() -> None:
    ours, theirs = gymnasium.make(HOPPER), gymnasium.make("Hopper-v5")
    assert np.array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    action = np.array([0.1, 0.5, -0.3], dtype=np.float32)
    for _ in range(20):
        mine, other = ours.step(action), theirs.step(action)
        assert np.array_equal(mine[0], other[0])
        assert mine[1:4] == other[1:4]
        fields = mine[4].pop("fields")
        assert mine[4] == other[4]
        assert fields["forward_velocity"] == other[4]["x_velocity"]
    spec = find_task("Hopper-v5").env
    assert set(fields) == {field.name for field in spec.fields}
    assert fields["joint_angles"].shape == (3,)


def test_many_step_as_gymnasiums_vector_does_in_the_same_mode(hoppers: Any) -> None:
    theirs = SyncVectorEnv(
        [lambda: gymnasium.make("Hopper-v5")] * 3, autoreset_mode=AutoresetMode.SAME_STEP
    )
    assert hoppers.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert hoppers.single_observation_space == theirs.single_observation_space
    assert hoppers.action_space == theirs.action_space
    assert np.array_equal(hoppers.reset(seed=5)[0], theirs.reset(seed=5)[0])
    hoppers.action_space.seed(0)
    ends = 0
    for _ in range(60):
        actions = hoppers.action_space.sample()
        mine, other = hoppers.step(actions), theirs.step(actions)
        for one, two in zip(mine[:4], other[:4], strict=True):
            assert np.array_equal(one, two)
        assert ("final_obs" in mine[4]) == ("final_obs" in other[4])
        for i in np.flatnonzero(mine[4].get("_final_obs", np.zeros(3))):
            assert np.array_equal(mine[4]["final_obs"][i], other[4]["final_obs"][i])
            ends += 1
    assert ends > 0
    theirs.close()


def test_fields_of_many_are_of_what_the_step_led_to(hoppers: Any) -> None:
    hoppers.reset(seed=0)
    observation, *_, info = hoppers.step(np.zeros((3, 3), dtype=np.float32))
    assert np.array_equal(info["fields"]["torso_height"], observation[:, 0])
    assert info["fields"]["joint_velocities"].shape == (3, 3)
    assert "x_position" not in info["fields"]


def test_seeds_decide_all_episodes(hoppers: Any) -> None:
    first = hoppers.reset(seed=11)[0]
    then = hoppers.reset()[0]
    assert not np.array_equal(first, then)
    assert np.array_equal(hoppers.reset(seed=11)[0], first)
    assert np.array_equal(hoppers.reset()[0], then)
    assert np.array_equal(hoppers.reset(seed=[13, 12, 11])[0], first[::-1])


def test_the_time_limit_and_the_environments_arguments_hold() -> None:
    env = gymnasium.make_vec(
        HOPPER, num_envs=2, max_episode_steps=4, terminate_when_unhealthy=False
    )
    env.reset(seed=0)
    ends = [env.step(np.ones((2, 3), dtype=np.float32))[3].tolist() for _ in range(5)]
    assert ends == [[False, False]] * 3 + [[True, True], [False, False]]
    env.close()


def test_stable_baselines3_trains_on_one() -> None:
    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", HOPPER, n_steps=16, batch_size=16, n_epochs=1, device="cpu")
    assert model.learn(32).num_timesteps == 32
