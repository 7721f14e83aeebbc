"""A reward over two fields as a heat map: one colour, the stronger the higher."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from rewardsmith.runs.pictures import Surface
from rewardsmith.runs.report_svg import Frame, axes, joined, svg, tag, text, tick_text, ticks
from rewardsmith.runs.report_words import number
from rewardsmith.runs.slice_plots import label

LEVELS = 20
_SIZE = (430, 300)
_FAINTEST = 0.05
_BAR = (366, 14)  # left edge and width of the scale


def surface_plot(item: Surface) -> Markup:
    """Draws the total at every point as a cell, with its scale and a ring at the step itself."""
    low, high = _range(item)
    xs, ys = _cell_edges(item.x.at), _cell_edges(item.y.at)
    frame = Frame(xs[0], xs[-1], ys[0], ys[-1], *_SIZE, left=64, right=84, top=14, bottom=42)
    grid = axes(frame, x_label=label(item.x), y_label=label(item.y), wanted=(5, 5))
    grid += _ground(frame)
    cells = _cells(frame, (xs, ys), item.total, (low, high))
    x, y = item.here
    ring = Markup("")
    if xs[0] <= x <= xs[-1] and ys[0] <= y <= ys[-1]:
        tip = tag("title", f"the {item.step} step: {number(x)}, {number(y)}")
        ring = tag("circle", tip, cx=frame.x(x), cy=frame.y(y), r=5, class_="ring")
    title = f"total over {item.x.name} and {item.y.name}"
    return svg(*_SIZE, grid + cells + ring + _scale(frame, low, high), title)


def _ground(frame: Frame) -> Markup:
    """Returns the page's colour below the cells: no grid line shines through them."""
    width, height = frame.width - frame.left - frame.right, frame.height - frame.top - frame.bottom
    return tag("rect", x=frame.left, y=frame.top, width=width, height=height, class_="ground")


def _range(item: Surface) -> tuple[float, float]:
    values = [value for row in item.total for value in row]
    low, high = min(values), max(values)
    return (low, high) if high - low > 1e-12 * max(1.0, abs(low), abs(high)) else (low, low + 1.0)


def _cell_edges(at: Sequence[float]) -> list[float]:
    """Returns where the cells around evenly spaced points begin and end, one more than points."""
    half = (at[-1] - at[0]) / max(1, len(at) - 1) / 2
    middles = [(a + b) / 2 for a, b in pairwise(at)]
    return [at[0] - half, *middles, at[-1] + half]


def _cells(
    frame: Frame,
    edges: tuple[Sequence[float], Sequence[float]],
    total: Sequence[Sequence[float]],
    span: tuple[float, float],
) -> Markup:
    """Returns one path per level: a cell of its own for each point would be ten times as long."""
    xs, ys = ([round(f(v)) for v in e] for f, e in zip((frame.x, frame.y), edges, strict=True))
    routes: dict[int, list[str]] = {}
    for j, row in enumerate(total):
        for i, value in enumerate(row):
            wide, tall = xs[i + 1] - xs[i], ys[j] - ys[j + 1]
            shape = f"M{xs[i]} {ys[j + 1]}h{wide}v{tall}h{-wide}z"
            routes.setdefault(_level(value, span), []).append(shape)
    return joined(
        tag("path", d="".join(shapes), fill_opacity=_strength(level), class_="heat")
        for level, shapes in sorted(routes.items())
    )


def _level(value: float, span: tuple[float, float]) -> int:
    return min(LEVELS - 1, int(LEVELS * (value - span[0]) / (span[1] - span[0])))


def _strength(level: int) -> float:
    return round(_FAINTEST + (1 - _FAINTEST) * level / (LEVELS - 1), 3)


def _scale(frame: Frame, low: float, high: float) -> Markup:
    """Returns the levels as a column with their values; the column is as tall as the frame."""
    left, wide = _BAR
    bar = Frame(0.0, 1.0, low, high, *_SIZE, top=frame.top, bottom=frame.bottom)
    step = (high - low) / LEVELS
    parts = []
    for level in range(LEVELS):
        bottom, top = (round(bar.y(low + step * k)) for k in (level, level + 1))
        shape = f"M{left} {top}h{wide}v{bottom - top}h{-wide}z"
        parts.append(tag("path", d=shape, fill_opacity=_strength(level), class_="heat"))
    values = ticks(low, high, 5)
    gap = values[1] - values[0] if len(values) > 1 else high - low
    marks = [text(left + wide + 5, bar.y(v) + 3.5, tick_text(v, gap), "tick") for v in values]
    return joined([*parts, *marks])
