import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
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
    ("ppo", CONTINUOUS, {"normalize_obs": True, "net_arch": [9, 8, 7], "activation": "relu"}),
    ("ppo", DISCRETE, {"normalize_obs": True, "net_arch": []}),
    ("ppo", DISCRETE, {"normalize_obs": False}),
    ("a2c", DISCRETE, {"normalize_obs": True}),
    ("a2c", CONTINUOUS, {"normalize_obs": False, "use_sde": True}),
    ("td3", CONTINUOUS, {"normalize_obs": True, "net_arch": [9, 5]}),
    ("td3", CONTINUOUS, {"normalize_obs": False, "net_arch": [], "activation": "tanh"}),
    ("ddpg", CONTINUOUS, {"normalize_obs": False}),
    ("dqn", DISCRETE, {"normalize_obs": True, "net_arch": [9, 5]}),
    ("dqn", DISCRETE, {"normalize_obs": False, "net_arch": []}),
    ("sac", CONTINUOUS, {"normalize_obs": False}),
    ("sac", CONTINUOUS, {"normalize_obs": False, "use_sde": True}),
    ("sac", CONTINUOUS, {"normalize_obs": True, "use_sde": True, "net_arch": [8]}),
    ("sac", CONTINUOUS, {"normalize_obs": True, "activation": "tanh", "net_arch": [24, 16]}),
]


def model_of(algorithm: str, spec: Any, changes: dict[str, Any]) -> tuple[Any, Any]:
    sizes: dict[str, dict[str, Any]] = {
        "ppo": {"n_steps": 16, "batch_size": 16}, "a2c": {}
    }  # fmt: skip
    small = sizes.get(algorithm, {"buffer_size": 50})
    params = hyperparams(algorithm, spec.id, small | changes)
    env: Any = normalised(DummyVecEnv([lambda: make_env(spec)]), params)
    model = new_model(algorithm, env, params, seed=1, device="cpu")
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.7)
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "sizes"),
        ({"observation_size": 0}, "sizes"),
        ({"observation_size": -3}, "sizes"),
        ({"hidden": (8, 0)}, "sizes"),
        ({"hidden": (-8,)}, "sizes"),
        ({"action_shape": (2,)}, "no shape"),
        ({"count": None, "action_shape": (0,)}, "sizes"),
        ({"count": None, "action_shape": (2,), "low": (-1.0,)}, "1 bounds for an action of 2"),
        ({"count": None, "action_shape": (2,), "high": (1.0,) * 3}, "3 bounds"),
        ({"kind": "sac"}, "finite bounds"),
        ({"kind": "td3"}, "TD3 acts within finite bounds"),
        ({"kind": "dqn", "count": None, "action_shape": (1,)}, "DQN chooses among discrete"),
        ({"kind": "sac", "count": None, "action_shape": (1,), "low": (None,), "high": (1.0,)},
         "finite bounds"),
    ],
)  # fmt: skip
def test_a_spec_that_no_policy_can_have_is_refused(changes: dict[str, Any], message: str) -> None:
    broken = linear()[0].model_copy(update=changes)
    with pytest.raises(TrainingError, match=message):
        checked(broken, {})


def test_files_of_more_than_a_policys_size_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, weights = linear()
    save_policy(checked(spec, weights), tmp_path)
    monkeypatch.setattr("rewardsmith.runs.training.policy.MOST_BYTES", 10)
    with pytest.raises(TrainingError, match=r"has \d+ bytes, at most 10 are wanted"):
        load_policy(tmp_path)


def sound(folder: Path) -> tuple[PolicySpec, dict[str, Any], bytes]:
    spec, weights = linear()
    save_policy(checked(spec, weights), folder)
    return spec, weights, (folder / WEIGHTS_FILE).read_bytes()


@settings(max_examples=80, deadline=None)
@given(share=st.floats(0.0, 0.999))
def test_weights_cut_off_anywhere_are_refused(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    _, _, content = sound(folder)
    (folder / WEIGHTS_FILE).write_bytes(content[: int(share * len(content))])
    with pytest.raises(TrainingError, match=r"no readable policy|missing"):
        load_policy(folder)


@settings(max_examples=120, deadline=None)
@given(place=st.floats(0.0, 0.9999), mask=st.integers(1, 255))
def test_a_changed_byte_gives_a_sound_policy_or_none(
    tmp_path_factory: pytest.TempPathFactory, place: float, mask: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    spec, _, content = sound(folder)
    changed = bytearray(content)
    changed[int(place * len(changed))] ^= mask
    (folder / WEIGHTS_FILE).write_bytes(changed)
    try:
        policy = load_policy(folder)
    except TrainingError:
        return
    assert {name: array.shape for name, array in policy.weights.items()} == shapes(spec)
    assert all(np.isfinite(array).all() for array in policy.weights.values())
    assert policy(np.zeros(3)) in (0, 1)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=120))
def test_bytes_of_any_kind_are_no_policy(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    _, _, weights = sound(folder)
    for name, sane in ((WEIGHTS_FILE, weights), (SPEC_FILE, (folder / SPEC_FILE).read_bytes())):
        (folder / name).write_bytes(content)
        with pytest.raises(TrainingError, match=r"no readable policy|missing"):
            load_policy(folder)
        (folder / name).write_bytes(sane)
    load_policy(folder)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F16", "I32", "BOOL", "F99"])
def test_weights_of_another_type_are_refused(kind: str, tmp_path: Path) -> None:
    sound(tmp_path)
    size = {"BF16": 2, "F16": 2, "F8_E4M3": 1, "BOOL": 1}.get(kind, 4)
    places, start = {}, 0
    for name, shape in shapes(linear()[0]).items():
        end = start + size * int(np.prod(shape))
        places[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    header = json.dumps(places).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(start)
    (tmp_path / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(TrainingError, match="policy"):
        load_policy(tmp_path)


def test_bounds_hold_for_each_value_of_an_action_of_any_shape() -> None:
    spec = PolicySpec(
        kind="linear", observation_size=1, action_shape=(2, 2), low=(-1.0, None, -3.0, -4.0),
        high=(1.0, 2.0, None, 4.0),
    )  # fmt: skip
    weights = {
        "action_net.weight": np.full((4, 1), 100.0, np.float32),
        "action_net.bias": np.zeros(4, np.float32),
    }
    policy = checked(spec, weights)
    assert policy([1.0]).tolist() == [[1.0, 2.0], [100.0, 4.0]]
    assert policy([-1.0]).tolist() == [[-1.0, -100.0], [-3.0, -4.0]]


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
