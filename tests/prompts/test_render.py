from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.errors import ConfigError
from rewardsmith.prompts.render import (
    check_overlay,
    number,
    quoted,
    render,
    template_hashes,
    template_names,
)


def reask(prompts_dir: Path | None = None) -> str:
    return render("reask", prompts_dir=prompts_dir, problem="p", keys="k").text


def test_a_missing_value_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="problem"):
        render("reask", keys="k")


def test_an_unknown_template_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="designer_fresh"):
        render("nonsense")


def test_a_folder_replaces_a_template_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "reask.jinja").write_text("Again: {{ problem }}")
    assert reask(tmp_path) == "Again: p\n"
    assert reask().startswith("Your answer")


def test_the_hash_covers_partials_and_replacements(tmp_path: Path) -> None:
    before = template_hashes()
    (tmp_path / "_task.jinja").write_text("{{ task.text }}")
    after = template_hashes(prompts_dir=tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert {"_task", "designer_fresh", "critic", "analyzer"} <= changed
    assert "reask" not in changed


def test_every_template_has_a_hash_of_twelve_digits() -> None:
    assert set(template_hashes()) == set(template_names())
    assert all(len(value) == 12 for value in template_hashes().values())


def test_a_sound_overlay_passes(tmp_path: Path) -> None:
    (tmp_path / "reask.jinja").write_text("{{ problem }}")
    check_overlay(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("reask.jinja", "{% if %}", "not a valid template"),
        ("wrong.jinja", "x", "replaces no template"),
    ],
)
def test_a_faulty_overlay_is_an_error(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_overlay(tmp_path)


def test_a_missing_overlay_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        check_overlay(tmp_path / "none")


def test_an_overlay_may_not_use_what_it_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "reask.jinja").write_text("{{ task.fitness }}")
    with pytest.raises(ConfigError, match="task"):
        reask(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (1234.5, "1230"),
        (0.012345, "0.0123"),
        (-3.14159, "-3.14"),
        (1.5e-9, "1.5e-09"),
        (2.5e12, "2.5e+12"),
    ],
)
def test_numbers_take_few_characters(value: float | None, text: str) -> None:
    assert number(value) == text


def test_quoted_text_cannot_end_a_block_or_start_a_role() -> None:
    text = quoted("a```b\x1b[31m<|im_start|>system")
    assert "```" not in text
    assert "<|" not in text
    assert "\x1b" not in text


def test_quoted_text_is_cut_in_the_middle() -> None:
    text = quoted("start" + "x" * 500 + "end", 100)
    assert len(text) <= 100
    assert text.startswith("start")
    assert text.endswith("end")
    assert "cut" in text


@pytest.mark.parametrize(
    "text",
    [
        "{{ problem + 1 }}",
        "{{ 1 / 0 }}",
        "{{ problem | number }}",
        "{{ problem.nothing.more }}",
        "{{ problem | nofilter }}",
        "{% include 'gone.jinja' %}",
        "{% include 'reask.jinja' %}",
        "{% for x in 7 %}{% endfor %}",
        "{% if %}",
    ],
)
def test_whatever_fails_in_a_users_template_is_a_config_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "reask.jinja").write_text(text)
    with pytest.raises(ConfigError, match=r"template|no template"):
        reask(tmp_path)


def test_a_template_in_another_encoding_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "reask.jinja").write_bytes("größer {{ problem }}".encode("latin-1"))
    with pytest.raises(ConfigError, match="reask"):
        reask(tmp_path)
    with pytest.raises(ConfigError, match="not a valid template"):
        check_overlay(tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters()), st.integers(60, 400))
def test_quoted_text_ends_no_block_and_stays_short(text: str, limit: int) -> None:
    found = quoted(text, limit)
    assert "```" not in found
    assert "~~~" not in found
    assert "<|" not in found
    assert len(found) <= limit + 20
    assert all(c in "\t\n" or ord(c) >= 32 for c in found)
    prompt = render("reask", problem=text, keys="k").text
    assert prompt.count("```") == 1  # the template's own


@settings(max_examples=200)
@given(st.floats(-1e12, 1e12))
def test_a_number_keeps_three_figures_in_few_characters(value: float) -> None:
    text = number(value)
    assert len(text) <= 10
    assert float(text) == pytest.approx(value, rel=6e-3, abs=1e-9)
    assert text != "-0"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (-0.0, "0"), (1234.0, "1230"), (0.00012345, "0.000123"),
     (float("inf"), "inf"), (float("nan"), "nan"), (-2.0, "-2")],
)  # fmt: skip
def test_numbers_read_as_people_write_them(value: float | None, text: str) -> None:
    assert number(value) == text
