import re
from xml.etree import ElementTree

from markupsafe import Markup

from rewardsmith.runs.pictures import Pictures, Surface
from rewardsmith.runs.surface_plots import LEVELS, surface_plot

CELL = re.compile(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z")


def of_class(drawing: Markup, word: str) -> list[ElementTree.Element]:
    nodes = ElementTree.fromstring(str(drawing)).iter()
    return [n for n in nodes if word in n.attrib.get("class", "").split()]


def cells(drawing: Markup) -> list[tuple[float, tuple[int, ...]]]:
    """Returns (strength, (x, y, width, height)) of every cell; the scale comes last."""
    return [
        (float(node.attrib["fill-opacity"]), tuple(int(n) for n in found))
        for node in of_class(drawing, "heat")
        for found in CELL.findall(node.attrib["d"])
    ]


def test_every_point_is_a_cell_and_the_cells_leave_no_gap(pictures: Pictures) -> None:
    drawn = [shape for _, shape in cells(surface_plot(pictures.surfaces[0]))[:-LEVELS]]
    assert len(drawn) == 2 * 4
    lefts = sorted({x for x, *_ in drawn})
    widths = {x: w for x, _, w, _ in drawn}
    assert [x + widths[x] for x in lefts[:-1]] == lefts[1:]


def test_the_highest_is_the_strongest_and_lies_at_the_top_right(pictures: Pictures) -> None:
    drawn = cells(surface_plot(pictures.surfaces[0]))[:-LEVELS]
    strongest, faintest = max(drawn), min(drawn)
    assert strongest[0] == 1.0
    assert strongest[1][0] > faintest[1][0]
    assert strongest[1][1] < faintest[1][1]


def test_the_scale_shows_every_level_with_ticks_of_the_total(pictures: Pictures) -> None:
    drawing = surface_plot(pictures.surfaces[0])
    scale = cells(drawing)[-LEVELS:]
    assert [strength for strength, _ in scale] == sorted(strength for strength, _ in scale)
    words = [n.text for n in of_class(drawing, "tick") if float(n.attrib["x"]) > 380]
    assert words == ["0", "1", "2", "3", "4"]


def test_a_ring_marks_the_step_itself_where_it_is_in_the_picture(pictures: Pictures) -> None:
    surface: Surface = pictures.surfaces[0]
    assert len(of_class(surface_plot(surface), "ring")) == 1
    outside = surface.model_copy(update={"here": (9.0, 1.0)})
    assert of_class(surface_plot(outside), "ring") == []


def test_a_surface_without_variation_is_drawn_all_the_same(pictures: Pictures) -> None:
    flat = pictures.surfaces[0].model_copy(update={"total": ((1.0,) * 4, (1.0,) * 4)})
    assert {strength for strength, _ in cells(surface_plot(flat))[:-LEVELS]} == {0.05}
