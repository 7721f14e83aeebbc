"""The update against Stable-Baselines3's own: equal weights, rollouts and minibatches."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import Logger

from rewardsmith.envs import toy
from rewardsmith.envs.task import EnvSpec
from rewardsmith.runs.training.policy import PolicySpec
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.fast import _rule
from rewardsmith.runs.training.trainers.fast_jax import jax_device
from rewardsmith.runs.training.trainers.fast_lane import means
from rewardsmith.runs.training.trainers.fast_update import (
    Learner,
    Samples,
    Told,
    beginner,
    compiled,
)
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv
from rewardsmith.runs.training.trainers.sb3 import new_model, normalised
from rewardsmith.runs.training.trainers.weights import policy_of

CONTINUOUS, DISCRETE = (replace(task.env, max_steps=13) for task in toy.tasks())
ENVS, STEPS = 4, 48


def model_of(spec: Any, **changes: Any) -> tuple[PPO, dict[str, Any]]:
    sizes = {"n_envs": ENVS, "n_steps": STEPS, "batch_size": 32, "n_epochs": 4}
    params = hyperparams("ppo", spec.id, sizes | {"net_arch": [16, 12], **changes})
    env = normalised(RecordingVecEnv(spec, ENVS), params)
    model: Any = new_model("ppo", env, params, seed=3, device="cpu")
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model, params


def filled(model: PPO, seed: int) -> Samples:
    """Has the model play a rollout, invents rewards for it, and returns the rows of its buffer."""
    _, callback = model._setup_learn(10**6, CallbackList([]))
    buffer: Any = model.rollout_buffer
    model.collect_rollouts(model.env, callback, buffer, STEPS)  # type: ignore[arg-type]
    buffer.rewards[:] = np.random.default_rng(seed).standard_normal(buffer.rewards.shape)
    buffer.compute_returns_and_advantage(torch.zeros(ENVS), np.zeros(ENVS, bool))
    columns = (
        buffer.observations, buffer.actions, buffer.log_probs, buffer.advantages, buffer.returns,
    )  # fmt: skip
    rows = [buffer.swap_and_flatten(column).copy() for column in columns]
    seen, actions, *numbers = rows
    if actions.dtype.kind == "i":
        actions = actions[:, 0].astype(np.int32)
    return Samples(seen, actions, *(column[:, 0] for column in numbers))


def orders(seed: int, epochs: int) -> Any:
    """Returns the orders that Stable-Baselines3 draws after ``np.random.seed(seed)``."""
    np.random.seed(seed)
    drawn = [np.random.permutation(ENVS * STEPS) for _ in range(epochs)]
    np.random.seed(seed)
    return np.array(drawn, np.int32)


def both(spec: Any, updates: int = 1, **changes: Any) -> tuple[Any, Any, PPO, list[Told]]:
    """Updates both from equal weights; returns weights by name, ours and theirs."""
    model, params = model_of(spec, **changes)
    policy = policy_of(model).spec.model_copy(update={"normalisation": None})
    rule = _rule(params, policy)
    update = compiled(rule, ENVS * STEPS, jax_device("cpu"))
    learner = beginner(network.packed(policy, policy_of(model).weights))
    told = []
    for i in range(updates):
        samples = filled(model, i)
        order = orders(i, rule.n_epochs)
        learner, news = update(learner, params["learning_rate"], samples, order)
        told.append(news)
        model.train()
    return network.unpacked(policy, learner.weights), policy_of(model).weights, model, told


CASES: dict[str, tuple[EnvSpec, dict[str, Any]]] = {
    "gaussian": (CONTINUOUS, {}),
    "categorical": (DISCRETE, {}),
    "relu": (CONTINUOUS, {"activation": "relu"}),
    "state-dependent": (CONTINUOUS, {"use_sde": True, "log_std_init": -1.0}),
    "entropy": (DISCRETE, {"ent_coef": 0.05, "vf_coef": 0.2}),
    "a smaller last minibatch": (CONTINUOUS, {"batch_size": 40}),
    "one minibatch": (CONTINUOUS, {"batch_size": 192}),
    "clipped gradients": (CONTINUOUS, {"max_grad_norm": 0.01}),
    "advantages as they are": (CONTINUOUS, {"normalize_advantage": False}),
    "a fast rate": (CONTINUOUS, {"learning_rate": 3e-3, "clip_range": 0.05}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_two_updates_end_within_1e_5_of_stable_baselines3s(case: str) -> None:
    spec, changes = CASES[case]
    ours, theirs, _, _ = both(spec, updates=2, **changes)
    for name, weights in theirs.items():
        assert np.max(np.abs(ours[name] - weights)) < 1e-5, name


def test_what_an_update_tells_of_itself_is_what_stable_baselines3_logs() -> None:
    _, _, model, told = both(CONTINUOUS, learning_rate=2e-3)
    logged = model.logger.name_to_value
    for name, value in means(told[0]).items():
        assert value == pytest.approx(logged[f"train/{name}"], rel=2e-3, abs=2e-6), name


def test_an_update_ends_where_the_policy_has_moved_far_enough() -> None:
    changes: dict[str, Any] = {"target_kl": 0.004, "learning_rate": 3e-3, "n_epochs": 6}
    ours, theirs, model, told = both(CONTINUOUS, **changes)
    for name, weights in theirs.items():
        assert np.max(np.abs(ours[name] - weights)) < 1e-5, name
    ran = told[0].ran.reshape(-1)
    assert 1 < ran.sum() < len(ran)
    assert ran[: ran.sum()].all()
    approx_kl = model.logger.name_to_value["train/approx_kl"]
    assert means(told[0])["approx_kl"] == pytest.approx(approx_kl, rel=1e-2)


def test_an_update_is_compiled_once_per_rule_and_size() -> None:
    spec = PolicySpec(kind="ppo", observation_size=3, action_shape=(1,), hidden=(4,))
    rule = _rule(hyperparams("ppo", "Hopper-v5"), spec)
    device = jax_device("cpu")
    assert compiled(rule, 64, device) is compiled(rule, 64, device)
    assert compiled(rule, 64, device).compile_s > 0


def test_the_same_rows_give_the_same_weights_to_the_bit() -> None:
    spec = PolicySpec(kind="ppo", observation_size=3, action_shape=(1,), hidden=(4,))
    rule = _rule(hyperparams("ppo", "Hopper-v5"), spec)
    rng = np.random.default_rng(0)
    shapes = ((64, 3), (64, 1), (64,), (64,), (64,))
    samples = Samples(*(rng.standard_normal(shape, dtype=np.float32) for shape in shapes))
    order = np.array([rng.permutation(64) for _ in range(10)], np.int32)
    update = compiled(rule, 64, jax_device("cpu"))
    learner = beginner(network.initial(spec, 0.0, rng))
    first, second = (update(learner, 1e-3, samples, order)[0] for _ in range(2))
    assert isinstance(first, Learner)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert first.count == 10
