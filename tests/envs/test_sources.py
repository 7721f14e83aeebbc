import ast
from typing import Any

import gymnasium
import numpy as np
import pytest

from rewardsmith.envs.sources import NAMES, SourceError, checked, resolved


class _Bare:
    """An environment without a simulator."""


@pytest.fixture(scope="module")
def hopper() -> Any:
    env = gymnasium.make("Hopper-v5")
    env.reset(seed=0)
    return env.unwrapped


def test_every_known_name_is_explained() -> None:
    assert all(NAMES.values())


@pytest.mark.parametrize(
    "source", ["obs[0]", "info['x']", "np.hypot(obs[0], obs[1])", "[float(v) for v in obs]"]
)
def test_plain_expressions_are_accepted(source: str) -> None:
    assert isinstance(checked(source), ast.expr)


def test_a_statement_is_no_source() -> None:
    with pytest.raises(SourceError, match="not a Python expression"):
        checked("x = 1")


def test_an_unknown_name_brings_the_nearest_and_all_known() -> None:
    with pytest.raises(
        SourceError, match=r"unknown name 'qposs' \(did you mean 'qpos'\?\); known:.*obs"
    ):
        checked("qposs[0]")


@pytest.mark.parametrize("source", ["obs.__class__", "env.__dict__['x']"])
def test_dunder_attributes_are_not_for_cards(source: str) -> None:
    with pytest.raises(SourceError, match="not for cards"):
        checked(source)


def test_functions_and_assignments_inside_an_expression_are_refused() -> None:
    with pytest.raises(SourceError, match="plain expressions"):
        checked("(lambda: obs)()")
    with pytest.raises(SourceError, match="plain expressions"):
        checked("(obs := 3)")


def test_simulator_names_need_a_simulator() -> None:
    with pytest.raises(SourceError, match="qpos needs a MuJoCo simulation, _Bare has none"):
        resolved(checked("qpos[0]"), _Bare(), {})


def test_a_place_is_looked_up_once_as_the_simulators_own_array(hopper: Any) -> None:
    names: dict[str, Any] = {}
    resolved(checked("xpos('torso')[2]"), hopper, names)
    (array,) = names.values()
    assert np.shares_memory(array, hopper.data.xpos)


def test_a_missing_body_brings_the_nearest_and_all_bodies(hopper: Any) -> None:
    with pytest.raises(
        SourceError, match=r"no body 'torsoo' \(did you mean 'torso'\?\); bodys: world"
    ):
        resolved(checked("xpos('torsoo')"), hopper, {})


def test_a_missing_sensor_says_that_there_are_none(hopper: Any) -> None:
    with pytest.raises(SourceError, match="no sensor 'gyro'; it has no named sensors"):
        resolved(checked("sensor('gyro')"), hopper, {})


def test_a_missing_contact_partner_lists_geoms_and_bodies(hopper: Any) -> None:
    with pytest.raises(SourceError, match=r"no geom or body 'paw'.*geoms: floor.*bodys: world"):
        resolved(checked("touching('paw', 'floor')"), hopper, {})


@pytest.mark.parametrize("source", ["xpos(obs)", "touching('foot')", "xpos", "touching"])
def test_places_want_names_in_quotes(source: str, hopper: Any) -> None:
    with pytest.raises(SourceError, match="in quotes"):
        resolved(checked(source), hopper, {})
