"""Whole trainings against Stable-Baselines3's own, both drawing the same random numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rewardsmith.envs import toy
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec
from rewardsmith.runs.training.policy import Float32Array, Policy
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Lane, Order, Trained, Unwatched
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.deferred import OnPolicy, ReturnScale
from rewardsmith.runs.training.trainers.fast import _rollouts, _rule, _Stack
from rewardsmith.runs.training.trainers.fast_jax import jax_device
from rewardsmith.runs.training.trainers.fast_update import beginner, compiled
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv, seeded
from rewardsmith.runs.training.trainers.sb3 import new_model, normalised
from rewardsmith.runs.training.trainers.weights import policy_of

SEED, NOISE_SEED = 5, 11
ENVS, STEPS, ROLLOUTS = 4, 24, 5
SIZES = {"n_envs": ENVS, "n_steps": STEPS, "batch_size": 32, "net_arch": [16, 12]}


class Theirs:
    """The random numbers that Stable-Baselines3 draws after these seeds, as a generator."""

    def __init__(self) -> None:
        self._order = np.random.RandomState(SEED)
        self._noise = torch.Generator().manual_seed(NOISE_SEED)

    def permutation(self, rows: int) -> Any:
        # Its buffer lies environment by environment, that of `fast` step by step.
        env, step = np.divmod(self._order.permutation(rows), rows // ENVS)
        return step * ENVS + env

    def standard_normal(self, shape: tuple[int, ...], dtype: Any) -> Float32Array:
        zeros = torch.zeros(shape[1:])
        drawn = [torch.normal(zeros, 1.0, generator=self._noise) for _ in range(shape[0])]
        found: Float32Array = torch.stack(drawn).numpy().astype(dtype)
        return found


def theirs(order: Order) -> tuple[Policy, Policy]:
    """Returns the policies of ``ppo`` before and after a training."""
    params: Any = order.hyperparams
    recorder = RecordingVecEnv(order.env, ENVS)
    model: Any = new_model("ppo", normalised(recorder, params), params, seed=SEED, device="cpu")
    seeded(recorder, SEED)
    begin = policy_of(model)
    torch.manual_seed(NOISE_SEED)
    scale = ReturnScale(ENVS, params["gamma"])
    model.learn(order.steps, callback=OnPolicy(NativeReward(), Unwatched(), recorder, scale))
    recorder.close()
    return begin, policy_of(model)


def ours(order: Order, begin: Policy) -> Policy:
    """Returns the policy of ``fast`` after a training from the same weights."""
    lanes = [Lane(order, NativeReward(), Unwatched())]
    rollouts = _rollouts(lanes)
    rule = _rule(order.hyperparams, rollouts.plan.policy)
    stack = _Stack(lanes, rule, rollouts, compiled(rule, ENVS * STEPS, jax_device("cpu")))
    stack._lanes[0].learner = beginner(network.packed(rule.spec, begin.weights))
    stack._lanes[0].rng = Theirs()  # type: ignore[assignment]
    (found,) = stack.run()
    rollouts.close()
    assert isinstance(found, Trained)
    return found.policy


def cut(spec: EnvSpec, max_steps: int) -> EnvSpec:
    return replace(spec, max_steps=max_steps)


# Episodes end by time within a rollout and across its end; those of Hopper also by a fall. They
# are short for HalfCheetah: where its feet hit the ground, the least difference grows tenfold.
CASES: dict[str, tuple[EnvSpec, dict[str, Any]]] = {
    "toy": (cut(toy.tasks()[0].env, 13), {"normalize_obs": True, "schedule": "linear"}),
    "HalfCheetah": (cut(find_task("HalfCheetah-v5").env, 5), {}),
    "Hopper": (cut(find_task("Hopper-v5").env, 17), {"log_std_init": 0.5}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_whole_training_is_that_of_stable_baselines3_where_both_draw_alike(case: str) -> None:
    spec, changes = CASES[case]
    order = Order(
        spec,
        hyperparams("ppo", spec.id, SIZES | changes),
        seed=SEED,
        steps=ROLLOUTS * ENVS * STEPS,
    )
    begin, wanted = theirs(order)
    found = ours(order, begin)
    for name, weights in wanted.weights.items():
        assert np.max(np.abs(weights - begin.weights[name])) > 1e-3, name
        assert np.max(np.abs(weights - found.weights[name])) < 1e-5, name
    mine, known = found.spec.normalisation, wanted.spec.normalisation
    assert mine is not None
    assert known is not None
    np.testing.assert_allclose(mine.mean, known.mean, atol=1e-5)
    np.testing.assert_allclose(mine.var, known.var, rtol=1e-5)
    assert found.spec == wanted.spec.model_copy(update={"normalisation": mine})
