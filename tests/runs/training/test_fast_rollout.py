"""Rollouts and what is made of them, against a training of Stable-Baselines3 that stands still."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

from rewardsmith.envs import toy
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.envs.vector import Transition
from rewardsmith.envs.vector.loop import LoopEnv
from rewardsmith.errors import TrainingError
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Lane, Order, Unwatched
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.deferred import OnPolicy, ReturnScale
from rewardsmith.runs.training.trainers.fast import _policy_spec, _rollouts, _rule, _Stack
from rewardsmith.runs.training.trainers.fast_rollout import CpuRollouts, Plan
from rewardsmith.runs.training.trainers.fast_update import STATS, Samples, Told
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv, seeded
from rewardsmith.runs.training.trainers.sb3 import new_model, normalised
from rewardsmith.runs.training.trainers.weights import policy_of

CONTINUOUS, DISCRETE = (replace(task.env, max_steps=7) for task in toy.tasks())
ENVS, STEPS, ROLLOUTS = 3, 20, 3


def params_of(spec: EnvSpec, **changes: Any) -> dict[str, Any]:
    sizes = {"n_envs": ENVS, "n_steps": STEPS, "batch_size": 30, "n_epochs": 1, "net_arch": [8]}
    return hyperparams("ppo", spec.id, sizes | {"normalize_obs": True} | changes)


class Noted(BaseCallback):
    """Keeps each rollout as Stable-Baselines3 is about to learn from it, after the rewards."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer: Any = self.model.rollout_buffer  # type: ignore[attr-defined]
        names = ("observations", "actions", "log_probs", "values", "advantages", "returns")
        self.buffers.append({name: getattr(buffer, name).copy() for name in names})


def theirs(spec: EnvSpec, params: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """Plays some rollouts without learning anything; returns them and the policy."""
    recorder = RecordingVecEnv(spec, ENVS)
    env = normalised(recorder, params)
    model: Any = new_model("ppo", env, params | {"learning_rate": 0.0}, seed=5, device="cpu")
    seeded(recorder, 5)
    noted = Noted()
    deferred = OnPolicy(NativeReward(), Unwatched(), recorder, ReturnScale(ENVS, params["gamma"]))
    model.learn(ROLLOUTS * ENVS * STEPS, callback=[deferred, noted])
    return noted.buffers, policy_of(model)


class Standing:
    """An update that learns nothing and keeps what it was given."""

    compile_s = 0.0

    def __init__(self) -> None:
        self.given: list[Samples] = []

    def __call__(self, learner: Any, rate: float, samples: Samples, orders: Any) -> Any:
        self.given.append(samples)
        return learner, Told(np.zeros((1, 1, len(STATS))), np.ones((1, 1), bool))


def test_rollouts_rewards_and_advantages_are_those_of_stable_baselines3() -> None:
    # So little noise that both act alike; the way to advantages leads through all the rest.
    params = params_of(CONTINUOUS, log_std_init=-25.0)
    buffers, policy = theirs(CONTINUOUS, params)
    order = Order(CONTINUOUS, params, seed=5, steps=ROLLOUTS * ENVS * STEPS)
    lanes = [Lane(order, NativeReward(), Unwatched())]
    rollouts, update = _rollouts(lanes), Standing()
    spec = policy.spec.model_copy(update={"normalisation": None})
    stack = _Stack(lanes, _rule(params, spec), rollouts, update)  # type: ignore[arg-type]
    flat = network.packed(spec, policy.weights)
    stack._lanes[0].learner = stack._lanes[0].learner._replace(weights=flat)
    stack.run()
    assert len(update.given) == len(buffers) == ROLLOUTS
    for samples, buffer in zip(update.given, buffers, strict=True):
        for name in ("observations", "actions", "advantages", "returns"):
            ours = getattr(samples, name)
            np.testing.assert_allclose(ours, buffer[name].reshape(ours.shape), atol=2e-5)
    ours, found = rollouts.normalisation(0), policy.spec.normalisation
    assert ours is not None
    assert found is not None
    np.testing.assert_allclose(ours.mean, found.mean, atol=1e-7)
    np.testing.assert_allclose(ours.var, found.var, rtol=1e-6)


def made(spec: EnvSpec, lanes: int, env: Any = None, **changes: Any) -> CpuRollouts:
    params = params_of(spec, **changes)
    env = env or LoopEnv(spec, ENVS * lanes)
    policy = _policy_spec(spec, env.observation_size, params)
    sde_every = params.get("sde_sample_freq", -1)
    plan = Plan(spec, policy, ENVS, STEPS, params["normalize_obs"], sde_every)
    return CpuRollouts(plan, env, [[100 * k + i for i in range(ENVS)] for k in range(lanes)])


def fresh(rollouts: CpuRollouts, lanes: int) -> tuple[Any, list[np.random.Generator]]:
    rngs = [np.random.default_rng(k) for k in range(lanes)]
    spec = rollouts.plan.policy
    return np.stack([network.initial(spec, 0.0, rng) for rng in rngs]), rngs


CHANGES: dict[str, tuple[EnvSpec, dict[str, Any]]] = {
    "gaussian": (CONTINUOUS, {}),
    "categorical": (DISCRETE, {}),
    "relu, as it is": (CONTINUOUS, {"activation": "relu", "normalize_obs": False}),
    "state-dependent": (CONTINUOUS, {"use_sde": True, "sde_sample_freq": 6}),
}
KINDS = pytest.mark.parametrize(("spec", "changes"), CHANGES.values(), ids=CHANGES)


def same(one: Steps, other: Steps) -> bool:
    names = ("action", "terminated", "truncated", "starts", "native_reward")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    pairs += [(one.after[name], other.after[name]) for name in one.after]
    pairs += [(one.before[name], other.before[name]) for name in one.before]
    return all(np.array_equal(a, b) for a, b in pairs)


@KINDS
def test_a_lane_sees_the_same_bits_alone_and_beside_others(
    spec: EnvSpec, changes: dict[str, Any]
) -> None:
    together = made(spec, 3, **changes)
    alone = made(spec, 1, **changes)
    weights, rngs = fresh(together, 3)
    again = fresh(alone, 1)[1]
    for _ in range(2):
        whole = together.collect(weights, rngs, np.ones(3, bool))
        one = alone.collect(weights[:1], again, np.ones(1, bool))
        for name in ("observations", "actions", "log_probs", "values", "terminal_values", "dones"):
            assert np.array_equal(getattr(whole, name)[:, :1], getattr(one, name)), name
        assert np.array_equal(whole.last_values[:1], one.last_values)
        assert same(whole.steps[0], one.steps[0])


@KINDS
def test_log_probabilities_and_values_are_those_of_what_was_seen_and_done(
    spec: EnvSpec, changes: dict[str, Any]
) -> None:
    import jax.numpy as jnp

    from rewardsmith.runs.training.trainers.fast_update import _action_terms

    rollouts = made(spec, 2, **changes)
    weights, rngs = fresh(rollouts, 2)
    found = rollouts.collect(weights, rngs, np.ones(2, bool))
    policy = rollouts.plan.policy
    for lane in range(2):
        named = network.unpacked(policy, jnp.asarray(weights[lane]))
        rows = (column[:, lane] for column in (found.observations, found.actions))
        seen, actions = (column.reshape(-1, *column.shape[2:]) for column in rows)
        batch = Samples(seen, actions, None, None, None)
        log_probs, _ = _action_terms(policy, named, batch)
        np.testing.assert_allclose(log_probs, found.log_probs[:, lane].reshape(-1), atol=3e-6)
        values = network.values(jnp, policy, named, seen)
        np.testing.assert_allclose(values, found.values[:, lane].reshape(-1), atol=3e-6)


def test_only_time_limits_are_credited_with_what_would_have_come() -> None:
    rollouts = made(CONTINUOUS, 1)
    weights, rngs = fresh(rollouts, 1)
    found = rollouts.collect(weights, rngs, np.ones(1, bool))
    late = found.steps[0].truncated & ~found.steps[0].terminated
    assert late.any()
    assert np.array_equal(found.terminal_values.reshape(-1) != 0, late)


def test_actions_beyond_the_bounds_are_clipped_for_the_environment_alone() -> None:
    rollouts = made(CONTINUOUS, 1)
    weights, rngs = fresh(rollouts, 1)
    found = rollouts.collect(weights, rngs, np.ones(1, bool))
    drawn, taken = found.actions.reshape(-1), found.steps[0].action.reshape(-1)
    assert np.abs(drawn).max() > 1.0
    assert np.array_equal(taken, np.clip(drawn, -1.0, 1.0))


def test_a_lane_that_has_ended_stands_still_and_disturbs_no_other() -> None:
    both, one_dead = made(CONTINUOUS, 2), made(CONTINUOUS, 2)
    weights, rngs = fresh(both, 2)
    again = fresh(one_dead, 2)[1]
    whole = both.collect(weights, rngs, np.array([True, True]))
    rest = one_dead.collect(weights, again, np.array([True, False]))
    assert same(whole.steps[0], rest.steps[0])
    assert not rest.steps[1].action.any()
    assert whole.steps[1].action.any()


class Broken(LoopEnv):
    """Gives NaN where the first environment's first field was."""

    def step(self, actions: Any) -> Transition:
        transition = super().step(actions)
        transition.after[0, 0] = np.nan
        return transition


def test_a_simulation_that_blew_up_is_named_with_the_field() -> None:
    rollouts = made(CONTINUOUS, 1, Broken(CONTINUOUS, ENVS))
    weights, rngs = fresh(rollouts, 1)
    with pytest.raises(TrainingError, match=rf"NaN.*{CONTINUOUS.fields[0].name}"):
        rollouts.collect(weights, rngs, np.ones(1, bool))
