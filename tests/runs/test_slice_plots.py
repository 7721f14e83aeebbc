from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from rewardsmith.runs.pictures import Axis, Finding, Histogram, Pictures, Shares
from rewardsmith.runs.slice_plots import (
    SIZE,
    between,
    components_plot,
    group_class,
    histogram_plot,
    label,
    shares_plot,
    total_plot,
)


def of_class(drawing: Markup, word: str) -> list[ElementTree.Element]:
    nodes = ElementTree.fromstring(str(drawing)).iter()
    return [n for n in nodes if word in n.attrib.get("class", "").split()]


def titles(nodes: list[ElementTree.Element]) -> list[str | None]:
    return [next(iter(node)).text for node in nodes]


def test_a_slice_has_a_line_per_step_with_the_median_step_on_top(pictures: Pictures) -> None:
    lines = of_class(total_plot(pictures.slices[0]), "line")
    assert titles(lines) == ["drawn step, row 7", "median step, row 40"]
    assert "arm-best" in lines[-1].attrib["class"]


def test_a_dot_lies_on_its_line_at_the_steps_own_value(pictures: Pictures) -> None:
    drawing = total_plot(pictures.slices[0])
    dot = of_class(drawing, "seed")[-1]
    line = of_class(drawing, "line")[-1].attrib["points"].split()
    assert f"{dot.attrib['cx']},{dot.attrib['cy']}" == line[2]  # at 1.0, the third point


def test_the_stored_range_is_shaded_within_the_axis(pictures: Pictures) -> None:
    (band,) = of_class(total_plot(pictures.slices[0]), "stored")
    left, width = float(band.attrib["x"]), float(band.attrib["width"])
    assert 60 < left < left + width < SIZE[0] - 16
    assert titles([band]) == ["stored: 0.2000 to 1.200"]


def test_a_few_values_are_dots_and_no_range(pictures: Pictures) -> None:
    drawing = total_plot(pictures.slices[1])
    assert of_class(drawing, "stored") == []
    assert len(of_class(drawing, "seed")) == 4


def test_components_are_drawn_at_the_median_step_in_the_colours_of_their_names(
    pictures: Pictures,
) -> None:
    lines = of_class(components_plot(pictures.slices[0], ("upright", "run")), "line")
    assert titles(lines) == ["run", "upright"]
    assert [line.attrib["class"] for line in lines] == ["s1 line", "s0 line"]


@pytest.mark.parametrize(("x", "y"), [(0.0, 1.0), (0.5, 2.0), (1.0, 3.0), (1.5, 2.0)])
def test_between_two_points_the_line_is_straight(x: float, y: float) -> None:
    assert between((0.0, 1.0, 2.0), (1.0, 3.0, 1.0), x) == y


def test_an_axis_is_labelled_with_its_unit_and_a_long_name_is_cut() -> None:
    axis = Axis(name="a" * 60, unit="m/s", at=(0.0, 1.0), low=0.0, high=1.0)
    assert label(axis) == "a" * 35 + "…"
    assert label(axis.model_copy(update={"name": "speed"})) == "speed [m/s]"


def test_a_histogram_has_an_outline_and_a_mean_per_outcome(pictures: Pictures) -> None:
    drawing = histogram_plot(pictures.histograms[0])
    assert titles(of_class(drawing, "line")) == ["failure", "success"]
    assert titles(of_class(drawing, "middle")) == ["failure: mean 0.2000", "success: mean 0.8000"]
    assert [node.attrib["class"] for node in of_class(drawing, "under")] == ["under s1", "under s0"]


def test_a_constant_is_written_instead_of_drawn() -> None:
    finding = Finding(kind="constant", text="constant: 1 in every stored step")
    still = Histogram(column="wage", is_total=False, edges=(), groups=(), findings=(finding,))
    drawing = histogram_plot(still)
    assert of_class(drawing, "line") == []
    assert "constant: 1 in every stored step" in drawing


def test_the_best_outcome_has_the_first_colour_whatever_their_number() -> None:
    assert [group_class(n - 1, n) for n in (1, 2, 3)] == ["s0", "s0", "s0"]
    assert group_class(0, 2) == group_class(0, 3) == "s1"


@pytest.mark.parametrize("steps", [(100.0, 200.0), (100.0,)])
def test_shares_fill_the_frame_from_bottom_to_top(steps: tuple[float, ...]) -> None:
    parts = {"run": (0.25, 0.5)[: len(steps)], "effort": (0.75, 0.5)[: len(steps)]}
    drawing = shares_plot(Shares(label="g0.1", steps=steps, shares=parts), ("run", "effort"))
    areas = of_class(drawing, "area")
    rows = [float(p.split(",")[1]) for a in areas for p in a.attrib["points"].split()]
    assert titles(areas) == ["run", "effort"]
    assert (min(rows), max(rows)) == (12.0, SIZE[1] - 40)


def test_the_best_paid_step_lies_above_those_at_random_and_below_the_median(
    pictures: Pictures,
) -> None:
    median, drawn = pictures.slices[0].lines
    best = drawn.model_copy(update={"step": "best paid"})
    item = pictures.slices[0].model_copy(update={"lines": (median, best, drawn)})
    classes = [line.attrib["class"] for line in of_class(total_plot(item), "line")]
    assert classes == ["arm-thin line", "arm-human line", "arm-best line"]


def test_components_are_drawn_where_the_axis_moves_something(pictures: Pictures) -> None:
    item = pictures.slices[0]
    still = item.lines[0].model_copy(update={"total": (1.0,) * 4})
    best = item.lines[1].model_copy(update={"step": "best paid"})
    assert "components, median step" in components_plot(item, ("run", "upright"))
    moved = item.model_copy(update={"lines": (still, best)})
    assert "components, best paid step" in components_plot(moved, ("run", "upright"))
