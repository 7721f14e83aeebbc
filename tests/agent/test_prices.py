from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "-0.1", "true", "[1]"])
def test_a_price_is_a_finite_number(tmp_path: Path, value: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(f'[openai]\n"m" = {{ input = {value}, output = 1 }}\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: openai/m"):
        find_price("openai:m", own)


def test_a_name_without_its_quotes_gets_a_hint(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("[openai]\ngpt-5.4 = { input = 1, output = 2 }\n")
    with pytest.raises(ConfigError, match="a name with a dot needs its quotes"):
        find_price("openai:gpt-5.4", own)


def test_bytes_that_are_no_text_are_no_table(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.toml: not a readable table"):
        find_price("openai:m", own)
    with pytest.raises(ConfigError, match="not a readable table"):
        find_price("openai:m", tmp_path)


def test_a_price_of_nothing_needs_no_usage() -> None:
    assert cost_usd(Price(0.0, 0.0), Usage()) == 0.0
    assert cost_usd(Price(0.0, 0.0, 0.5), Usage()) is None


def test_the_table_in_the_configuration_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert find_price("openai:my-own") is None
    folder = tmp_path / "rewardsmith"
    folder.mkdir()
    (folder / "prices.toml").write_text('[openai]\n"my-*" = { input = 3, output = 4 }\n')
    assert find_price("openai:my-own") == Price(3.0, 4.0)
    assert find_price("litellm:openai/my-own") == Price(3.0, 4.0)


def test_a_pattern_matches_case_and_all_and_the_longest_wins(tmp_path: Path) -> None:
    own = tmp_path / "p.toml"
    rows = {"a*": 1, "ab*": 2, "abc": 3, "*": 4}
    lines = [f'"{name}" = {{ input = {n}, output = 0 }}' for name, n in rows.items()]
    own.write_text("[x]\n" + "\n".join(lines))
    found = {m: find_price(f"x:{m}", own) for m in ("abc", "abd", "a", "Abc", "zzz")}
    prices = {name: price.input if price else None for name, price in found.items()}
    assert prices == {"abc": 3.0, "abd": 2.0, "a": 1.0, "Abc": 4.0, "zzz": 4.0}


PRICES = st.builds(Price, *[st.floats(0.0, 100.0)] * 2, st.none() | st.floats(0.0, 100.0))
COUNT = st.integers(0, 10**7)


@given(PRICES, COUNT, COUNT, COUNT)
def test_no_cost_is_negative_and_more_tokens_never_cost_less(
    price: Price, prompt: int, answer: int, cached: int
) -> None:
    cost = cost_usd(price, Usage(prompt, answer, cached))
    more = cost_usd(price, Usage(prompt + 1, answer + 1, cached))
    assert cost is not None
    assert more is not None
    assert cost >= 0.0
    dearest = max(price.input, price.cached or 0.0)
    assert cost <= (prompt * dearest + answer * price.output) / 1e6 * (1 + 1e-9) + 1e-12
    if price.cached is None or price.cached <= price.input or cached <= prompt:
        assert more >= cost - 1e-12
