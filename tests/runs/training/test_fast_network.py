from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rewardsmith.envs import toy
from rewardsmith.runs.training.policy import PolicySpec, shapes
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv
from rewardsmith.runs.training.trainers.sb3 import new_model
from rewardsmith.runs.training.trainers.weights import policy_of

CONTINUOUS = replace(toy.tasks()[0].env, max_steps=13)
SPEC = PolicySpec(kind="ppo", observation_size=5, action_shape=(2,), hidden=(8, 6))


def test_unpacking_undoes_packing_for_one_policy_and_for_a_stack() -> None:
    rng = np.random.default_rng(0)
    one = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes(SPEC).items()}
    flat = network.packed(SPEC, one)
    assert flat.shape == (network.size(SPEC),)
    for name, array in network.unpacked(SPEC, np.stack([flat, 2 * flat])).items():
        assert np.array_equal(array[0], one[name])
        assert np.array_equal(array[1], 2 * one[name])


def test_fresh_weights_are_orthogonal_with_the_gains_of_stable_baselines3() -> None:
    found = network.unpacked(SPEC, network.initial(SPEC, -0.5, np.random.default_rng(1)))
    gains: dict[str, float] = {"action_net.weight": 0.01, "value_net.weight": 1.0}
    for name, array in found.items():
        if name.endswith("bias"):
            assert not array.any()
        elif name == "log_std":
            assert array.tolist() == [-0.5, -0.5]
        else:
            small = array @ array.T if array.shape[0] <= array.shape[1] else array.T @ array
            gain = gains.get(name, 2**0.5)
            np.testing.assert_allclose(small, gain**2 * np.eye(len(small)), atol=1e-6)


def test_fresh_weights_follow_the_generator_alone() -> None:
    first, second, other = (
        network.initial(SPEC, 0.0, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("changes", [{}, {"activation": "relu"}, {"use_sde": True}])
def test_values_and_log_probabilities_are_those_of_stable_baselines3(
    changes: dict[str, Any],
) -> None:
    import jax.numpy as jnp

    params = hyperparams("ppo", CONTINUOUS.id, {"net_arch": [16, 8], "batch_size": 32, **changes})
    vec = RecordingVecEnv(CONTINUOUS, int(params["n_envs"]))
    model: Any = new_model("ppo", vec, params, seed=1, device="cpu")
    spec, weights = policy_of(model).spec, policy_of(model).weights
    rng = np.random.default_rng(2)
    seen = rng.standard_normal((7, spec.observation_size)).astype(np.float32)
    action = rng.standard_normal((7, 1)).astype(np.float32)
    with torch.no_grad():
        values, log_probs, _ = model.policy.evaluate_actions(
            torch.as_tensor(seen), torch.as_tensor(action)
        )
    for xp in (np, jnp):
        hidden = network.latent(xp, spec, weights, "policy", seen)
        mean = network.affine(xp, weights, "action_net", hidden)
        log_std = weights["log_std"]
        if spec.use_sde:
            log_std = network.sde_log_std(xp, hidden, log_std)
        found = network.gaussian_log_prob(xp, action, mean, log_std)
        np.testing.assert_allclose(found, log_probs.numpy(), atol=2e-6)
        ours = network.values(xp, spec, weights, seen)
        np.testing.assert_allclose(ours, values.numpy()[:, 0], atol=2e-6)


def test_log_softmax_is_exact_for_large_and_equal_logits() -> None:
    found = network.log_softmax(np, np.array([[1e4, 1e4], [0.0, -1e4]], np.float32))
    np.testing.assert_allclose(found, [[-np.log(2), -np.log(2)], [0.0, -1e4]], rtol=1e-6)
