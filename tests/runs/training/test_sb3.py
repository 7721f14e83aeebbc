from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pytest
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rewardsmith.envs import toy
from rewardsmith.envs.recorder import make_env
from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.policy import Policy
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.reward_wrapper import RewardWrapper
from rewardsmith.runs.training.trainers import Order, Trained, Unwatched, find_trainer
from rewardsmith.runs.training.trainers.recording import seeded
from rewardsmith.runs.training.trainers.sb3 import new_model, ppo, sac
from rewardsmith.runs.training.trainers.weights import policy_of
from rewardsmith.sandbox.failure import Failure

Columns = Mapping[str, npt.NDArray[np.float64]]
MakeReward = Any  # the class of conftest.py: a rule, and perhaps a failure
CONTINUOUS, DISCRETE = (replace(task.env, max_steps=13) for task in toy.tasks())
_MIX = np.random.default_rng(0).standard_normal((3, 3))


def with_matmul(columns: Columns, action: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    state = np.stack([columns["position"], columns["velocity"], columns["target"]], axis=1)
    effort = np.sum(action.reshape(len(action), -1) ** 2, axis=-1)
    mixed = np.sum((state @ _MIX) ** 2, axis=-1) / 50
    total: npt.NDArray[np.float64] = np.exp(-columns["distance"]) + mixed - 0.1 * effort
    return total


OFF_POLICY = {"n_envs": 3, "train_freq": 4, "gradient_steps": 2, "batch_size": 32,
              "learning_starts": 60, "net_arch": [16, 16]}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "ppo": {"n_envs": 3, "n_steps": 32, "batch_size": 48, "n_epochs": 2, "net_arch": [16, 16]},
    "a2c": {"n_envs": 3, "n_steps": 8, "net_arch": [16, 16]},
    "dqn": OFF_POLICY | {"target_update_interval": 30, "exploration_fraction": 0.6},
}


def small(algorithm: str, **changes: Any) -> dict[str, Any]:
    return hyperparams(algorithm, CONTINUOUS.id, SIZES.get(algorithm, OFF_POLICY) | changes)


def order(spec: EnvSpec, algorithm: str, steps: int, **changes: Any) -> Order:
    return Order(spec, small(algorithm, **changes), seed=5, steps=steps)


def trained(result: Trained | Failure) -> Trained:
    assert isinstance(result, Trained), result
    return result


def in_loop(make: MakeReward, spec: EnvSpec, algorithm: str, steps: int, **changes: Any) -> Policy:
    """Plain Stable-Baselines3 with the reward at every step and its own VecNormalize."""
    torch.set_num_threads(1)
    params = small(algorithm, **changes)

    def env() -> gym.Env[Any, Any]:
        return RewardWrapper(make_env(spec), make(with_matmul), spec)

    venv: Any = DummyVecEnv([env] * params["n_envs"])
    if params["normalize_obs"] or params["normalize_reward"]:
        venv = VecNormalize(
            venv,
            norm_obs=params["normalize_obs"],
            norm_reward=params["normalize_reward"],
            gamma=params["gamma"],
        )
    model = new_model(algorithm, venv, params, seed=5, device="cpu")
    seeded(venv, 5)
    model.learn(steps)
    return policy_of(model)


def assert_same(a: Policy, b: Policy) -> None:
    assert a.spec == b.spec
    for name, weights in a.weights.items():
        assert np.array_equal(weights, b.weights[name]), name


@pytest.mark.parametrize("normalize_reward", [False, True])
@pytest.mark.parametrize("normalize_obs", [False, True])
@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_deferred_ppo_ends_in_the_same_weights_as_in_loop_rewards(
    rule_reward: MakeReward, spec: EnvSpec, normalize_obs: bool, normalize_reward: bool
) -> None:
    changes = {"normalize_obs": normalize_obs, "normalize_reward": normalize_reward}
    source = rule_reward(with_matmul)
    deferred = trained(ppo.train(order(spec, "ppo", 400, **changes), source, Unwatched()))
    assert_same(deferred.policy, in_loop(rule_reward, spec, "ppo", 400, **changes))
    # 13-step time limits: the equality covers values bootstrapped at time-outs.
    assert any(steps.truncated.any() for steps in source.seen)


@pytest.mark.parametrize(
    ("algorithm", "spec", "changes"),
    [
        ("a2c", CONTINUOUS, {}),
        ("a2c", DISCRETE, {"normalize_obs": True, "normalize_reward": False}),
        ("td3", CONTINUOUS, {}),
        ("td3", CONTINUOUS, {"normalize_obs": True, "buffer_size": 150, "gradient_steps": -1}),
        ("ddpg", CONTINUOUS, {"schedule": "linear"}),
        ("dqn", DISCRETE, {"buffer_size": 150}),
    ],
)
def test_other_algorithms_end_in_the_same_weights_as_with_in_loop_rewards(
    rule_reward: MakeReward, algorithm: str, spec: EnvSpec, changes: dict[str, Any]
) -> None:
    work = order(spec, algorithm, 240, **changes)
    source = rule_reward(with_matmul)
    deferred = trained(find_trainer(algorithm).train(work, source, Unwatched()))
    assert_same(deferred.policy, in_loop(rule_reward, spec, algorithm, 240, **changes))
    assert deferred.policy.spec.kind == algorithm


@pytest.mark.parametrize(
    ("algorithm", "spec"), [("td3", DISCRETE), ("ddpg", DISCRETE), ("dqn", CONTINUOUS)]
)
def test_actions_that_an_algorithm_cannot_take_are_refused_with_the_remedy(
    algorithm: str, spec: EnvSpec
) -> None:
    with pytest.raises(ConfigError, match=rf"{algorithm.upper()} needs .*: use ppo"):
        find_trainer(algorithm).train(order(spec, algorithm, 100), NativeReward(), Unwatched())


def test_another_reward_ends_in_other_weights(rule_reward: MakeReward) -> None:
    work = order(CONTINUOUS, "ppo", 200)
    ours = trained(ppo.train(work, rule_reward(with_matmul), Unwatched()))
    native = trained(ppo.train(work, NativeReward(), Unwatched()))
    name = "action_net.weight"
    assert not np.array_equal(ours.policy.weights[name], native.policy.weights[name])


def test_the_worker_is_asked_once_per_rollout(rule_reward: MakeReward) -> None:
    source = rule_reward(with_matmul)
    result = trained(ppo.train(order(CONTINUOUS, "ppo", 400), source, Unwatched()))
    assert result.steps == 5 * 96
    assert source.calls == 5
    assert [steps.rows for steps in source.seen] == [96] * 5


@pytest.mark.parametrize("normalize_obs", [False, True])
def test_deferred_sac_ends_in_the_same_weights_as_in_loop_rewards(
    rule_reward: MakeReward, normalize_obs: bool
) -> None:
    changes = {"normalize_obs": normalize_obs, "buffer_size": 150}  # the buffer wraps around
    deferred = trained(
        sac.train(order(CONTINUOUS, "sac", 240, **changes), rule_reward(with_matmul), Unwatched())
    )
    assert_same(deferred.policy, in_loop(rule_reward, CONTINUOUS, "sac", 240, **changes))


def test_sac_with_discrete_actions_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match="use ppo"):
        sac.train(order(DISCRETE, "sac", 100), NativeReward(), Unwatched())


def test_a_failure_of_the_reward_stops_the_training_with_it(rule_reward: MakeReward) -> None:
    failure = Failure(kind="timeout", text="took too long")
    source = rule_reward(with_matmul, failure=failure, fail_at=2)
    assert ppo.train(order(CONTINUOUS, "ppo", 4000), source, Unwatched()) is failure
    assert source.calls == 3


@pytest.mark.parametrize(
    ("size", "changes"),
    [(1e300, {}), (1e38, {"normalize_reward": False, "learning_rate": 1.0})],
    ids=["beyond single precision", "weights blow up"],
)
def test_a_reward_that_tears_the_policy_apart_is_a_divergence(
    rule_reward: MakeReward, size: float, changes: dict[str, Any]
) -> None:
    source = rule_reward(lambda columns, action: size * columns["position"])
    result = ppo.train(order(CONTINUOUS, "ppo", 2000, **changes), source, Unwatched())
    assert isinstance(result, Failure)
    assert result.kind == "diverged"


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    work = order(CONTINUOUS, "ppo", 200)
    train = partial(ppo.train, reward=NativeReward(), watch=Unwatched())
    first, second = trained(train(work)), trained(train(work))
    assert_same(first.policy, second.policy)
    other = trained(train(replace(work, seed=6)))
    name = "action_net.weight"
    assert not np.array_equal(first.policy.weights[name], other.policy.weights[name])


def test_terminal_rows_hold_the_terminal_state_and_starts_the_reset_state(
    rule_reward: MakeReward,
) -> None:
    source = rule_reward(with_matmul)
    trained(ppo.train(order(CONTINUOUS, "ppo", 200), source, Unwatched()))
    steps = source.seen[0]
    ended = np.flatnonzero(steps.truncated)
    position, before = steps.after["position"], steps.before["position"]
    following = ended + steps.num_envs
    following = following[following < steps.rows]
    # After a reset the point stands within 0.2 of the middle; the row before kept where it ended.
    assert np.all(np.abs(before[following]) <= 0.2)
    assert steps.starts[following].all()
    inner = np.flatnonzero(~steps.starts[3:]) + 3
    assert np.array_equal(before[inner], position[inner - 3])


def test_no_reward_program_is_sent_a_hidden_field(rule_reward: MakeReward) -> None:
    source = rule_reward(with_matmul)
    trained(ppo.train(order(CONTINUOUS, "ppo", 90), source, Unwatched()))
    assert set(source.seen[0].after) == {field.name for field in CONTINUOUS.fields}


def test_trained_models_are_those_of_stable_baselines3() -> None:
    params = small("ppo", batch_size=32)
    venv = DummyVecEnv([lambda: make_env(CONTINUOUS)])
    assert isinstance(new_model("ppo", venv, params, seed=0, device="cpu"), PPO)
    assert isinstance(new_model("sac", venv, small("sac"), seed=0, device="cpu"), SAC)
    with pytest.raises(ConfigError, match="refused"):
        new_model("ppo", venv, params | {"nonsense": 1}, seed=0, device="cpu")


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_the_optimiser_is_stable_baselines3s_own_but_for_being_fused(algorithm: Any) -> None:
    venv = DummyVecEnv([lambda: make_env(CONTINUOUS)])
    model: Any = new_model(algorithm, venv, small(algorithm, batch_size=32), seed=0, device="cpu")
    plain: Any = (
        PPO("MlpPolicy", venv, n_steps=64, device="cpu")
        if algorithm == "ppo"
        else SAC("MlpPolicy", venv, device="cpu")
    )
    ours, theirs = (
        getattr(made.policy, "actor", made.policy).optimizer.defaults for made in (model, plain)
    )
    for name in ("eps", "betas", "weight_decay", "amsgrad"):
        assert ours[name] == theirs[name], name
