"""Pictures of a reward as inline SVG: slices, surfaces, histograms by outcome, stacked shares."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from rewardsmith.runs.pictures import Axis, Histogram, Line, Shares, Slice, StepKind
from rewardsmith.runs.plots import Point
from rewardsmith.runs.report_multiples import series_class
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
from rewardsmith.runs.report_words import number, one_line

SIZE = (430, 216)
STILL = 0.1  # of the range of the line that moves most; less is not worth a picture
LABEL = 36  # characters of an axis label
STYLES: dict[StepKind, str] = {"median": "arm-best", "best paid": "arm-human", "drawn": "arm-thin"}
ORDER: tuple[StepKind, ...] = ("drawn", "best paid", "median")  # the last lies on top
_GROUPS = {1: ("s0",), 2: ("s1", "s0"), 3: ("s1", "s2", "s0")}


def total_plot(item: Slice) -> Markup:
    """Draws the total along an axis, a line per typical step, the median step's on top.

    Shaded is the stored range; a dot marks each step's own value.
    """
    frame = axis_frame(item.axis, [v for line in item.lines for v in line.total])
    parts = [_stored(frame, item.axis), axes(frame, x_label=label(item.axis), y_label="total")]
    for line in sorted(item.lines, key=lambda line: ORDER.index(line.step)):
        style, words = STYLES[line.step], f"{line.step} step, row {line.row}"
        points = tuple(zip(item.axis.at, line.total, strict=True))
        parts += [path(frame, points, style, words), *_dots(frame, item.axis, line, style)]
    return svg(*SIZE, joined(parts), f"total over {item.axis.name}")


def components_plot(item: Slice, names: Sequence[str]) -> Markup:
    """Draws every component along an axis at the median step, or where more happens at another."""
    line = _telling(item.lines)
    frame = axis_frame(item.axis, [v for values in line.components.values() for v in values])
    grid = axes(frame, x_label=label(item.axis), y_label=f"components, {line.step} step")
    lines = joined(
        path(frame, tuple(zip(item.axis.at, values, strict=True)), series_class(names, name), name)
        for name, values in line.components.items()
    )
    title = f"components over {item.axis.name}"
    return svg(*SIZE, _stored(frame, item.axis) + grid + lines, title)


def _telling(lines: Sequence[Line]) -> Line:
    """Returns the first line, the median step's, unless its total hardly moves beside another's."""
    ranges = [max(line.total) - min(line.total) for line in lines]
    most = max(ranges)
    return lines[0] if ranges[0] >= STILL * most else lines[ranges.index(most)]


def axis_frame(axis: Axis, values: Sequence[float]) -> Frame:
    """Returns the frame of a slice: the whole axis, and all values with some room."""
    low, high = axis.at[0], axis.at[-1]
    room = 0.12 * (high - low) if axis.few else 0.0
    return Frame(low - room, high + room, *padded(values, 0.08), *SIZE, left=60, right=16)


def label(axis: Axis) -> str:
    """Returns an axis's label, cut where it would not fit."""
    return one_line(axis.label, LABEL)


def _stored(frame: Frame, axis: Axis) -> Markup:
    if axis.few:
        return Markup("")
    left, right = (frame.x(min(max(v, axis.at[0]), axis.at[-1])) for v in (axis.low, axis.high))
    height = frame.height - frame.top - frame.bottom
    tip = tag("title", f"stored: {number(axis.low)} to {number(axis.high)}")
    width = round(max(1.0, right - left), 1)
    return tag("rect", tip, x=left, y=frame.top, width=width, height=height, class_="stored")


def _dots(frame: Frame, axis: Axis, line: Line, style: str) -> list[Markup]:
    if axis.few:
        marks = list(zip(axis.at, line.total, strict=True))
    elif axis.at[0] <= line.here <= axis.at[-1]:
        marks = [(line.here, between(axis.at, line.total, line.here))]
    else:
        return []
    radius = 4 if style == "arm-best" else 3
    return [
        tag("circle", tag("title", number(y)), cx=frame.x(x), cy=frame.y(y), r=radius,
            class_=f"seed {style}")
        for x, y in marks
    ]  # fmt: skip


def between(at: Sequence[float], values: Sequence[float], x: float) -> float:
    """Returns the value at ``x`` on the straight line between its neighbours."""
    for (x1, y1), (x2, y2) in pairwise(zip(at, values, strict=True)):
        if x <= x2:
            return y1 + (y2 - y1) * (x - x1) / (x2 - x1)
    return values[-1]


def group_class(place: int, of: int) -> str:
    """Returns the CSS class of an outcome: the best is always the first colour."""
    return _GROUPS[of][place] if of in _GROUPS else f"s{place}"


def histogram_plot(item: Histogram) -> Markup:
    """Draws the share of steps in each bin, an outline per outcome and its mean as a stroke."""
    width, height = SIZE
    if not item.edges:
        words = item.findings[0].text if item.findings else "no variation"
        return svg(width, height, text(width / 2, height / 2, words, "label mid"), item.column)
    top = max(share for group in item.groups for share in group.shares)
    frame = Frame(item.edges[0], item.edges[-1], 0.0, 1.08 * top, *SIZE, left=60, right=16)
    parts = [axes(frame, x_label="reward per step", y_label="share of steps")]
    for k, group in enumerate(item.groups):
        style = group_class(k, len(item.groups))
        points = _outline(item.edges, group.shares)
        parts.append(_area(frame, points, f"under {style}"))
        parts.append(path(frame, points, style, group.name))
        x = frame.x(min(max(group.mean, item.edges[0]), item.edges[-1]))
        tip = tag("title", f"{group.name}: mean {number(group.mean)}")
        bottom = height - frame.bottom
        parts.append(
            tag("line", tip, x1=x, y1=bottom - 9, x2=x, y2=bottom + 4, class_=f"middle {style}")
        )
    return svg(width, height, joined(parts), f"{item.column} by outcome")


def _outline(edges: Sequence[float], shares: Sequence[float]) -> tuple[Point, ...]:
    return tuple(
        (edge, share)
        for k, share in enumerate(shares)
        for edge in (edges[k], edges[k + 1])
    )  # fmt: skip


def _area(frame: Frame, points: Sequence[Point], class_: str) -> Markup:
    """Returns what lies between a line and the bottom of the frame."""
    ends = ((points[-1][0], frame.y_low), (points[0][0], frame.y_low))
    return polygon(frame, (*points, *ends), class_)


def polygon(frame: Frame, points: Sequence[Point], class_: str, title: str = "") -> Markup:
    """Returns a filled shape through data points."""
    route = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in points)
    tip = tag("title", title) if title else Markup("")
    return tag("polygon", tip, points=route, class_=class_)


def shares_plot(item: Shares, names: Sequence[str]) -> Markup:
    """Draws the components' shares over a training, one upon the other, to 100 %."""
    steps = item.steps if len(item.steps) > 1 else (0.0, *item.steps)
    frame = Frame(steps[0], steps[-1], 0.0, 1.0, *SIZE, left=60, right=16)
    floor = [0.0] * len(steps)
    parts = [axes(frame, x_label="environment steps", y_label="share", wanted=(5, 4))]
    for name, values in item.shares.items():
        whole = values if len(values) > 1 else values * 2
        upper = [low + value for low, value in zip(floor, whole, strict=True)]
        edge = [*zip(steps, upper, strict=True), *reversed([*zip(steps, floor, strict=True)])]
        parts.append(polygon(frame, edge, f"area {series_class(names, name)}", name))
        floor = upper
    bottom = frame.height - frame.bottom
    parts.append(segment(frame.left, bottom, frame.width - frame.right, bottom, "axis"))
    return svg(*SIZE, joined(parts), f"shares of the components, {item.label}")
