from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest

from rewardsmith.envs.columns import Absent, ResetInfo, bind, explain, layout, nonfinite
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field
from rewardsmith.errors import ConfigError

_ACTION = ActionSpec((1,), (-1.0,), (1.0,), None, "force")


class _Env:
    """Just enough of an environment for sources that use no simulator."""

    height = 4.0

    @property
    def unwrapped(self) -> "_Env":
        return self


def _spec(*fields: tuple[str, tuple[int, ...], str], hidden: tuple[Field, ...] = ()) -> EnvSpec:
    made = tuple(Field(name, shape, "m", "a field", source) for name, shape, source in fields)
    return EnvSpec("Test-v0", made, hidden, _ACTION, 10, 0.1)


def _row(spec: EnvSpec, obs: Any, info: dict[str, Any] | None = None) -> list[float]:
    return [float(v) for v in bind(spec, _Env()).row(obs, info or {})]


def test_fields_come_first_and_hidden_fields_after_them() -> None:
    spec = _spec(
        ("a", (), "obs[0]"), ("b", (2, 3), "obs"), hidden=(Field("c", (2,), "m", "", "obs"),)
    )
    places = layout(spec)
    assert [(n, s.start, s.stop, s.hidden) for n, s in places.slots.items()] == [
        ("a", 0, 1, False),
        ("b", 1, 7, False),
        ("c", 7, 9, True),
    ]
    assert places.width == 9


def test_split_gives_contiguous_columns_of_the_declared_shapes() -> None:
    spec = _spec(
        ("a", (), "obs[0]"), ("b", (2, 3), "obs"), hidden=(Field("c", (2,), "m", "", "obs"),)
    )
    flat = np.arange(36.0).reshape(4, 9)
    columns = layout(spec).split(flat)
    assert {n: c.shape for n, c in columns.items()} == {"a": (4,), "b": (4, 2, 3), "c": (4, 2)}
    assert all(c.flags.c_contiguous for c in columns.values())
    assert columns["b"][1].tolist() == [[10.0, 11.0, 12.0], [13.0, 14.0, 15.0]]


def test_split_leaves_hidden_fields_out_when_asked() -> None:
    spec = _spec(("a", (), "obs[0]"), hidden=(Field("c", (), "m", "", "obs[1]"),))
    assert set(layout(spec).split(np.zeros((2, 2)), hidden=False)) == {"a"}


def test_scalars_vectors_literals_and_matrices_are_filled() -> None:
    spec = _spec(
        ("scalar", (), "obs[1]"),
        ("vector", (2,), "obs[0:2] * 2.0"),
        ("literal", (2,), "[obs[2], env.height]"),
        ("matrix", (2, 2), "np.outer(obs[0:2], obs[0:2])"),
    )
    row = _row(spec, np.array([1.0, 2.0, 3.0]))
    assert row == [2.0, 2.0, 4.0, 3.0, 4.0, 1.0, 2.0, 2.0, 4.0]


def test_info_keys_and_dict_observations_are_read() -> None:
    spec = _spec(("a", (), "info['speed']"), ("b", (2,), "obs['goal']"))
    assert _row(spec, {"goal": [1.0, 2.0]}, {"speed": 3.0}) == [3.0, 1.0, 2.0]


def test_booleans_become_zero_and_one() -> None:
    assert _row(_spec(("a", (), "obs[0] > 1.0")), np.array([2.0])) == [1.0]


def test_rows_are_read_only() -> None:
    row = bind(_spec(("a", (), "obs[0]")), _Env()).row(np.ones(1), {})
    with pytest.raises(ValueError, match="read-only"):
        row[0] = 2.0


def test_an_info_key_that_reset_does_not_give_reads_zero_in_every_form() -> None:
    spec = _spec(
        ("a", (), "info['x']"), ("b", (2,), "info['y']"), ("c", (), "info['y'][1] + info['z']['k']")
    )
    assert bind(spec, _Env()).row(None, ResetInfo()).tolist() == [0.0] * 4


def test_an_absent_value_is_zero_at_any_depth() -> None:
    assert Absent(0.0)["a"][1] == 0.0


def test_a_wrong_source_is_named_with_its_card_and_field() -> None:
    with pytest.raises(
        ConfigError, match=r"card of Test-v0, field 'a', source 'obz\[0\]': unknown"
    ):
        bind(_spec(("a", (), "obz[0]")), _Env())


def test_an_index_beyond_the_observation_says_its_shape() -> None:
    with pytest.raises(ConfigError, match=r"field 'a'.*out of bounds.*shape \(2,\)"):
        _row(_spec(("a", (), "obs[7]")), np.zeros(2))


def test_a_missing_info_key_lists_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"field 'a'.*no key 'speed'; info has \['x_velocity'\]"):
        _row(_spec(("a", (), "info['speed']")), np.zeros(2), {"x_velocity": 1.0, "rewardsmith": 0})


def test_a_missing_attribute_is_named() -> None:
    with pytest.raises(ConfigError, match=r"field 'a'.*no attribute 'weight'"):
        _row(_spec(("a", (), "env.weight")), np.zeros(2))


def test_a_vector_where_a_scalar_is_declared_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"shape \(2,\), the card declares \(\)"):
        explain(_spec(("a", (), "obs")), _Env(), np.zeros(2), {})


def test_a_scalar_where_a_vector_is_declared_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"shape \(\), the card declares \(3,\)"):
        explain(_spec(("a", (3,), "obs[0]")), _Env(), np.zeros(2), {})


def test_a_value_that_is_no_number_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"field 'a'.*nan, finite"):
        explain(_spec(("a", (), "obs[0]")), _Env(), np.array([np.nan]), {})


def test_nonfinite_names_the_fields_that_hold_them() -> None:
    spec = _spec(("a", (), "obs[0]"), ("b", (2,), "obs"), ("c", (), "obs[0]"))
    flat = np.zeros((3, 4))
    flat[1, 2], flat[2, 3] = np.nan, np.inf
    assert list(nonfinite(flat, layout(spec))) == ["b", "c"]


@pytest.fixture(scope="module")
def cheetah() -> Any:
    env = gymnasium.make("HalfCheetah-v5")
    env.reset(seed=0)
    for _ in range(60):
        env.step(np.zeros(6))
    return env


def test_contacts_agree_with_the_simulators_own_list(cheetah: Any) -> None:
    spec = _spec(
        ("back", (), "touching('bfoot', 'floor')"),
        ("swapped", (), "touching('floor', 'bfoot')"),
        ("torso", (), "touching('torso', 'floor')"),
        ("by_body", (), "touching('ffoot', 'world')"),
    )
    assert bind(spec, cheetah).row(None, {}).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_contacts_are_zero_in_the_air(cheetah: Any) -> None:
    import mujoco

    other = gymnasium.make("HalfCheetah-v5")
    other.reset(seed=0)
    bare: Any = other.unwrapped
    bare.data.qpos[1] = 5.0
    mujoco.mj_forward(bare.model, bare.data)
    spec = _spec(("back", (), "touching('bfoot', 'floor')"))
    assert bind(spec, other).row(None, {}).tolist() == [0.0]


def test_simulator_values_are_those_of_the_moment(cheetah: Any) -> None:
    spec = _spec(("x", (), "qpos[0]"), ("v", (9,), "qvel"), ("z", (), "xpos('torso')[2]"))
    columns = bind(spec, cheetah)
    cheetah.step(np.ones(6))
    data = cheetah.unwrapped.data
    expected = [data.qpos[0], *data.qvel, data.body("torso").xpos[2]]
    assert columns.row(None, {}).tolist() == expected


def test_sources_of_one_name_do_not_shadow_each_other(cheetah: Any) -> None:
    spec = _spec(
        ("a", (3,), "xpos('torso')"), ("b", (3,), "xpos('bfoot')"), ("c", (4,), "xquat('torso')")
    )
    row = bind(spec, cheetah).row(None, {})
    data = cheetah.unwrapped.data
    assert row[3:6].tolist() == data.body("bfoot").xpos.tolist()
    assert row[6:].tolist() == data.body("torso").xquat.tolist()


def test_an_empty_card_has_an_empty_row() -> None:
    assert bind(replace(_spec(), fields=()), _Env()).row(None, {}).shape == (0,)
