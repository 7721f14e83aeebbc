"""The pictures of a reward, drawn and with their legends and findings, ready for a template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from rewardsmith.runs.pictures import Finding, Histogram, Pictures, Shares, Slice, Surface
from rewardsmith.runs.report_multiples import series_class
from rewardsmith.runs.slice_plots import (
    STYLES,
    components_plot,
    group_class,
    histogram_plot,
    shares_plot,
    total_plot,
)
from rewardsmith.runs.surface_plots import surface_plot


@dataclass(frozen=True)
class Drawn:
    """One titled picture: a plot or two beside each other, a legend, what they show."""

    title: str
    plots: tuple[Markup, ...]
    legend: tuple[tuple[str, str], ...]  # (label, CSS class)
    findings: tuple[str, ...]


def pictures_view(
    found: Pictures,
    *,
    slices: int | None = None,
    surfaces: int | None = None,
    names: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Returns the template's variables of a reward's pictures.

    Args:
        found: what to draw.
        slices: at most so many.
        surfaces: at most so many.
        names: of components in the order of their colours; its own by default.
    """
    names = [*names, *(name for name in found.components if name not in names)]
    return {
        "slices": [_slice(item, names, found.components) for item in found.slices[:slices]],
        "steps": _steps(found.slices),
        "surfaces": [_surface(item) for item in found.surfaces[:surfaces]],
        "histograms": [_histogram(item) for item in found.histograms],
        "outcomes": _outcomes(found.histograms),
        "shares": [shares_view(item, names) for item in found.shares],
        "findings": _texts(found.findings),
    }


def _steps(slices: Sequence[Slice]) -> tuple[tuple[str, str], ...]:
    """Returns the legend that the lines of all slices share."""
    kinds = dict.fromkeys(line.step for item in slices for line in item.lines)
    words = {"median": "median step", "best paid": "best paid step", "drawn": "steps at random"}
    return tuple((words[kind], STYLES[kind]) for kind in kinds)


def _slice(item: Slice, names: Sequence[str], shown: Sequence[str]) -> Drawn:
    plots = [total_plot(item)]
    if shown:
        plots.append(components_plot(item, names))
    legend = tuple((name, series_class(names, name)) for name in shown)
    return Drawn(item.axis.label, tuple(plots), legend, _texts(item.findings))


def _surface(item: Surface) -> Drawn:
    title = f"{item.x.name}, {item.y.name}, at the {item.step} step"
    return Drawn(title, (surface_plot(item),), (), _texts(item.findings))


def _histogram(item: Histogram) -> Drawn:
    title = "total" if item.is_total else f"component {item.column}"
    return Drawn(title, (histogram_plot(item),), (), _texts(item.findings))


def _outcomes(histograms: Sequence[Histogram]) -> tuple[tuple[str, str], ...]:
    """Returns the legend that all histograms share: outcomes with their episodes and steps."""
    groups = histograms[0].groups if histograms else ()
    return tuple(
        (f"{g.name}: {g.episodes} episodes, {g.rows:,} steps", group_class(k, len(groups)))
        for k, g in enumerate(groups)
    )


def shares_view(item: Shares, names: Sequence[str]) -> Drawn:
    """Returns the stacked shares of one training; a name has the colour that it has elsewhere."""
    known = [*names, *(name for name in item.shares if name not in names)]
    legend = tuple((name, series_class(known, name)) for name in item.shares)
    return Drawn(item.label, (shares_plot(item, known),), legend, _texts(item.findings))


def _texts(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(found.text for found in findings)
