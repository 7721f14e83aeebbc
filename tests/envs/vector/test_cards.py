"""A card over many simulations gives the rows that the recorder gives, one by one."""

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import EnvSpec, Field
from rewardsmith.envs.vector.cards import BatchCard
from rewardsmith.envs.vector.loop import LoopEnv
from rewardsmith.envs.vector.physics import PhysicsEnv, physics_batch
from rewardsmith.errors import ConfigError

NUMBERS = [
    "qpos[2] ** 2 + qpos[-1] ** 3",
    "1.0 - 2.0 * (qpos[4] ** 2 + qpos[5] ** 2) / (qpos[3] ** 2 + qpos[6] ** 2)",
    "math.atan2(qvel[0], -qvel[1])",
    "math.hypot(qpos[0], 0.5) * math.pi",
    "info['x_velocity'] / 2.0",
    "info['x_position'] - info['reward_ctrl']",
    "obs[3]",
    "ctrl[0] * ctrl[1]",
    "abs(qvel[0]) + abs(-3)",
    "np.sqrt(abs(qpos[2])) + np.abs(qvel[1])",
    "np.tanh(qvel[0])",
    "np.linalg.norm(qvel[0:3])",
    "max(qpos[0], 0.0, qvel[0]) + min(qpos[1], 1.0)",
    "float(qpos[2] > 0.5)",
    "qpos[2] <= 0.5",
    "np.maximum(qpos[0], qpos[1])",
    "xpos('torso')[2] * 2.0",
    "touching('left_ankle_geom', 'floor') + touching('floor', 'right_ankle_geom')",
    "touching('torso', 'floor')",
    "4.0",
]
ROW_BY_ROW = [
    "1.0 if qpos[2] > 0.5 else qvel[0]",
    "qpos[2] > 0.3 and qvel[0]",
    "not touching('left_ankle_geom', 'floor')",
    "sum(qpos[0:3])",
    "sum(abs(v) for v in qvel)",
    "(qpos[2] > 0.3) + (qpos[0] > 0)",
    "len(qpos) * 1.0",
    "qpos[len(qvel) - 10]",
    "np.mean(qvel)",
    "qvel[0] // 0.1",
    "abs(qvel[0]) ** 0.5",
    "np.dot(qpos[0:3], qvel[0:3])",
]
VECTORS = [
    ("qpos[7:15]", 8),
    ("qvel[0:6:2] * 2.0", 3),
    ("[qpos[0], math.sin(qpos[1]), qpos[2] if qpos[2] > 0 else 0.0]", 3),
    ("xpos('torso') - geom('left_ankle_geom')", 3),
    ("xquat('torso')", 4),
    ("qvel[0:3] / qpos[2]", 3),
    ("qvel[0:3] ** 2", 3),
    ("np.abs(qvel[0:4])", 4),
    ("np.array([qpos[0], qpos[1]])", 2),
    ("np.clip(qvel[0:3], -1, 1)", 3),
]


@pytest.fixture(autouse=True)
def quiet_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes MUJOCO_LOG.TXT into the current folder."""
    monkeypatch.chdir(tmp_path)


def ant(*sources: str, size: int | None = None) -> EnvSpec:
    shape = () if size is None else (size,)
    fields = tuple(Field(f"f{i}", shape, "1", "?", source) for i, source in enumerate(sources))
    return replace(find_task("Ant-v5").env, fields=fields, hidden=(), max_steps=25)


def batch(spec: EnvSpec) -> PhysicsEnv:
    made = physics_batch(spec, 3, 1)
    assert made is not None
    return made


def assert_same_rows(spec: EnvSpec) -> None:
    loop, many = LoopEnv(spec, 3), batch(spec)
    loop.reset([0, 1, 2])
    many.reset([0, 1, 2])
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.uniform(-1.0, 1.0, (3, 8)).astype(np.float32)
        one, two = loop.step(actions), many.step(actions)
        for wanted, found in ((one.after, two.after), (one.before, two.before)):
            different = np.flatnonzero((wanted != found).any(axis=0))
            assert [spec.fields[i].source for i in different if i < len(spec.fields)] == []
            assert wanted.tobytes() == found.tobytes()


def test_numbers_are_those_of_one_environment_at_a_time() -> None:
    assert_same_rows(ant(*NUMBERS))


def test_what_has_no_form_over_arrays_runs_row_by_row() -> None:
    assert_same_rows(ant(*ROW_BY_ROW))


def slow_fields(spec: EnvSpec) -> tuple[str, ...]:
    model = gymnasium.make(spec.id).unwrapped.model  # type: ignore[attr-defined]
    infos = frozenset({"x_velocity", "y_velocity", "x_position", "reward_ctrl"})
    return BatchCard(spec, model, infos).row_by_row


def test_only_those_run_row_by_row() -> None:
    assert slow_fields(ant(*NUMBERS)) == ()
    assert len(slow_fields(ant(*ROW_BY_ROW))) == len(ROW_BY_ROW)


@pytest.mark.parametrize(
    "env_id",
    ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Reacher-v5"],
)
def test_no_field_of_a_built_in_card_runs_row_by_row(env_id: str) -> None:
    assert slow_fields(find_task(env_id).env) == ()


@pytest.mark.parametrize(("source", "size"), VECTORS)
def test_vectors_are_those_of_one_environment_at_a_time(source: str, size: int) -> None:
    assert_same_rows(ant(source, size=size))


def test_a_matrix_is_laid_out_by_rows() -> None:
    matrix = Field("m", (3, 3), "1", "?", "xmat('torso')")
    assert_same_rows(replace(ant("qpos[0]"), fields=(matrix,)))


def test_hidden_fields_follow_the_fields() -> None:
    spec = ant("qpos[0]")
    hidden = (Field("speed", (2,), "1", "?", "qvel[0:2]"),)
    assert_same_rows(replace(spec, hidden=hidden))


def test_a_field_that_cannot_be_evaluated_is_named_with_its_source() -> None:
    many = batch(ant("qpos[0]", "math.sqrt(qpos[0] - 1e9)"))
    with pytest.raises(ConfigError, match=r"field 'f1', source 'math.sqrt.*ValueError: math"):
        many.reset([0, 1, 2])


@pytest.mark.parametrize("source", ["nosuch[0]", "xpos('nosuch')", "touching('torso', 'nosuch')"])
def test_a_card_that_does_not_fit_is_refused_with_the_nearest_names(source: str) -> None:
    with pytest.raises(ConfigError, match="field 'f0'"):
        physics_batch(ant(source), 1, 1)


@pytest.mark.parametrize("source", ["env.dt", "info['nosuch']", "info['x_position':]"])
def test_what_simulations_side_by_side_do_not_show_is_left_to_the_loop(source: str) -> None:
    assert physics_batch(ant(source), 1, 1) is None
