from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rewardsmith.envs.card import (
    EnvRequest,
    action_of,
    card_text,
    generated_fields,
    parse_card,
    read_card,
    spec_of,
)
from rewardsmith.envs.registry import find_task, task_ids
from rewardsmith.errors import ConfigError

_FIELD = "{unit: m, meaning: a field, source: 'obs[0]'}"


def _spec(fields: str, env_id: str = "CartPole-v1") -> Any:
    return spec_of(EnvRequest(env_id, {}), parse_card(f"fields: {fields}", "card.yaml"))


def test_a_card_needs_only_its_fields() -> None:
    card = parse_card(f"fields: {{height: {_FIELD}}}", "card.yaml")
    assert card.fields["height"].shape == ()
    assert card.hidden == {}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: the card cannot be read"):
        read_card(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fields: [", "not YAML"),
        ("just words", "a mapping with the key `fields` is wanted"),
        ("text: x", "fields is missing"),
        (f"feilds: {{h: {_FIELD}}}\nfields: {{h: {_FIELD}}}", "'feilds', did you mean 'fields'"),
        ("fields: {h: {meaning: x}}", "fields.h.source is missing"),
        ("fields: {h: {meaning: x, source: y, units: m}}", "did you mean 'unit'"),
        ("fields: {}", "no fields"),
        (f"fields: {{two words: {_FIELD}}}", "'two words' is no name"),
        (f"fields: {{class: {_FIELD}}}", "'class' is no name"),
        (f"fields: {{action: {_FIELD}}}", "'action' is reserved"),
        (f"fields: {{prev_h: {_FIELD}}}", "'prev_h' is reserved"),
        (
            f"fields: {{h: {_FIELD}}}\nhidden: {{h: {_FIELD}}}",
            "h stand under fields and under hidden",
        ),
    ],
)
def test_a_wrong_card_is_told_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"card.yaml: .*{message}"):
        parse_card(text, "card.yaml")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("obs[9]", r"field 'h'.*shape \(4,\)"),
        ("info['speed']", "info"),
        ("speed", "unknown name 'speed'"),
        ("obs", r"shape \(4,\), the card declares \(\)"),
        ("qpos[0]", "needs a MuJoCo simulation"),
        ("env.no_such", "no_such"),
    ],
)
def test_a_card_that_does_not_fit_is_found_by_trying_it(source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _spec(f'{{h: {{meaning: x, source: "{source}"}}}}')


def test_a_missing_info_key_is_found_at_the_step_though_reset_reads_zero() -> None:
    with pytest.raises(ConfigError, match=r"no key 'speed'.*x_velocity"):
        _spec("{h: {meaning: x, source: \"info['speed']\"}}", "Hopper-v5")


def test_time_limit_and_step_length_come_from_the_environment() -> None:
    spec = _spec(f"{{h: {_FIELD}}}")
    assert spec.max_steps == 500
    assert spec.dt == pytest.approx(0.02)


def test_a_box_gives_a_field_per_number() -> None:
    fields = generated_fields(gymnasium.spaces.Box(-1, 1, (3,)))
    assert [(f.name, f.source) for f in fields] == [
        ("obs_0", "obs[0]"),
        ("obs_1", "obs[1]"),
        ("obs_2", "obs[2]"),
    ]


def test_a_long_box_gives_one_vector() -> None:
    (field,) = generated_fields(gymnasium.spaces.Box(-1, 1, (300,)))
    assert (field.name, field.shape) == ("obs", (300,))


def test_a_dict_gives_a_field_per_key() -> None:
    space = gymnasium.spaces.Dict(
        {"goal": gymnasium.spaces.Box(-1, 1, (2,)), "the speed": gymnasium.spaces.Box(-1, 1, ())}
    )
    fields = generated_fields(space)
    assert {(f.name, f.shape, f.source) for f in fields} == {
        ("goal", (2,), "obs['goal']"),
        ("the_speed", (), "obs['the speed']"),
    }


def test_a_discrete_observation_is_one_number() -> None:
    (field,) = generated_fields(gymnasium.spaces.Discrete(16))
    assert (field.shape, field.source) == ((), "obs")


def test_other_observations_need_a_card() -> None:
    with pytest.raises(
        ConfigError, match="no card can be generated for observations of kind Tuple"
    ):
        generated_fields(gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)]))


def test_actions_are_a_bounded_box_or_discrete() -> None:
    box = action_of(gymnasium.spaces.Box(-2, 3, (2,)), "", "X-v0")
    assert (box.shape, box.low, box.high, box.count) == ((2,), (-2.0, -2.0), (3.0, 3.0), None)
    assert action_of(gymnasium.spaces.Discrete(4), "", "X-v0").count == 4


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)}),
        gymnasium.spaces.MultiDiscrete([2, 2]),
        gymnasium.spaces.Box(-np.inf, np.inf, (1,)),
    ],
)
def test_other_actions_are_refused_with_what_is_wanted(space: Any) -> None:
    with pytest.raises(ConfigError, match=r"X-v0.*a Box with finite bounds or Discrete"):
        action_of(space, "", "X-v0")


@pytest.mark.parametrize("env_id", sorted(set(task_ids()) - {"rewardsmith/Point-v0-discrete"}))
def test_a_written_card_reads_back_as_the_same_fields(env_id: str) -> None:
    spec = find_task(env_id).env
    card = parse_card(card_text(spec), "starter")
    again = spec_of(EnvRequest(spec.id, card.kwargs), card)
    assert again.fields == spec.fields
    assert again.hidden == spec.hidden
    assert (again.dt, again.max_steps) == (spec.dt, spec.max_steps)
