"""Axes and marks of a hand-written SVG: no library, themed by the page's CSS, sharp."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from rewardsmith.runs.report_words import number, visible


@dataclass(frozen=True)
class Frame:
    """A plotting area: data ranges (never empty) and the pixels that they are drawn onto."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    width: int
    height: int
    left: int = 56
    right: int = 14
    top: int = 12
    bottom: int = 40

    def x(self, value: float) -> float:
        """Returns the pixel column of a data value."""
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        """Returns the pixel row of a data value; larger values are further up."""
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 1)


def finite(values: Iterable[float | None]) -> tuple[float, ...]:
    """Returns the values that can be drawn."""
    return tuple(v for v in values if v is not None and math.isfinite(v))


def padded(values: Sequence[float], share: float = 0.05) -> tuple[float, float]:
    """Returns a non-empty range around ``values``, widened by ``share`` of itself at both ends."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(1.0, abs(low), abs(high)):
        room = 0.5 * abs(low) or 0.5
        return low - room, high + room
    return low - share * (high - low), high + share * (high - low)


def ticks(low: float, high: float, wanted: int = 5) -> tuple[float, ...]:
    """Returns about ``wanted`` values in [low, high], each a multiple of 1, 2 or 5 times 10**k."""
    if wanted < 1:
        return ()
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(k * step for k in range(first, last + 1))


def tick_text(value: float, step: float) -> str:
    """Returns a tick's label, no longer than its neighbours ask for: 0.25, 50k, 2M."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(step) >= size / 10 and abs(value) >= size:
            return number(value / size, decimals=_step_places(step / size)) + suffix
    return number(value, decimals=_step_places(step))


def _step_places(step: float) -> int:
    size = abs(step)
    return 0 if size == 0 or size >= 1 else min(9, math.ceil(-math.log10(size) - 1e-9))


def tag(name: str, content: object = "", **attributes: object) -> Markup:
    """Returns one element; attributes and content are escaped, ``class_`` is "class"."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _clean(value))
        for key, value in attributes.items()
    )
    inner = content if isinstance(content, Markup) else escape(_clean(content))
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), pairs, inner)


def _clean(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def joined(parts: Iterable[Markup]) -> Markup:
    """Returns the parts one after another."""
    return Markup("").join(parts)


def text(x: float, y: float, content: str, class_: str = "") -> Markup:
    """Returns a label at a pixel position."""
    return tag("text", content, x=x, y=y, class_=class_)


def segment(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Returns a straight line between two pixel positions."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(frame: Frame, points: Sequence[tuple[float, float]], class_: str, title: str) -> Markup:
    """Returns a polyline through data points with a tooltip; a single point becomes a dot."""
    tip = tag("title", title)
    if len(points) == 1:
        x, y = points[0]
        return tag("circle", tip, cx=frame.x(x), cy=frame.y(y), r=2.5, class_=f"{class_} dot")
    route = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in points)
    return tag("polyline", tip, points=route, class_=f"{class_} line")


def axes(frame: Frame, *, x_label: str, y_label: str, wanted: tuple[int, int] = (6, 5)) -> Markup:
    """Returns grid lines, ticks and the two axis labels."""
    bottom, right = frame.height - frame.bottom, frame.width - frame.right
    parts = [_x_ticks(frame, wanted[0]), _y_ticks(frame, wanted[1])]
    parts.append(segment(frame.left, bottom, right, bottom, "axis"))
    if x_label:
        parts.append(text((frame.left + right) / 2, frame.height - 6, x_label, "label mid"))
    if y_label:
        middle = (frame.top + bottom) / 2
        turn = f"rotate(-90 12 {middle})"
        parts.append(tag("text", y_label, x=12, y=middle, class_="label mid", transform=turn))
    return joined(parts)


def _x_ticks(frame: Frame, wanted: int) -> Markup:
    values = ticks(frame.x_low, frame.x_high, wanted)
    step = values[1] - values[0] if len(values) > 1 else abs(frame.x_high - frame.x_low)
    row = frame.height - frame.bottom
    return joined(text(frame.x(v), row + 15, tick_text(v, step), "tick mid") for v in values)


def _y_ticks(frame: Frame, wanted: int) -> Markup:
    values = ticks(frame.y_low, frame.y_high, wanted)
    step = values[1] - values[0] if len(values) > 1 else abs(frame.y_high - frame.y_low)
    parts = []
    for value in values:
        row, zero = frame.y(value), " zero" if value == 0 else ""
        parts.append(segment(frame.left, row, frame.width - frame.right, row, f"grid{zero}"))
        parts.append(text(frame.left - 6, row + 3.5, tick_text(value, step), "tick end"))
    return joined(parts)


def svg(width: int, height: int, content: Markup, label: str) -> Markup:
    """Returns the drawing; ``label`` is read out where it cannot be seen."""
    view = f"0 0 {width} {height}"
    return tag(
        "svg", content, viewBox=view, width=width, height=height, role="img", aria_label=label
    )
