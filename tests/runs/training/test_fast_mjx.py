"""Rollouts with MJX mean what rollouts on the CPU mean, and the trainer learns from them.

One program is compiled for all: MJX takes long to compile on a CPU, and steps slowly there.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="physics in JAX needs it: pip install rewardsmith[mjx]")
pytest.importorskip("mujoco.mjx", reason="needs mujoco-mjx: pip install rewardsmith[mjx]")

import jax

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.reward_sources import NativeReward
from rewardsmith.runs.training.trainers import Lane, Order, Trained, Unwatched
from rewardsmith.runs.training.trainers import fast_mjx as module
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.fast import Fast, _device, _mjx_rollouts
from rewardsmith.runs.training.trainers.fast_acting import Actors, noise
from rewardsmith.runs.training.trainers.fast_jax import jax_gpu
from rewardsmith.runs.training.trainers.fast_mjx import MjxRollouts, Moments, has_form, mjx_solver
from rewardsmith.runs.training.trainers.fast_returns import Moments as HostMoments
from rewardsmith.runs.training.trainers.fast_rollout import Rollout

LANES, ENVS, STEPS, LONGEST = 2, 2, 5, 3
SMALL = {"n_envs": ENVS, "n_steps": STEPS, "batch_size": 5, "n_epochs": 1, "net_arch": [8]}
pytestmark = pytest.mark.timeout(900)  # compiling, on a machine that does more


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    settings: Any = jax.config
    settings.update("jax_disable_most_optimizations", True)
    yield
    settings.update("jax_disable_most_optimizations", False)


def cheetah() -> EnvSpec:
    return replace(find_task("HalfCheetah-v5").env, max_steps=LONGEST)


def order(seed: int, **changes: Any) -> Order:
    params = hyperparams("fast", "HalfCheetah-v5", SMALL | {"normalize_obs": True} | changes)
    return Order(cheetah(), params, seed=seed, steps=2 * STEPS * ENVS)


def lanes(count: int = LANES, **changes: Any) -> list[Lane]:
    return [Lane(order(seed, **changes), NativeReward(), Unwatched()) for seed in range(count)]


@pytest.fixture(scope="module")
def rollouts() -> MjxRollouts:
    made = _mjx_rollouts(lanes(), jax.devices("cpu")[0])
    assert made is not None
    return made


@pytest.fixture(scope="module")
def weights(rollouts: MjxRollouts) -> Any:
    spec = rollouts.plan.policy
    return np.stack(
        [network.initial(spec, -0.5, np.random.default_rng(lane)) for lane in range(LANES)]
    )


@pytest.fixture(scope="module")
def two(rollouts: MjxRollouts, weights: Any) -> tuple[Rollout, Rollout]:
    rngs = [np.random.default_rng(10 + lane) for lane in range(LANES)]
    alive = np.ones(LANES, dtype=np.bool_)
    return rollouts.collect(weights, rngs, alive), rollouts.collect(weights, rngs, alive)


@pytest.mark.slow
def test_a_rollout_has_the_shapes_of_one_on_the_cpu(two: tuple[Rollout, Rollout]) -> None:
    for rollout in two:
        shape = (STEPS, LANES, ENVS)
        assert rollout.observations.shape == (*shape, 17)
        assert rollout.actions.shape == (*shape, 6)
        for column in (rollout.log_probs, rollout.values, rollout.terminal_values, rollout.dones):
            assert column.shape == shape
        assert rollout.last_values.shape == (LANES, ENVS)
        assert len(rollout.steps) == LANES
        for steps in rollout.steps:
            assert steps.rows == STEPS * ENVS
            assert (np.abs(steps.action) <= 1).all()
            assert np.isfinite(steps.native_reward).all()


@pytest.mark.slow
def test_time_limits_end_episodes_and_the_next_begins_at_a_start(
    two: tuple[Rollout, Rollout],
) -> None:
    ended = np.concatenate([rollout.dones for rollout in two])
    wanted = (np.arange(1, 2 * STEPS + 1) % LONGEST == 0)[:, None, None]
    np.testing.assert_array_equal(ended, np.broadcast_to(wanted, ended.shape))
    for lane in range(LANES):
        starts = np.concatenate([r.steps[lane].starts for r in two]).reshape(-1, ENVS)
        first = (np.arange(2 * STEPS) % LONGEST == 0)[:, None]
        np.testing.assert_array_equal(starts, np.broadcast_to(first, starts.shape))


@pytest.mark.slow
def test_before_is_what_the_step_before_led_to_also_across_rollouts(
    two: tuple[Rollout, Rollout],
) -> None:
    for lane in range(LANES):
        for name in two[0].steps[lane].after:
            before, after = (
                np.concatenate([getattr(r.steps[lane], side)[name] for r in two]).reshape(
                    2 * STEPS, ENVS, -1
                )
                for side in ("before", "after")
            )
            for t in range(1, 2 * STEPS):
                went_on = t % LONGEST != 0
                assert (before[t] == after[t - 1]).all() == went_on or not went_on
                if not went_on:
                    assert np.abs(before[t]).max() < 2, "a reset state, near rest"


@pytest.mark.slow
def test_actions_values_and_densities_are_those_of_the_networks(
    two: tuple[Rollout, Rollout], rollouts: MjxRollouts, weights: Any
) -> None:
    rollout, spec = two[0], rollouts.plan.policy
    rngs = [np.random.default_rng(10 + lane) for lane in range(LANES)]
    drawn = [noise(spec, rng, STEPS, ENVS, -1) for rng in rngs]
    actors = Actors(spec, weights, drawn, -1)
    outs = []
    for t in range(STEPS):
        action, out, _ = actors.act(t, rollout.observations[t])
        outs.append(out)
        np.testing.assert_allclose(rollout.actions[t], action, atol=1e-5)
        np.testing.assert_allclose(
            rollout.values[t], actors.values(rollout.observations[t]), atol=1e-5
        )
    found = actors.log_probs(rollout.actions, np.stack(outs), None)
    np.testing.assert_allclose(rollout.log_probs, found, atol=1e-3)
    late = rollout.dones & (rollout.terminal_values != 0)
    np.testing.assert_array_equal(late, rollout.dones)


@pytest.mark.slow
def test_lanes_draw_from_their_own_seeds(two: tuple[Rollout, Rollout]) -> None:
    one, other = (two[0].steps[lane].after for lane in range(LANES))
    assert any((one[name] != other[name]).any() for name in one)


def test_statistics_are_those_of_the_cpu() -> None:
    rng = np.random.default_rng(0)
    there = HostMoments(LANES, (3,))
    here = Moments(np.zeros((LANES, 3)), np.ones((LANES, 3)), np.array(1e-4))
    for _ in range(4):
        values = rng.normal(2.0, 3.0, (LANES, 6, 3))
        there.update(values)
        here = here.updated(values)
    np.testing.assert_allclose(here.mean, there.mean, rtol=1e-9)
    np.testing.assert_allclose(here.var, there.var, rtol=1e-9)
    np.testing.assert_allclose(here.normalised(values), there.normalised(values), atol=1e-5)


@pytest.mark.slow
def test_the_trainer_learns_from_worlds_of_mjx() -> None:
    """The whole way: program, card, reward, advantages, update; two lanes, two rollouts."""
    results = Fast(mjx=True).train_stack(lanes())
    for result in results:
        assert isinstance(result, Trained), result
        assert result.steps == 2 * STEPS * ENVS
        assert all(np.isfinite(array).all() for array in result.policy.weights.values())
    assert results[0] != results[1]


@pytest.mark.slow
def test_there_are_no_checkpoints(rollouts: MjxRollouts) -> None:
    for capture in (lambda: rollouts.kept(0), lambda: rollouts.put_back(0, {}, {})):
        with pytest.raises(ConfigError, match="--device cpu"):
            capture()


def test_hyperparameters_name_the_solver() -> None:
    assert mjx_solver({}) == mjx_solver({"mjx_solver": "given"})
    changed = mjx_solver(order(0, mjx_solver="newton", mjx_iterations=2).hyperparams)
    assert (changed.name, changed.iterations, changed.ls_iterations) == ("newton", 2, None)
    with pytest.raises(ConfigError, match="given, newton, cg"):
        order(0, mjx_solver="pgs")


def on_auto(made: list[Lane]) -> list[Lane]:
    return [replace(lane, order=replace(lane.order, device="auto")) for lane in made]


def test_few_worlds_or_no_gpu_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        platform = "gpu"

    gpu = Gpu()
    monkeypatch.setattr("rewardsmith.runs.training.trainers.fast_jax.jax_gpu", lambda: gpu)
    few, many = (on_auto(lanes(n_envs=n)) for n in (ENVS, module.LEAST_WORLDS // LANES))
    assert _device(few).platform == "cpu"
    assert _device(many) is gpu
    monkeypatch.setattr("rewardsmith.runs.training.trainers.fast_jax.jax_gpu", lambda: None)
    assert _device(many).platform == "cpu"


def test_an_environment_without_a_form_has_none() -> None:
    assert has_form(cheetah(), mjx_solver({}))
    assert not has_form(find_task("Humanoid-v5").env, mjx_solver({})), "its solver is PGS"
    assert has_form(find_task("Humanoid-v5").env, mjx_solver({"mjx_solver": "newton"}))
    assert not has_form(find_task("CartPole-v1").env, mjx_solver({}))


@pytest.mark.gpu
def test_on_a_gpu_the_trainer_learns_as_well() -> None:
    if jax_gpu() is None:
        pytest.skip("JAX sees no GPU here")
    made = [replace(lane, order=replace(lane.order, device="cuda")) for lane in lanes()]
    for result in Fast().train_stack(made):
        assert isinstance(result, Trained), result
