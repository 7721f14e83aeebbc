import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.runs.report_words import (
    count,
    dollars,
    duration,
    number,
    one_line,
    percent,
    seed_numbers,
    visible,
    with_interval,
)


@given(st.text())
def test_no_hidden_or_reordering_character_survives(text: str) -> None:
    shown = visible(text)
    assert not any(c in shown for c in "\u202e\u2066\u200b\x1b\x00\r\u2028\ufeff")
    shown.encode("utf-8")


def test_ordinary_text_and_line_ends_stay_as_they_are() -> None:
    assert visible("naïve Größe 漢字\n\tx\r\ny") == "naïve Größe 漢字\n\tx\ny"
    assert visible("a\u202eb\x1b[0m") == "a⟦U+202E⟧b⟦U+001B⟧[0m"


def test_one_line_is_no_longer_than_asked() -> None:
    assert one_line("a  b\n c", 10) == "a b c"
    assert one_line("abcdefgh", 5) == "abcd…"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.14159, "3.142"),
        (12.0, "12"),
        (-0.00123456, "\N{MINUS SIGN}0.001235"),
        (123456.7, "123,457"),
        (None, "\N{EN DASH}"),
        (math.nan, "\N{EN DASH}"),
        (math.inf, "\N{EN DASH}"),
        (-0.0, "0"),
    ],
)
def test_numbers_have_four_digits_and_missing_ones_are_dashes(
    value: float | None, text: str
) -> None:
    assert number(value) == text


def test_an_interval_has_the_decimals_that_its_width_is_worth() -> None:
    assert with_interval([10.0, 11.0, 12.0]) == "11.0 [8.5, 13.5]"
    assert with_interval([1000.0, 1100.0, 1300.0]) == "1,133 [754, 1,513]"
    assert with_interval([2.5]) == "2.500"
    assert with_interval([]) == "\N{EN DASH}"
    assert with_interval([3.0, 3.0]) == "3.000 [3.000, 3.000]"


def test_values_of_seeds_share_their_decimals() -> None:
    assert seed_numbers([8.1, 10.0, 0.25]) == ("8.1", "10.0", "0.2")
    assert seed_numbers([]) == ()


def test_durations_prices_counts_and_shares_read_well() -> None:
    assert [duration(s) for s in (0.85, 12.44, 185.0, 7800.0, None)] == [
        "850 ms",
        "12.4 s",
        "3 min 05 s",
        "2 h 10 min",
        "\N{EN DASH}",
    ]
    assert [dollars(v) for v in (None, 0.0, 0.0042, 1234.5)] == [
        "unknown",
        "$0",
        "$0.0042",
        "$1,234.50",
    ]
    assert count(4_600_000) == "4,600,000"
    assert count(None) == "\N{EN DASH}"
    assert percent(0.614) == "61\N{NO-BREAK SPACE}%"
    assert percent(None) == "\N{EN DASH}"
