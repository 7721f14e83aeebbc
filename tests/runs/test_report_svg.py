from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from rewardsmith.runs.report_svg import Frame, axes, padded, path, svg, tag, tick_text, ticks

VALUE = st.floats(-1e9, 1e9, allow_nan=False)


@given(VALUE, st.floats(1e-6, 1e9), st.integers(2, 10))
def test_ticks_are_evenly_spaced_within_the_range(low: float, width: float, wanted: int) -> None:
    found = ticks(low, low + width, wanted)
    assert len(found) <= wanted + 2
    room = 1e-6 * max(width, abs(low))
    assert all(low - room <= t <= low + width + room for t in found)


def test_ticks_are_round_numbers() -> None:
    assert ticks(0.0, 10.0, 5) == (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    assert ticks(-0.3, 0.3, 3) == pytest.approx((-0.2, 0.0, 0.2))
    assert ticks(0.0, 1.0, 0) == ()


@given(st.lists(VALUE, max_size=5))
def test_a_padded_range_is_never_empty_and_holds_its_values(values: list[float]) -> None:
    low, high = padded(values)
    assert low < high
    assert all(low <= v <= high for v in values)


def test_large_ticks_are_shortened_and_small_ones_keep_their_decimals() -> None:
    assert tick_text(50_000.0, 50_000.0) == "50k"
    assert tick_text(2_000_000.0, 500_000.0) == "2.0M"
    assert tick_text(-0.05, 0.05) == "\N{MINUS SIGN}0.05"


def test_a_frame_puts_larger_values_further_right_and_up() -> None:
    frame = Frame(0.0, 10.0, 0.0, 1.0, 200, 100)
    assert frame.x(0.0) == frame.left
    assert frame.x(10.0) == 200 - frame.right
    assert frame.y(1.0) == frame.top
    assert frame.y(0.0) == 100 - frame.bottom


def test_labels_cannot_break_out_of_their_element() -> None:
    shown = tag("text", '</text><script>"\u202e', class_='"><b>')
    assert "<script>" not in shown
    assert "\u202e" not in shown
    root = ElementTree.fromstring(str(shown))
    assert root.attrib == {"class": '"><b>'}
    assert root.text is not None
    assert root.text.startswith("</text><script>")


def test_a_single_point_is_a_dot_and_several_are_a_line() -> None:
    frame = Frame(0.0, 10.0, 0.0, 1.0, 200, 100)
    assert path(frame, [(1.0, 0.5)], "arm-best", "a").startswith("<circle")
    assert path(frame, [(1.0, 0.5), (2.0, 0.7)], "arm-best", "a").startswith("<polyline")


def test_a_drawing_is_well_formed_and_has_a_name() -> None:
    frame = Frame(-1.0, 1.0, 0.0, 5.0, 300, 200)
    drawing = svg(300, 200, axes(frame, x_label="<x>", y_label="y & z"), "a plot")
    root = ElementTree.fromstring(str(drawing))
    assert root.attrib["aria-label"] == "a plot"
    assert root.attrib["viewBox"] == "0 0 300 200"
    texts = [node.text for node in root.iter("text")]
    assert {"<x>", "y & z", "0", "5"} <= set(texts)
    assert isinstance(drawing, Markup)
