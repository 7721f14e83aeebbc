import math
import re

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
        (1e-9, "1e\N{MINUS SIGN}09"),
        (-3.21e-12, "\N{MINUS SIGN}3.21e\N{MINUS SIGN}12"),
        (0.00001234, "0.00001234"),
        (9999.5, "10,000"),
        (1e15, "1e+15"),
        (-2.5e300, "\N{MINUS SIGN}2.5e+300"),
        (-math.inf, "\N{EN DASH}"),
    ],
)
def test_numbers_have_four_digits_and_missing_ones_are_dashes(
    value: float | None, text: str
) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (-0.004, 2, "0.00"),
        (-0.4, 0, "0"),
        (-0.006, 2, "\N{MINUS SIGN}0.01"),
        (1234.567, 1, "1,234.6"),
    ],
)
def test_a_rounded_zero_has_no_sign(value: float, decimals: int, text: str) -> None:
    assert number(value, decimals=decimals) == text


@given(st.floats(-1e300, 1e300))
def test_every_number_reads_back_as_about_itself(value: float) -> None:
    text = number(value)
    again = float(text.replace(",", "").replace("\N{MINUS SIGN}", "-"))
    assert again == pytest.approx(value, rel=0.01)
    assert "-" not in text
    assert (again == 0) == (value == 0)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=8))
def test_the_mean_shown_lies_within_the_bounds_shown(values: list[float]) -> None:
    text = with_interval(values).replace(",", "").replace("\N{MINUS SIGN}", "-")
    if "[" in text:
        mean, low, high = (
            float(part.strip(" []")) for part in re.split(r"(?<=\d) \[|(?<=\d) (?=-?\d)", text)
        )
        assert low <= mean <= high


@given(st.floats(0, 1e7))
def test_durations_name_no_more_of_a_unit_than_there_is(seconds: float) -> None:
    text = duration(seconds)
    found = [float(part) for part in re.findall(r"[\d.]+", text)]
    units = re.findall(r"[a-z]+", text)
    assert len(found) == len(units)
    most = {"ms": 1000, "s": 60, "min": 60, "h": 1e9}
    assert all(value < most[unit] for value, unit in zip(found, units, strict=True))
    size = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
    total = sum(value * size[unit] for value, unit in zip(found, units, strict=True))
    assert total == pytest.approx(seconds, abs=61 if "h" in units else 0.51)


@given(st.floats(1e-12, 1e6))
def test_no_price_above_zero_reads_as_nothing(usd: float) -> None:
    text = dollars(usd)
    assert float(text.replace("< ", "").removeprefix("$").replace(",", "")) > 0


@given(st.text(), st.integers(1, 60))
def test_one_line_is_one_line_within_its_width(text: str, width: int) -> None:
    shown = one_line(text, width)
    assert len(shown) <= width
    assert len(shown.splitlines()) <= 1
    assert shown == one_line(shown, width)


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
