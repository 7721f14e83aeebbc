"""What becomes of a program's components before a trainer sees them: a choice, and its spelling.

The user writes ``--shaping "combine=geomean,squash=clip(-1,1)"``; a program may carry the same on a
line of its own, ``# rewardsmith: combine=geomean squash=clip(-1,1)``. Nothing is chosen by default.
"""

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from rewardsmith.errors import ConfigError

Combine = Literal["total", "sum", "geomean", "logsigmoid", "softmin", "harmonic"]
Squash = Literal["none", "clip", "sign", "par"]
_KEYS = ("combine", "squash", "gate", "potential", "subgoals")
_PART = re.compile(r"(?:[^\s,()]|\([^()]*\))+")
_WORD = re.compile(r"([a-z][a-z0-9_]*)(?:\(([^()]*)\))?")
_Word = tuple[str, tuple[str, ...]]  # a name and what stands in its brackets


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Gate(_Frozen):
    """A component that counts only once the success rate passes ``on``, until it is below ``off``.

    The rate is that of the last 100 episodes of the training.
    """

    component: str
    on: float
    off: float


class Reference(_Frozen):
    """Mean and deviation over the steps of a baseline policy; the deviation is positive."""

    mean: float
    scale: float


class Shaping(_Frozen):
    """How the reward that trains is made of what a program answers.

    Components that are gated shut are left out, those that are potentials are set aside, the others
    are combined and the result is squashed; then come the potentials as gamma * Phi' - Phi. With
    ``combine`` "total" the program's own total is taken. ``references`` and ``total_reference``
    are fixed before training, where the operators ask for them.
    """

    combine: Combine = "total"
    signed: bool = False  # of geomean
    temperature: float = 0.1  # of softmin
    squash: Squash = "none"
    low: float = -1.0  # of clip
    high: float = 1.0
    sparse: str = "sparse"  # of sign: the names of its two components
    dense: str = "dense"
    steepness: float = 1.0  # of par
    gates: tuple[Gate, ...] = ()
    potentials: tuple[str, ...] = ()
    subgoals: float = 0.0  # what reaching all subgoals is worth, as a potential; 0: nothing
    references: Mapping[str, Reference] = {}
    total_reference: Reference | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """The components that it speaks of by name."""
        pair = (self.sparse, self.dense) if self.squash == "sign" else ()
        return (*pair, *(gate.component for gate in self.gates), *self.potentials)

    @property
    def by_training(self) -> bool:
        """Whether it needs what only a training of ours knows: references, or successes."""
        return self.combine == "logsigmoid" or self.squash == "par" or bool(self.gates)

    @property
    def text(self) -> str:
        """The choice as it is spelled, without the references."""
        signed = ["signed"] * self.signed
        combine: dict[str, list[Any]] = {"geomean": signed, "softmin": [self.temperature]}
        pair = [self.sparse, self.dense]
        squash: dict[str, list[Any]] = {
            "clip": [self.low, self.high],
            "sign": pair,
            "par": [self.steepness],
        }
        gates = [_spelled(gate.component, [gate.on, gate.off]) for gate in self.gates]
        rows = {
            "combine": _spelled(self.combine, combine.get(self.combine, [])),
            "squash": _spelled(self.squash, squash.get(self.squash, [])),
            "gate": "+".join(gates),
            "potential": "+".join(self.potentials),
            "subgoals": _spelled("potential", [self.subgoals]) if self.subgoals else "",
        }
        return ",".join(
            f"{key}={value}" for key, value in rows.items() if value not in ("", "total", "none")
        )


def _spelled(name: str, arguments: list[Any]) -> str:
    shown = [str(item).removesuffix(".0") for item in arguments]
    return f"{name}({','.join(shown)})" if shown else name


def parse_shaping(text: str) -> Shaping:
    """Returns the choice that is spelled so: ``combine=softmin(0.2),squash=clip(-1,1)``.

    Parts stand apart by commas or blanks: ``combine=`` total, sum, geomean, geomean(signed),
    logsigmoid, softmin(T), harmonic; ``squash=`` none, clip(low,high), sign(sparse,dense), par(k);
    ``gate=NAME(on,off)`` and ``potential=NAME`` of components, several joined by ``+``;
    ``subgoals=potential(weight)``.

    Raises:
        ConfigError: anything else.
    """
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip(", \t"):
        raise ConfigError(
            f"shaping {text!r}: parts such as combine=sum,squash=clip(-1,1) are wanted"
        )
    values: dict[str, Any] = {}
    seen = set()
    for part in parts:
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise ConfigError(f"shaping: {part!r} is unknown; {_hint(key, _KEYS)}")
        if key in seen:
            raise ConfigError(f"shaping: {key} is chosen twice")
        seen.add(key)
        values |= _READERS[key](_words(key, value))
    return _fitting(Shaping(**values), text)


def _fitting(found: Shaping, text: str) -> Shaping:
    names = [gate.component for gate in found.gates] + list(found.potentials)
    if not found.text:
        raise ConfigError(f"shaping {text!r} chooses nothing; leave it out")
    if found.squash == "sign" and (found.combine != "total" or found.gates):
        raise ConfigError(
            "shaping: squash=sign is made of two components; leave combine and gate out"
        )
    if names and found.combine == "total" and found.squash != "sign":
        raise ConfigError(
            f"shaping: {names[0]} may be part of the program's own total; say of what the reward "
            "is made, e.g. combine=sum"
        )
    if len(set(names)) < len(names):
        raise ConfigError(f"shaping: a component stands twice under gate and potential ({text})")
    return found


def _words(key: str, value: str) -> list[_Word]:
    words = []
    for word in value.split("+"):
        match = _WORD.fullmatch(word)
        if match is None:
            raise ConfigError(f"shaping: {key}={value!r} cannot be read; NAME(1,2) is wanted")
        inner = match[2]
        words.append((match[1], tuple(a.strip() for a in inner.split(",")) if inner else ()))
    return words


def _hint(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(known)} is wanted"


def _one(key: str, words: list[_Word], known: tuple[str, ...]) -> _Word:
    if len(words) != 1 or words[0][0] not in known:
        found = "+".join(name for name, _ in words)
        raise ConfigError(f"shaping: {key} is {found!r}; {_hint(found, known)}")
    return words[0]


def _numbers(what: str, arguments: tuple[str, ...], count: int) -> list[float]:
    try:
        numbers = [float(argument) for argument in arguments]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        found = f"{what}({','.join(arguments)})"
        raise ConfigError(f"shaping: {found} wants {count} number{'s' * (count > 1)}")
    return numbers


def _positive(what: str, arguments: tuple[str, ...]) -> float:
    (number,) = _numbers(what, arguments, 1)
    if number <= 0:
        raise ConfigError(f"shaping: {what}({number:g}) wants a number above 0")
    return number


def _combine(words: list[_Word]) -> dict[str, Any]:
    name, arguments = _one("combine", words, get_args(Combine))
    found: dict[str, Any] = {"combine": name}
    if name == "softmin" and arguments:
        return found | {"temperature": _positive(name, arguments)}
    if name == "geomean" and arguments == ("signed",):
        return found | {"signed": True}
    if arguments:
        raise ConfigError(f"shaping: {name} takes no {arguments[0]!r}")
    return found


def _squash(words: list[_Word]) -> dict[str, Any]:
    name, arguments = _one("squash", words, get_args(Squash))
    found: dict[str, Any] = {"squash": name}
    if name == "clip" and arguments:
        low, high = _numbers(name, arguments, 2)
        if low >= high:
            raise ConfigError(f"shaping: clip({low:g},{high:g}) wants the lower bound first")
        return found | {"low": low, "high": high}
    if name == "par" and arguments:
        return found | {"steepness": _positive(name, arguments)}
    if name == "sign" and arguments:
        if len(arguments) != 2 or not all(map(_WORD.fullmatch, arguments)):
            raise ConfigError(f"shaping: sign({','.join(arguments)}) wants two components")
        return found | {"sparse": arguments[0], "dense": arguments[1]}
    if arguments:
        raise ConfigError(f"shaping: {name} takes no {arguments[0]!r}")
    return found


def _gate(words: list[_Word]) -> dict[str, Any]:
    gates = []
    for name, arguments in words:
        on, off = _numbers(name, arguments, 2)
        if not 0 <= off < on <= 1:
            raise ConfigError(
                f"shaping: gate={name}({on:g},{off:g}) wants two success rates from 0 to 1, the "
                f"one that opens above the one that shuts, e.g. {name}(0.6,0.4)"
            )
        gates.append(Gate(component=name, on=on, off=off))
    return {"gates": tuple(gates)}


def _potential(words: list[_Word]) -> dict[str, Any]:
    for name, arguments in words:
        if arguments:
            raise ConfigError(f"shaping: potential={name} takes no {arguments[0]!r}")
    return {"potentials": tuple(name for name, _ in words)}


def _subgoals(words: list[_Word]) -> dict[str, Any]:
    name, arguments = _one("subgoals", words, ("potential",))
    return {"subgoals": _positive(f"subgoals={name}", arguments) if arguments else 1.0}


_READERS = {
    "combine": _combine,
    "squash": _squash,
    "gate": _gate,
    "potential": _potential,
    "subgoals": _subgoals,
}
