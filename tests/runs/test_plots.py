from xml.etree import ElementTree

from markupsafe import Markup

from rewardsmith.runs.plots import Curve, Dots, Result, curves_plot, interval_plot
from rewardsmith.runs.report_multiples import Panel, generations_plot, panel_plot, series_class


def tree(drawing: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(drawing))


def of_class(drawing: Markup, word: str) -> list[ElementTree.Element]:
    return [n for n in tree(drawing).iter() if word in n.attrib.get("class", "").split()]


def test_the_emphasised_curve_lies_on_top() -> None:
    curves = [
        Curve("best", ((0.0, 1.0), (1.0, 2.0)), "best"),
        Curve("a", ((0.0, 0.0), (1.0, 1.0))),
        Curve("human", ((0.0, 0.5), (1.0, 1.5)), "human"),
    ]
    lines = of_class(curves_plot(curves, x_label="steps", y_label="fitness"), "line")
    assert [line.attrib["class"].split()[0] for line in lines] == [
        "arm-thin",
        "arm-human",
        "arm-best",
    ]
    assert [next(iter(line)).text for line in lines] == ["a", "human", "best"]


def test_nothing_to_draw_gives_nothing() -> None:
    assert curves_plot([Curve("a", ())], x_label="x", y_label="y") == ""
    assert interval_plot([Dots("a", (), "best")], x_label="x") == ""
    assert generations_plot([], y_label="y") == ""


def test_an_interval_plot_has_a_dot_per_seed_and_a_bar_where_there_is_an_interval() -> None:
    rows = [Dots("best", (3.0, 4.0, 5.0), "best"), Dots("human", (2.0,), "human")]
    drawing = interval_plot(rows, x_label="fitness [m]")
    assert len(of_class(drawing, "seed")) == 4
    assert [bar.attrib["class"] for bar in of_class(drawing, "bar")] == ["bar arm-best"]
    means = of_class(drawing, "mean")
    assert next(iter(means[0])).text == "best: 4.0 [1.5, 6.5], n = 3"
    assert next(iter(means[1])).text == "human: 2, n = 1"


def test_bars_and_dots_stay_within_the_drawing() -> None:
    drawing = interval_plot([Dots("best", (-1e6, 1e6), "best")], x_label="x")
    (bar,) = of_class(drawing, "bar")
    left, width = float(bar.attrib["x"]), float(bar.attrib["width"])
    assert 150 <= left < left + width <= 940 - 24


def test_equal_values_are_drawn_too() -> None:
    assert len(of_class(interval_plot([Dots("a", (3.0, 3.0), "best")], x_label="x"), "seed")) == 2
    flat = [Curve("a", ((0.0, 0.0), (0.0, 0.0)))]
    assert "nan" not in curves_plot(flat, x_label="x", y_label="y")


def test_failures_are_crosses_and_the_best_is_named() -> None:
    results = [
        Result("g0.0", 0, 1.0),
        Result("g0.1", 0, None),
        Result("g1.0", 1, 3.0, best=True),
    ]
    drawing = generations_plot(results, y_label="fitness")
    assert len(of_class(drawing, "cross")) == 1
    assert [n.text for n in of_class(drawing, "value")] == ["g1.0"]
    texts = [n.text for n in tree(drawing).iter("text")]
    assert "generation 0" in texts
    assert "failed" in texts


def test_a_search_in_which_all_failed_is_a_row_of_crosses() -> None:
    drawing = generations_plot([Result("a", 0, None), Result("b", 0, None)], y_label="fitness")
    assert len(of_class(drawing, "cross")) == 2
    assert not of_class(drawing, "stair")
    assert not {"0", "0.0", "0.5", "1.0"} & {n.text for n in tree(drawing).iter("text")}


def test_the_stair_never_descends() -> None:
    results = [Result("a", 0, 5.0), Result("b", 1, 2.0), Result("c", 2, 7.0)]
    (stair,) = of_class(generations_plot(results, y_label="y"), "stair")
    rows = [float(point.split(",")[1]) for point in stair.attrib["points"].split()]
    assert rows == sorted(rows, reverse=True)


def test_a_component_has_the_same_colour_in_every_panel() -> None:
    names = tuple(f"c{k}" for k in range(10))
    assert series_class(names, "c0") == "s0"
    assert series_class(names, "c9") == "s1 dashed"
    assert series_class(names, "total") == "s-total"


def test_an_empty_panel_says_why() -> None:
    drawing = panel_plot(Panel("g0.0", {}, note="not trained"), ())
    assert [n.text for n in tree(drawing).iter("text")] == ["not trained"]


def test_a_panel_draws_each_series_with_its_name() -> None:
    panel = Panel("g0.0", {"run": ((0.0, 1.0), (10.0, 2.0)), "total": ((0.0, 2.0), (10.0, 4.0))})
    lines = of_class(panel_plot(panel, ("run",)), "line")
    assert [next(iter(line)).text for line in lines] == ["run", "total"]
