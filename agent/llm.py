"""What a language model is to rewardsmith: a list of messages in, one reply out."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["designer", "critic", "analyzer"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """One logical call. ``sample`` tells apart K calls with the same messages."""

    role: Role
    messages: tuple[Message, ...]
    sample: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """Tokens of one call; ``cost_usd`` is None where the price is unknown (never 0 for unknown)."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True)
class Reply:
    """One answer. ``finish`` is the provider's word ("stop", "length"), ``attempts`` a count."""

    text: str
    model: str
    finish: str = "stop"
    usage: Usage = Usage()
    wall_s: float = 0.0
    attempts: int = 1
    dropped_parameters: tuple[str, ...] = ()


class LanguageModel(Protocol):
    """One provider and model."""

    @property
    def name(self) -> str:
        """Returns ``provider:model``, as in ``--llm``."""
        ...

    def ask(self, request: Request) -> Reply:
        """Returns one reply.

        Raises:
            ModelError: no usable reply within the deadline; ``kind`` says why.
        """
        ...
