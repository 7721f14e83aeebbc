from pathlib import Path

import pytest

from rewardsmith.agent.llm import Usage
from rewardsmith.agent.prices import FREE, Price, cost_usd, find_price
from rewardsmith.errors import ConfigError

PRICE = Price(input=2.0, output=10.0, cached=0.2)


def test_cached_tokens_cost_their_own_price() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=100_000, cached_tokens=500_000)
    assert cost_usd(PRICE, usage) == pytest.approx(1.0 + 0.1 + 1.0)


def test_without_a_cached_price_cached_tokens_cost_as_much_as_others() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0, cached_tokens=500_000)
    assert cost_usd(Price(2.0, 10.0), usage) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("price", "usage"), [(None, Usage(1, 1)), (PRICE, Usage()), (PRICE, Usage(prompt_tokens=1))]
)
def test_what_is_unknown_is_none_and_never_zero(price: Price | None, usage: Usage) -> None:
    assert cost_usd(price, usage) is None


def test_a_free_model_costs_nothing_whatever_it_counted() -> None:
    assert cost_usd(FREE, Usage()) == 0.0


@pytest.mark.parametrize("name", ["local:x", "manual", "scripted", "replay:run"])
def test_models_of_ones_own_are_free(name: str) -> None:
    assert find_price(name) == FREE


def test_the_longest_matching_name_decides() -> None:
    mini, whole = find_price("openai:gpt-5.4-mini-2026-03-17"), find_price("openai:gpt-5.4")
    assert mini is not None
    assert whole is not None
    assert mini.output < whole.output


def test_litellm_names_are_looked_up_by_their_provider() -> None:
    assert find_price("litellm:anthropic/claude-sonnet-5-5") == Price(2.0, 10.0, 0.1)


@pytest.mark.parametrize("name", ["openai:no-such-model", "litellm:nobody/x", "openai:gpt-5.4-xl"])
def test_an_unknown_model_has_no_price(name: str) -> None:
    assert find_price(name) is None


def test_the_users_table_goes_first_and_ours_is_still_there(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('[openai]\n"gpt-5.4" = { input = 1, output = 2, cached = 0.5 }\n')
    assert find_price("openai:gpt-5.4", own) == Price(1.0, 2.0, 0.5)
    assert find_price("openai:gpt-5.5", own) == find_price("openai:gpt-5.5")
    assert find_price("openai:gpt-5.5", own, shipped=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "openai = 3",
        '[openai]\n"m" = 3',
        '[openai]\n"m" = { input = 1 }',
        '[openai]\n"m" = { input = 1, output = -2 }',
        '[openai]\n"m" = { input = 1, output = nan }',
        '[openai]\n"m" = { input = 1, output = "2" }',
        '[openai]\n"m" = { input = 1, output = 2, reasoning = 3 }',
    ],
)
def test_a_bad_table_is_named(tmp_path: Path, text: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        find_price("openai:m", own)


def test_a_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        find_price("openai:m", tmp_path / "gone.toml")
