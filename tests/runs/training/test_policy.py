import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from stable_baselines3.common.vec_env import DummyVecEnv

from rewardsmith.envs import toy
from rewardsmith.envs.recorder import make_env
from rewardsmith.errors import TrainingError
from rewardsmith.runs.training.policy import (
    SPEC_FILE,
    WEIGHTS_FILE,
    Normalisation,
    Policy,
    PolicySpec,
    checked,
    load_policy,
    save_policy,
    shapes,
)
from rewardsmith.runs.training.presets import hyperparams
from rewardsmith.runs.training.trainers.sb3 import new_model, normalised
from rewardsmith.runs.training.trainers.weights import policy_of

CONTINUOUS, DISCRETE = (task.env for task in toy.tasks())
CASES = [
    ("ppo", CONTINUOUS, {"normalize_obs": True, "activation": "tanh"}),
    ("ppo", CONTINUOUS, {"normalize_obs": False, "activation": "relu", "net_arch": [32]}),
    ("ppo", CONTINUOUS, {"normalize_obs": True, "use_sde": True}),
    ("ppo", DISCRETE, {"normalize_obs": True, "net_arch": []}),
    ("ppo", DISCRETE, {"normalize_obs": False}),
    ("sac", CONTINUOUS, {"normalize_obs": False}),
    ("sac", CONTINUOUS, {"normalize_obs": True, "activation": "tanh", "net_arch": [24, 16]}),
]


def model_of(algorithm: str, spec: Any, changes: dict[str, Any]) -> tuple[Any, Any]:
    small = {"n_steps": 16, "batch_size": 16} if algorithm == "ppo" else {"buffer_size": 50}
    params = hyperparams(algorithm, spec.id, small | changes)
    env: Any = normalised(DummyVecEnv([lambda: make_env(spec)]), params)
    model = new_model(algorithm, env, params, seed=1, device="cpu")
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3)
    if params["normalize_obs"]:
        rng = np.random.default_rng(0)
        env.obs_rms.update(rng.standard_normal((50, 3)) * [1, 20, 0.1] + [0, 3, 8])
    return model, env


@pytest.mark.parametrize(("algorithm", "spec", "changes"), CASES)
def test_the_numpy_policy_acts_as_stable_baselines3_does(
    algorithm: str, spec: Any, changes: dict[str, Any], tmp_path: Path
) -> None:
    model, env = model_of(algorithm, spec, changes)
    save_policy(policy_of(model), tmp_path)
    policy = load_policy(tmp_path)
    for observation in 4 * np.random.default_rng(1).standard_normal((60, 3)).astype(np.float32):
        seen = env.normalize_obs(observation) if changes["normalize_obs"] else observation
        wanted, _ = model.predict(seen, deterministic=True)
        found = policy(observation)
        assert np.shape(found) == spec.action.shape
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_policy_stored_and_loaded_is_the_same_to_the_bit(tmp_path: Path) -> None:
    model, _ = model_of("ppo", CONTINUOUS, {"normalize_obs": True})
    policy = policy_of(model)
    save_policy(policy, tmp_path)
    again = load_policy(tmp_path)
    assert again.spec == policy.spec
    observation = np.array([0.1, -3.0, 1.7])
    assert np.array_equal(again(observation), policy(observation))
    assert {p.name for p in tmp_path.iterdir()} == {WEIGHTS_FILE, SPEC_FILE}


def test_extreme_observations_are_clipped_like_in_training() -> None:
    norm = Normalisation(mean=(0.0,), var=(0.0,), clip=10.0, epsilon=1e-8)
    spec = PolicySpec(
        kind="linear", observation_size=1, action_shape=(1,), low=(-100.0,), high=(None,),
        normalisation=norm,
    )  # fmt: skip
    weights = {"action_net.weight": [[1.0]], "action_net.bias": [0.0]}
    policy = Policy(spec, {k: np.array(v, dtype=np.float32) for k, v in weights.items()})
    assert policy([1e6]) == pytest.approx(10.0)
    assert policy([-1e6]) == pytest.approx(-10.0)


def linear() -> tuple[PolicySpec, dict[str, Any]]:
    spec = PolicySpec(kind="linear", observation_size=3, action_shape=(), count=2)
    return spec, {name: np.ones(shape, np.float32) for name, shape in shapes(spec).items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action_net.bias": None}, "missing"),
        ({"extra": np.ones(2, np.float32)}, "unknown"),
        ({"action_net.bias": np.ones(3, np.float32)}, "float32\\[3\\]"),
        ({"action_net.bias": np.ones(2)}, "float64"),
        ({"action_net.bias": np.array([1, np.nan], np.float32)}, "not finite"),
    ],
)
def test_weights_that_the_spec_does_not_want_are_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    spec, weights = linear()
    weights = {k: v for k, v in (weights | change).items() if v is not None}
    with pytest.raises(TrainingError, match=message):
        checked(spec, weights)
    (tmp_path / SPEC_FILE).write_text(spec.model_dump_json())
    (tmp_path / WEIGHTS_FILE).write_bytes(save(weights))
    with pytest.raises(TrainingError, match=message):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        ({"mean": (0.0,), "var": (1.0,), "clip": 10.0, "epsilon": 1e-8}, "observations of 3"),
        ({"mean": (0.0,) * 3, "var": (-1.0,) * 3, "clip": 10.0, "epsilon": 1e-8}, "variance"),
        ({"mean": (0.0,) * 3, "var": (1.0,) * 3, "clip": 0.0, "epsilon": 1e-8}, "clip"),
    ],
)
def test_statistics_that_cannot_be_are_refused(norm: dict[str, Any], message: str) -> None:
    spec, weights = linear()
    broken = spec.model_copy(update={"normalisation": Normalisation(**norm)})
    with pytest.raises(TrainingError, match=message):
        checked(broken, weights)


def test_a_folder_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no readable policy"):
        load_policy(tmp_path)


@pytest.mark.parametrize("content", ["{", '{"kind": "ppo"}', '{"kind": "pickle"}'])
def test_a_damaged_spec_is_refused(content: str, tmp_path: Path) -> None:
    spec, weights = linear()
    save_policy(checked(spec, weights), tmp_path)
    (tmp_path / SPEC_FILE).write_text(content)
    with pytest.raises(TrainingError, match="no readable policy"):
        load_policy(tmp_path)


def test_cut_off_weights_are_refused(tmp_path: Path) -> None:
    spec, weights = linear()
    save_policy(checked(spec, weights), tmp_path)
    path = tmp_path / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(TrainingError, match="no readable policy"):
        load_policy(tmp_path)


def test_the_files_hold_plain_numbers_alone(tmp_path: Path) -> None:
    spec, weights = linear()
    save_policy(checked(spec, weights), tmp_path)
    assert json.loads((tmp_path / SPEC_FILE).read_text())["kind"] == "linear"
    arrays = load((tmp_path / WEIGHTS_FILE).read_bytes())
    assert {name: array.shape for name, array in arrays.items()} == shapes(spec)
