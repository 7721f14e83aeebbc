"""An environment as a designer is told it: names, shapes, units, meanings; never their sources."""

from dataclasses import dataclass

from rewardsmith.envs.task import ActionSpec, EnvSpec, Field

_LISTED = 6


@dataclass(frozen=True)
class CardField:
    """One line of a card."""

    name: str
    shape: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class CardAction:
    """What ``env.step`` receives, in words."""

    shape: str
    range: str
    meaning: str


@dataclass(frozen=True)
class Card:
    """All that a prompt says of an environment."""

    id: str
    description: str
    fields: tuple[CardField, ...]
    action: CardAction
    dt: float
    max_steps: int


def card_of(env: EnvSpec) -> Card:
    """The card of an environment. Hidden fields and the expressions behind fields are not in it."""
    return Card(
        id=env.id,
        description=env.description,
        fields=tuple(_line(field) for field in env.fields),
        action=_action(env.action),
        dt=env.dt,
        max_steps=env.max_steps,
    )


def _line(field: Field) -> CardField:
    unit = "" if field.unit in {"", "-", "1", "none"} else field.unit
    return CardField(field.name, _shape(field.shape), unit, field.meaning)


def _action(action: ActionSpec) -> CardAction:
    if action.count is not None:
        return CardAction("(N,)", f"whole numbers 0 to {action.count - 1}", action.meaning)
    return CardAction(_shape(action.shape), _range(action.low, action.high), action.meaning)


def _range(low: tuple[float, ...], high: tuple[float, ...]) -> str:
    pairs = [f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True)]
    if len(set(pairs)) == 1:
        return f"{'each ' if len(pairs) > 1 else ''}in {pairs[0]}"
    more = ", ..." if len(pairs) > _LISTED else ""
    return "in " + ", ".join(pairs[:_LISTED]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"
