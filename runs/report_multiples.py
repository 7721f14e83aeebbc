"""Small multiples and the course of a search: many little frames that are read side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rewardsmith.runs.plots import SERIES, Point, Result
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
)
from rewardsmith.runs.report_words import number

CROSS = "\N{MULTIPLICATION SIGN}"
GAP = 0.34  # half of the width that one generation's results spread over


@dataclass(frozen=True)
class Panel:
    """One little frame: named series over a common x, titled."""

    title: str
    series: Mapping[str, tuple[Point, ...]]
    note: str = ""


def series_class(names: Sequence[str], name: str) -> str:
    """Returns the CSS class of a series: the same name has the same colour in every panel."""
    if name not in names:
        return "s-total"
    place = names.index(name)
    return f"s{place % SERIES}" + (" dashed" if place >= SERIES else "")


def panel_plot(
    panel: Panel, names: Sequence[str], *, width: int = 290, height: int = 172
) -> Markup:
    """Draws one panel with its own y range; an empty one shows its note instead of a line."""
    points = [p for line in panel.series.values() for p in line]
    if not points:
        middle = text(width / 2, height / 2, panel.note or "no data", "label mid")
        return svg(width, height, middle, panel.title)
    high = max(p[0] for p in points)
    low = min(0.0, min(p[0] for p in points))
    y_range = padded([p[1] for p in points], 0.08)
    frame = Frame(low, high if high > low else low + 1.0, *y_range, width, height, 46, 18, 8, 24)
    grid = axes(frame, x_label="", y_label="", wanted=(3, 3))
    lines = joined(
        path(frame, line, series_class(names, name), name)
        for name, line in panel.series.items()
        if line
    )
    return svg(width, height, grid + lines, panel.title)


def generations_plot(results: Sequence[Result], *, y_label: str, width: int = 940) -> Markup:
    """Draws every candidate by generation, the best so far as a stair, failures below."""
    known = [r.fitness for r in results if r.fitness is not None]
    if not results:
        return Markup("")
    last = max(r.generation for r in results)
    low, high = padded(known, 0.10)
    failed = any(r.fitness is None for r in results)
    floor = low - 0.14 * (high - low) if failed else low
    frame = Frame(-0.5, last + 0.5, floor, high, width, 260, left=66)
    marks = _result_marks(frame, results, (floor + low) / 2)
    if failed:
        marks += text(frame.left - 6, frame.y((floor + low) / 2) + 4, "failed", "tick end")
    # Without a single fitness there is no scale: ticks would be invented numbers.
    grid = _generation_axes(frame, last, low, y_label if known else "") + _stair(frame, results)
    return svg(width, 260, grid + marks, f"{y_label} of every candidate by generation")


def _generation_axes(frame: Frame, last: int, low: float, y_label: str) -> Markup:
    upper = Frame(**{**frame.__dict__, "y_low": low, "bottom": _row_of(frame, low)})
    names = [
        text(frame.x(k), frame.height - frame.bottom + 17, f"generation {k}", "tick mid")
        for k in range(last + 1)
    ]
    rules = [
        segment(frame.x(k + 0.5), frame.top, frame.x(k + 0.5), frame.height - frame.bottom, "grid")
        for k in range(last)
    ]
    base = frame.height - frame.bottom
    floor = segment(frame.left, base, frame.width - frame.right, base, "axis")
    return (
        axes(upper, x_label="", y_label=y_label, wanted=(0, 4 if y_label else 0))
        + joined(rules + names)
        + floor
    )


def _row_of(frame: Frame, value: float) -> int:
    return round(frame.height - frame.y(value))


def _result_marks(frame: Frame, results: Sequence[Result], row: float) -> Markup:
    parts = []
    for place, result in _spread(results):
        x = frame.x(place)
        tip = tag("title", f"{result.label}: {number(result.fitness)}")
        if result.fitness is None:
            parts.append(tag("text", CROSS, x=x, y=frame.y(row) + 4, class_="cross mid"))
            continue
        style = "arm-best" if result.best else "arm-thin"
        y = frame.y(result.fitness)
        parts.append(
            tag("circle", tip, cx=x, cy=y, r=5 if result.best else 4, class_=f"seed {style}")
        )
        if result.best:
            parts.append(text(x + 10, y + 16, result.label, "value"))
    return joined(parts)


def _spread(results: Sequence[Result]) -> list[tuple[float, Result]]:
    """Returns the results with their column: side by side around their generation's number."""
    placed = []
    for result in results:
        peers = [r for r in results if r.generation == result.generation]
        share = (peers.index(result) + 0.5) / len(peers)
        placed.append((result.generation - GAP + 2 * GAP * share, result))
    return placed


def _stair(frame: Frame, results: Sequence[Result]) -> Markup:
    best: float | None = None
    points: list[Point] = []
    for number_of in sorted({r.generation for r in results}):
        found = [r.fitness for r in results if r.generation == number_of and r.fitness is not None]
        best = max([*found, *([] if best is None else [best])], default=None)
        if best is not None:
            points += [(number_of - 0.5, best), (number_of + 0.5, best)]
    return path(frame, points, "stair", "best so far") if points else Markup("")
