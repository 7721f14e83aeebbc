"""Environment cards: YAML that names what a reward may use, and where each value comes from."""

import difflib
import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from rewardsmith.envs.task import ActionSpec, EnvSpec, Field
from rewardsmith.errors import ConfigError

RESERVED = frozenset({"action", "terminated", "truncated", "memory", "np", "fitness", "success"})
DEFAULT_MAX_STEPS = 1_000
MAX_SCALARS = 64  # longer observations become one vector field
DEFAULT_DT = 1.0  # s; for environments that do not say how long a step is


class FieldEntry(BaseModel):
    """One field of a card file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    meaning: str
    unit: str = "1"
    shape: tuple[int, ...] = ()

    @field_validator("source", mode="before")
    @classmethod
    def _number_is_a_source(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value


class CardFile(BaseModel):
    """A card file as written; ``fields`` is all that an environment of one's own needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: dict[str, FieldEntry]
    hidden: dict[str, FieldEntry] = {}
    env: str | None = None
    kwargs: dict[str, Any] = {}
    wrappers: tuple[str, ...] = ()
    text: str = ""
    principles: tuple[str, ...] = ()
    description: str = ""
    action: str = ""
    dt: float | None = None
    max_steps: int | None = None
    fitness: str | None = None
    fitness_unit: str = "1"
    fitness_meaning: str = ""
    solved_at: float | None = None


@dataclass(frozen=True)
class EnvRequest:
    """Which environment is meant: id, arguments of ``gymnasium.make``, wrappers in order."""

    id: str
    kwargs: Mapping[str, Any]
    wrappers: tuple[str, ...] = ()


def read_card(path: Path) -> CardFile:
    """Returns the card in a YAML file.

    Raises:
        ConfigError: it cannot be read, a key is unknown or missing, or a name cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the card cannot be read ({error})") from error
    return parse_card(text, str(path))


def parse_card(text: str, where: str) -> CardFile:
    """Returns the card in a YAML text; ``where`` names it in messages (see `read_card`)."""
    import yaml

    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML ({error})") from error
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: a mapping with the key `fields` is wanted; {_example()}")
    try:
        card = CardFile.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(_complaints(error))}") from error
    _check_names(card, where)
    return card


def spec_of(request: EnvRequest, card: CardFile | None) -> EnvSpec:
    """Returns the specification of an environment, proved by one reset and one step of it.

    Without a card the fields are the observation's numbers (``obs_0`` ... or the keys of a Dict).

    Raises:
        ConfigError: the environment cannot be made, its action space is not supported, or the card
            does not fit it; the message names the field, what was found and what exists.
    """
    from rewardsmith.envs.recorder import plain_env
    from rewardsmith.envs.references import attribute

    env = plain_env(request.id, request.kwargs, max_steps=card.max_steps if card else None)
    try:
        for reference in request.wrappers:
            env = attribute(reference, "wrapper")(env)
        fields = _fields(card.fields) if card else generated_fields(env.observation_space)
        spec = EnvSpec(
            id=request.id,
            fields=fields,
            hidden=_fields(card.hidden) if card else (),
            action=action_of(env.action_space, card.action if card else "", request.id),
            max_steps=_max_steps(env, card),
            dt=_dt(env, card),
            description=card.description.strip() if card else "",
            kwargs=dict(request.kwargs),
            wrappers=request.wrappers,
        )
        prove(spec, env)
    finally:
        env.close()
    return spec


def prove(spec: EnvSpec, env: Any) -> None:
    """Evaluates every field after a reset and after a step.

    Raises:
        ConfigError: a source fails, or its value has not the declared shape.
    """
    from rewardsmith.envs.columns import ResetInfo, bind, explain

    obs, info = env.reset(seed=0)
    bind(spec, env)
    explain(spec, env.unwrapped, obs, ResetInfo(info))
    env.action_space.seed(0)
    obs, _, _, _, info = env.step(env.action_space.sample())
    explain(spec, env.unwrapped, obs, info)


def generated_fields(space: Any) -> tuple[Field, ...]:
    """Returns one field per number of a flat Box observation, or one per key of a Dict.

    Raises:
        ConfigError: the space is of another kind; a card file is needed.
    """
    import gymnasium

    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        size = int(space.shape[0])
        if size > MAX_SCALARS:
            return (Field("obs", (size,), "1", "the observation", "obs"),)
        return tuple(
            Field(f"obs_{i}", (), "1", f"observation number {i} of {size}", f"obs[{i}]")
            for i in range(size)
        )
    if isinstance(space, gymnasium.spaces.Discrete):
        return (Field("obs", (), "1", f"observation, 0 to {int(space.n) - 1}", "obs"),)
    if isinstance(space, gymnasium.spaces.Dict):
        return tuple(
            Field(
                _identifier(key),
                tuple(part.shape or ()),
                "1",
                f"observation {key!r}",
                f"obs[{key!r}]",
            )
            for key, part in space.items()
        )
    raise ConfigError(
        f"no card can be generated for observations of kind {type(space).__name__}; "
        f"write one and give it with --card; {_example()}"
    )


def action_of(space: Any, meaning: str, env_id: str) -> ActionSpec:
    """Returns what an action is.

    Raises:
        ConfigError: neither a bounded Box nor Discrete.
    """
    import gymnasium

    if isinstance(space, gymnasium.spaces.Discrete):
        if int(space.start) != 0:
            raise ConfigError(f"{env_id}: discrete actions start at {space.start}, 0 is wanted")
        return ActionSpec((), (), (), int(space.n), meaning or f"a choice, 0 to {int(space.n) - 1}")
    if isinstance(space, gymnasium.spaces.Box) and np.isfinite([space.low, space.high]).all():
        low, high = (tuple(float(x) for x in b.ravel()) for b in (space.low, space.high))
        return ActionSpec(tuple(space.shape), low, high, None, meaning or "a vector of numbers")
    raise ConfigError(
        f"{env_id}: actions of kind {space} are not supported; a Box with finite bounds "
        "or Discrete is wanted (a wrapper that turns them into one can help: --wrapper)"
    )


def card_text(spec: EnvSpec) -> str:
    """Returns the card of ``spec`` as YAML: what models are shown, and a start for one's own."""
    import yaml

    document: dict[str, Any] = {"env": spec.id}
    if spec.kwargs:
        document["kwargs"] = dict(spec.kwargs)
    if spec.description:
        document["description"] = spec.description
    document["action"] = spec.action.meaning
    document |= {"dt": spec.dt, "max_steps": spec.max_steps}
    document["fields"] = {item.name: _entry(item) for item in spec.fields}
    if spec.hidden:
        document["hidden"] = {item.name: _entry(item) for item in spec.hidden}
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=96))


def _entry(item: Field) -> dict[str, Any]:
    shape = {"shape": list(item.shape)} if item.shape else {}
    return {**shape, "unit": item.unit, "meaning": item.meaning, "source": item.source}


def _fields(entries: Mapping[str, FieldEntry]) -> tuple[Field, ...]:
    return tuple(
        Field(name, item.shape, item.unit, item.meaning, item.source)
        for name, item in entries.items()
    )


def _max_steps(env: Any, card: CardFile | None) -> int:
    spec = getattr(env, "spec", None)
    limit = spec.max_episode_steps if spec is not None else None
    return (card.max_steps if card else None) or limit or DEFAULT_MAX_STEPS


def _dt(env: Any, card: CardFile | None) -> float:
    if card is not None and card.dt is not None:
        return card.dt
    try:
        found = getattr(env.unwrapped, "dt", None)
        if found is None:
            fps = env.unwrapped.metadata.get("render_fps")
            found = 1.0 / fps if fps else None
        return float(found) if found is not None else DEFAULT_DT
    except (TypeError, ValueError):
        return DEFAULT_DT


def _check_names(card: CardFile, where: str) -> None:
    for name in (*card.fields, *card.hidden):
        if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
            raise ConfigError(f"{where}: field {name!r} is no name that a program can use")
        if name in RESERVED or name.startswith(("prev_", "_")):
            raise ConfigError(
                f"{where}: field {name!r} is reserved "
                f"({', '.join(sorted(RESERVED))}, prev_..., _...)"
            )
    both = sorted(set(card.fields) & set(card.hidden))
    if both:
        raise ConfigError(f"{where}: {', '.join(both)} stand under fields and under hidden")
    if not card.fields:
        raise ConfigError(f"{where}: no fields; {_example()}")


def _complaints(error: ValidationError) -> list[str]:
    found = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            model = CardFile if len(item["loc"]) == 1 else FieldEntry
            near = difflib.get_close_matches(str(item["loc"][-1]), model.model_fields, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            found.append(f"unknown key {key!r}{hint} (known: {', '.join(model.model_fields)})")
        elif item["type"] == "missing":
            found.append(f"{key} is missing")
        else:
            found.append(f"{key} is {item['input']!r}: {item['msg'].lower()}")
    return found


def _identifier(key: str) -> str:
    plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in key)
    return plain if plain.isidentifier() else f"obs_{plain}"


def _example() -> str:
    return 'e.g. fields: {height: {unit: m, meaning: "height of the body", source: "obs[0]"}}'
