"""The report's pictures, as inline SVG: dots and intervals, curves, small multiples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from rewardsmith.runs.report_svg import (
    Frame,
    axes,
    joined,
    padded,
    path,
    segment,
    svg,
    tag,
    text,
    ticks,
)
from rewardsmith.runs.report_words import has_bounds, number, with_interval
from rewardsmith.runs.stats import interval

Style = Literal["thin", "best", "human", "random"]
SERIES = 8  # colours that a page's CSS defines as .s0 ... .s7; later series repeat them, dashed
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One line of a plot: points in order of x, and what it stands for."""

    label: str
    points: tuple[Point, ...]
    style: Style = "thin"


@dataclass(frozen=True)
class Dots:
    """One row of an interval plot: a value per seed."""

    label: str
    values: tuple[float, ...]
    style: Style


@dataclass(frozen=True)
class Result:
    """One candidate in the course of the search; ``fitness`` is None where it failed."""

    label: str
    generation: int
    fitness: float | None
    best: bool = False


def curves_plot(
    curves: Sequence[Curve], *, x_label: str, y_label: str, width: int = 940, height: int = 340
) -> Markup:
    """Draws all curves into one frame, the emphasised ones last so that they lie on top."""
    drawn = [c for c in curves if c.points]
    if not drawn:
        return Markup("")
    frame = _frame([p for c in drawn for p in c.points], width, height)
    order = sorted(drawn, key=lambda c: ("thin", "random", "human", "best").index(c.style))
    lines = joined(path(frame, c.points, f"arm-{c.style}", c.label) for c in order)
    return svg(width, height, axes(frame, x_label=x_label, y_label=y_label) + lines, y_label)


def _frame(points: Sequence[Point], width: int, height: int) -> Frame:
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    low = min(0.0, min(xs)) if min(xs) < 0.3 * max(xs) else min(xs)
    high = max(xs) if max(xs) > low else low + 1.0
    return Frame(low, high, *padded(ys, 0.06), width, height)


def interval_plot(rows: Sequence[Dots], *, x_label: str, width: int = 940) -> Markup:
    """Draws one row per arm: a dot per seed, the mean, and its 95 % t interval as a bar."""
    shown = [r for r in rows if r.values]
    if not shown:
        return Markup("")
    edges = [v for r in shown for v in (*r.values, *_bounds(r.values))]
    low, high = padded(edges, 0.05)
    height = 46 * len(shown) + 54
    frame = Frame(low, high, 0.0, float(len(shown)), width, height, left=150, right=24)
    marks = joined(_dots(frame, row, len(shown) - k - 0.5) for k, row in enumerate(shown))
    grid = _column_grid(frame, x_label)
    return svg(width, height, grid + marks, f"{x_label} of each arm")


def _bounds(values: Sequence[float]) -> tuple[float, ...]:
    spread = interval(values)
    return (spread.low, spread.high) if has_bounds(spread) else ()


def _column_grid(frame: Frame, x_label: str) -> Markup:
    lines = [
        segment(frame.x(v), frame.top, frame.x(v), frame.height - frame.bottom, "grid")
        for v in ticks(frame.x_low, frame.x_high, 6)
    ]
    bare = Frame(**{**frame.__dict__, "y_low": 2.0, "y_high": 2.1})
    return joined(lines) + axes(bare, x_label=x_label, y_label="", wanted=(6, 0))


def _dots(frame: Frame, row: Dots, level: float) -> Markup:
    y, spread = frame.y(level), interval(row.values)
    parts = [text(frame.left - 12, y + 4, row.label, "row end")]
    bounds = _bounds(row.values)
    if bounds:
        x1, x2 = frame.x(bounds[0]), frame.x(bounds[1])
        wide, style = max(1.0, x2 - x1), f"bar arm-{row.style}"
        parts.append(tag("rect", x=x1, y=y - 7, width=wide, height=14, rx=3, class_=style))
    parts += [_seed_dot(frame, value, y, row.style) for value in row.values]
    x = frame.x(spread.mean)
    tip = tag("title", f"{row.label}: {with_interval(row.values)}, n = {len(row.values)}")
    parts.append(tag("line", tip, x1=x, y1=y - 11, x2=x, y2=y + 11, class_=f"mean arm-{row.style}"))
    return joined(parts)


def _seed_dot(frame: Frame, value: float, y: float, style: Style) -> Markup:
    tip = tag("title", number(value))
    return tag("circle", tip, cx=frame.x(value), cy=y, r=4, class_=f"seed arm-{style}")
