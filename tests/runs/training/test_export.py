import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO, SAC

from rewardsmith.envs import toy
from rewardsmith.errors import TrainingError
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training.export import export_sb3, loading_lines
from rewardsmith.runs.training.files import write_unit
from rewardsmith.runs.training.policy import PolicySpec, checked, load_policy, save_policy, shapes

TASKS = dict(zip(("continuous", "discrete"), toy.tasks(), strict=True))


def job(folder: Path, trainer: str, spec: PolicySpec, actions: str, **changes: Any) -> Path:
    unit = Unit(
        id="u", task=TASKS[actions], program=None, trainer=trainer, hyperparams=changes, seed=1,
        steps=10, eval_seeds=(1,),
    )  # fmt: skip
    write_unit(folder, unit)
    rng = np.random.default_rng(3)
    weights = {k: rng.normal(size=s).astype(np.float32) for k, s in shapes(spec).items()}
    save_policy(checked(spec, weights), folder)
    return folder


CONTINUOUS: dict[str, Any] = {
    "observation_size": 3, "action_shape": (1,), "low": (-1.0,), "high": (1.0,)
}  # fmt: skip
NORM: dict[str, Any] = {
    "mean": (0.1, 0.2, 0.3), "var": (1.0, 2.0, 3.0), "clip": 10.0, "epsilon": 1e-8
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", ["ppo", "fast", "discrete", "sac", "a2c", "td3", "dqn"])
def test_the_printed_lines_load_the_model_without_this_package(case: str, tmp_path: Path) -> None:
    # Toy observations need this package's environment, so a stand-in of the same spaces is made.
    folder, out = tmp_path / "job", tmp_path / "out" / "best.zip"
    if case in ("ppo", "fast"):
        spec = PolicySpec(kind="ppo", hidden=(8, 8), normalisation=NORM, **CONTINUOUS)
        job(folder, case, spec, "continuous", net_arch=[8, 8], normalize_obs=True,
            schedule="linear")  # fmt: skip
    elif case == "sac":
        spec = PolicySpec(kind="sac", hidden=(8, 8), activation="relu", **CONTINUOUS)
        job(folder, "sac", spec, "continuous", net_arch=[8, 8], buffer_size=100)
    elif case == "a2c":
        spec = PolicySpec(kind="a2c", hidden=(8,), normalisation=NORM, **CONTINUOUS)
        job(folder, "a2c", spec, "continuous", net_arch=[8])
    elif case == "td3":
        spec = PolicySpec(kind="td3", hidden=(8,), activation="relu", **CONTINUOUS)
        job(folder, "td3", spec, "continuous", net_arch=[8], buffer_size=100)
    elif case == "dqn":
        spec = PolicySpec(kind="dqn", hidden=(8,), activation="relu", observation_size=3,
                          action_shape=(), count=3)  # fmt: skip
        job(folder, "dqn", spec, "discrete", net_arch=[8], buffer_size=100)
    else:
        spec = PolicySpec(kind="ppo", hidden=(8,), observation_size=3, action_shape=(), count=3)
        job(folder, "ppo", spec, "discrete", net_arch=[8], normalize_obs=False)
    written = export_sb3(folder, out)
    assert all(path.is_file() for path in written)
    assert len(written) == (2 if spec.normalisation else 1)
    actions = acted(folder, out)
    policy = load_policy(folder)
    for observation, action in actions:
        np.testing.assert_allclose(policy(observation), action, atol=1e-5)


STAND_IN = """
import sys
sys.modules["rewardsmith"] = None
import gymnasium as gym, numpy as np
class Point(gym.Env):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    def __init__(self, discrete=False):
        small = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(3) if discrete else small
    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}
gym.register("rewardsmith/Point-v0", Point, disable_env_checker=True)
"""
ASK = """
for raw in np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32):
    seen = env.normalize_obs(raw[None]) if hasattr(env, "normalize_obs") else raw[None]
    print(*raw.tolist(), *np.ravel(model.predict(seen, deterministic=True)[0]).tolist())
"""


def acted(folder: Path, out: Path) -> list[tuple[list[float], list[float]]]:
    program = STAND_IN + loading_lines(folder, out) + ASK
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [[float(x) for x in line.split()] for line in done.stdout.splitlines()]
    assert len(rows) == 20
    return [(row[:3], row[3:]) for row in rows]


def test_a_linear_policy_has_no_form_in_stable_baselines3(tmp_path: Path) -> None:
    spec = PolicySpec(kind="linear", **CONTINUOUS)
    job(tmp_path, "toy", spec, "continuous")
    with pytest.raises(TrainingError, match="Train with ppo or sac"):
        export_sb3(tmp_path, tmp_path / "best.zip")


def test_a_policy_of_somebody_elses_trainer_is_exported_by_its_spec(tmp_path: Path) -> None:
    spec = PolicySpec(
        kind="ppo", hidden=(5, 7), activation="relu", normalisation=NORM, **CONTINUOUS
    )
    folder = job(tmp_path / "job", "their_package:ppo", spec, "continuous", depth=3, magic="yes")
    written = export_sb3(folder, tmp_path / "best.zip")
    model = PPO.load(written[0])
    for name, weights in load_policy(folder).weights.items():
        assert np.array_equal(model.policy.state_dict()[name].numpy(), weights), name


def test_a_sac_policy_with_state_dependent_noise_is_exported(tmp_path: Path) -> None:
    spec = PolicySpec(kind="sac", hidden=(6,), activation="relu", use_sde=True, **CONTINUOUS)
    folder = job(tmp_path / "job", "sac", spec, "continuous", buffer_size=100, net_arch=[6])
    (out,) = export_sb3(folder, tmp_path / "best.zip")
    model, policy = SAC.load(out), load_policy(folder)
    for observation in np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32):
        wanted, _ = model.predict(observation, deterministic=True)
        np.testing.assert_allclose(policy(observation), wanted, atol=1e-5)


@pytest.mark.parametrize("content", [None, "", "{", '{"id": 3}'])
def test_a_folder_without_a_unit_is_an_error_in_words(content: str | None, tmp_path: Path) -> None:
    folder = job(tmp_path, "toy", PolicySpec(kind="linear", **CONTINUOUS), "continuous")
    (folder / "unit.json").unlink()
    if content is not None:
        (folder / "unit.json").write_text(content)
    with pytest.raises(TrainingError, match=r"no readable unit\.json"):
        export_sb3(folder, tmp_path / "best.zip")
    with pytest.raises(TrainingError, match=r"no readable unit\.json"):
        loading_lines(folder, tmp_path / "best.zip")


def test_the_lines_name_the_environment_with_its_arguments_and_wrappers(tmp_path: Path) -> None:
    from dataclasses import replace

    spec = PolicySpec(kind="ppo", hidden=(8,), normalisation=NORM, **CONTINUOUS)
    folder = job(tmp_path, "ppo", spec, "continuous", net_arch=[8])
    task = TASKS["discrete"]
    task = replace(task, env=replace(task.env, wrappers=("my_wrappers:Slow",)))
    unit = Unit(
        id="u", task=task, program=None, trainer="ppo", hyperparams={}, seed=1, steps=1,
        eval_seeds=(1,),
    )  # fmt: skip
    write_unit(folder, unit)
    lines = loading_lines(folder, Path("best.zip"))
    assert "from my_wrappers import Slow" in lines
    assert 'Slow(gym.make("rewardsmith/Point-v0", discrete=True))' in lines
    assert 'VecNormalize.load("best.vecnormalize.pkl", env)' in lines
    compile(lines, "lines", "exec")
