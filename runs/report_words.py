"""Text as a person reads it: numbers with their precision, and foreign text made visible."""

import math
import unicodedata
from collections.abc import Sequence

from rewardsmith.runs.stats import Interval, interval

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
# Cc control, Cf format (bidi, zero width), Co private use, Cs lone surrogate, Zl/Zp separators
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    """Returns ``text`` with each character that could hide or reorder others as its number.

    Models, programs and workers choose these texts; a right-to-left override would show a line of
    code as what it is not, an escape sequence would rewrite a terminal. Newline and tab stay.
    """
    plain = text.replace("\r\n", "\n")
    if plain.isascii() and plain.replace("\n", "").replace("\t", "").isprintable():
        return plain
    return "".join(_seen(char) for char in plain)


def _seen(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in _UNSEEN:
        return char
    return f"⟦U+{ord(char):04X}⟧"


def one_line(text: str, width: int) -> str:
    """Returns the visible text on one line, cut with an ellipsis at ``width`` characters."""
    joined = " ".join(visible(text).split())
    return joined if len(joined) <= width else joined[: width - 1] + "…"


def number(value: float | None, *, decimals: int | None = None) -> str:
    """Returns ``value`` with about four significant digits, a true minus and thousands commas."""
    if value is None or not math.isfinite(value):
        return MISSING
    places = decimals
    if places is None:
        places = 0 if float(value).is_integer() else _places(abs(value), 4)
    text = f"{value:,.{places}f}"
    if (places == 0 and abs(value) >= 1e15) or (decimals is None and 0 < abs(value) < 1e-6):
        text = f"{value:.3g}"
    if float(text.replace(",", "")) == 0.0:
        text = text.removeprefix("-")  # a rounded "-0.00" would claim a sign
    return text.replace("-", MINUS)


def _places(size: float, digits: int) -> int:
    if size == 0.0:
        return 0
    return min(9, max(0, digits - 1 - math.floor(math.log10(size))))


def with_interval(values: Sequence[float]) -> str:
    """Returns "mean [low, high]" of the 95 % t interval, or the mean alone where there is none."""
    return interval_text(interval(values)) if values else MISSING


def interval_text(spread: Interval) -> str:
    """Returns "mean [low, high]" with as many decimals as the half width is worth."""
    if not has_bounds(spread):
        return number(spread.mean)
    half = (spread.high - spread.low) / 2
    places = _places(half, 2) if half > 0 else _places(abs(spread.mean), 4)
    mean, low, high = (number(v, decimals=places) for v in (spread.mean, spread.low, spread.high))
    return f"{mean} [{low}, {high}]"


def seed_numbers(values: Sequence[float]) -> tuple[str, ...]:
    """Returns all values with the same decimals: three significant digits of the largest."""
    places = _places(max((abs(v) for v in values), default=0.0), 3)
    return tuple(number(v, decimals=places) for v in values)


def has_bounds(spread: Interval) -> bool:
    """Says whether the interval is one: from two seeds on."""
    return spread.n > 1 and math.isfinite(spread.low) and math.isfinite(spread.high)


def percent(value: float | None) -> str:
    """Returns a share in whole percent."""
    return (
        MISSING
        if value is None or not math.isfinite(value)
        else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"
    )


def count(value: int | float | None) -> str:
    """Returns a whole number with thousands commas."""
    return MISSING if value is None else f"{value:,.0f}".replace("-", MINUS)


def dollars(value: float | None) -> str:
    """Returns a price; None, the price of a call that has no known one, is "unknown", never 0."""
    if value is None:
        return "unknown"
    if 0 < value < 0.00005:
        return "< $0.0001"  # not free
    return "$0" if value == 0 else f"${value:,.2f}" if value >= 0.1 else f"${value:.4f}"


def duration(seconds: float | None) -> str:
    """Returns a time in the units that matter: "850 ms", "12.4 s", "3 min 05 s", "2 h 10 min"."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return MISSING
    if seconds < 59.95:  # what rounds to a whole minute is one
        return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
