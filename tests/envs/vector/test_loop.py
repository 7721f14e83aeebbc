"""The batch that any Gymnasium environment can be turned into."""

import numpy as np

from rewardsmith.envs.columns import layout
from rewardsmith.envs.recorder import KEY, make_env
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.vector.loop import LoopEnv

SPEC = find_task("Hopper-v5").env
ACTION = np.array([0.3, -0.2, 0.1], dtype=np.float32)


def test_a_batch_gives_what_the_environment_gives() -> None:
    env, batch = make_env(SPEC), LoopEnv(SPEC, 2)
    seen, _ = env.reset(seed=5)
    assert np.array_equal(batch.reset([4, 5])[1], seen)
    for _ in range(20):
        seen, _, terminated, _, info = env.step(ACTION)
        step = batch.step(np.stack([ACTION, ACTION]))
        assert np.array_equal(step.final_observation[1], seen)
        assert np.array_equal(step.after[1], info[KEY].after)
        assert np.array_equal(step.before[1], info[KEY].before)
        assert step.native_reward[1] == info[KEY].native_reward
        assert step.terminated[1] == terminated


def test_an_ended_episode_is_reset_at_once_and_its_last_row_is_the_terminal_one() -> None:
    batch = LoopEnv(SPEC, 1)
    batch.reset([0])
    push = np.ones((1, 3), dtype=np.float32)
    step = batch.step(push)
    while not step.terminated[0]:
        step = batch.step(push)
    assert not np.array_equal(step.observation, step.final_observation)
    after = batch.step(push)
    assert after.starts[0]
    assert not np.array_equal(after.before[0], step.after[0])


def test_a_restored_environment_goes_on_to_the_bit() -> None:
    batch = LoopEnv(SPEC, 2)
    batch.reset([1, 2])
    for _ in range(5):
        batch.step(np.stack([ACTION, -ACTION]))
    state = batch.capture(1)
    assert state is not None
    one = batch.step(np.stack([ACTION, ACTION]))
    batch.reset([3, 4])
    batch.restore(0, state)
    two = batch.step(np.stack([ACTION, ACTION]))
    assert np.array_equal(one.final_observation[1], two.final_observation[0])
    assert np.array_equal(one.after[1], two.after[0])


def test_rows_have_the_card_s_width() -> None:
    batch = LoopEnv(SPEC, 1)
    batch.reset([0])
    assert batch.step(ACTION[None]).after.shape == (1, layout(SPEC).width)


def test_discrete_actions_and_environments_without_a_simulator() -> None:
    batch = LoopEnv(find_task("LunarLander-v3").env, 2)
    assert batch.reset([0, 1]).shape == (2, 8)
    assert batch.step(np.array([0, 2])).observation.shape == (2, 8)
    assert batch.capture(0) is None
