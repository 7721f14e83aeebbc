"""What a token costs: a small table, and the user's own table before it."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from rewardsmith.agent.llm import Usage
from rewardsmith.errors import ConfigError

FREE_PROVIDERS = frozenset({"local", "manual", "scripted", "replay"})


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens. ``cached`` None: cached prompt tokens cost like the others."""

    input: float
    output: float
    cached: float | None = None


FREE = Price(0.0, 0.0, 0.0)


def cost_usd(price: Price | None, usage: Usage) -> float | None:
    """Cost of one call in US dollars; None where the price or a count of tokens is unknown."""
    if price is None:
        return None
    if not (price.input or price.output or price.cached):
        return 0.0
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    cached_price = price.input if price.cached is None else price.cached
    fresh = usage.prompt_tokens - cached
    total = fresh * price.input + cached * cached_price + usage.completion_tokens * price.output
    return total / 1e6


def find_price(name: str, own: Path | None = None, *, shipped: bool = True) -> Price | None:
    """Price of the model ``provider:model`` (or ``litellm:provider/model``); None where unknown.

    Args:
        name: as in ``--llm``.
        own: the user's table, in the form of ``prices.toml``; default ``prices.toml`` in the
            configuration folder (``~/.config/rewardsmith/``), if there is one.
        shipped: look into our own table too, which speaks of the providers' own endpoints.

    Raises:
        ConfigError: the user's table cannot be read, or a price in it is no number >= 0.
    """
    provider, _, model = name.partition(":")
    if provider in FREE_PROVIDERS:
        return FREE
    if provider == "litellm" and "/" in model:
        provider, _, model = model.partition("/")
    own = _default_own_table() if own is None else own
    tables = [_read(own)] if own is not None else []
    for table in [*tables, _shipped()] if shipped else tables:
        price = _best_match(table.get(provider, {}), model)
        if price is not None:
            return price
    return None


def _best_match(prices: Mapping[str, Price], model: str) -> Price | None:
    names = [name for name in prices if fnmatchcase(model, name)]
    return prices[max(names, key=lambda name: (name == model, len(name)))] if names else None


def _shipped() -> dict[str, dict[str, Price]]:
    text = resources.files("rewardsmith.agent").joinpath("prices.toml").read_text("utf-8")
    return _parsed(tomllib.loads(text), "prices.toml")


def _default_own_table() -> Path | None:
    from platformdirs import user_config_path

    path = user_config_path("rewardsmith") / "prices.toml"
    return path if path.is_file() else None


def _read(path: Path) -> dict[str, dict[str, Price]]:
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable table of prices ({error})") from error
    return _parsed(raw, str(path))


def _parsed(raw: Mapping[str, Any], where: str) -> dict[str, dict[str, Price]]:
    tables: dict[str, dict[str, Price]] = {}
    for provider, rows in raw.items():
        if not isinstance(rows, Mapping):
            raise ConfigError(f"{where}: [{provider}] is no table of models")
        tables[provider] = {m: _price(row, f"{where}: {provider}/{m}") for m, row in rows.items()}
    return tables


def _price(row: object, where: str) -> Price:
    wanted = (
        'wanted is "MODEL" = { input = 2.0, output = 10.0, cached = 0.2 }, in $ per million tokens '
        "(a name with a dot needs its quotes)"
    )
    if not isinstance(row, Mapping) or not {"input", "output"} <= set(row) <= set(
        ("input", "output", "cached")
    ):
        raise ConfigError(f"{where} is {row!r}; {wanted}")
    for value in row.values():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise ConfigError(f"{where} holds {value!r}; {wanted}")
    return Price(**{name: float(value) for name, value in row.items()})
