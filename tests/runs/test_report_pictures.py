from pathlib import Path

import pytest

from rewardsmith.runs.pictures import Pictures
from rewardsmith.runs.records import RunState
from rewardsmith.runs.report import RunFacts, render_report
from rewardsmith.runs.report_curves import component_names
from rewardsmith.runs.report_multiples import series_class
from rewardsmith.runs.report_pictures import SLICES, pictured, read_pictures, report_pictures
from rewardsmith.runs.store import RunStore


def keep(folder: Path, candidate: str, pictures: Pictures) -> None:
    path = RunStore(folder).pictures_path(candidate)
    path.parent.mkdir(parents=True)
    path.write_text(pictures.model_dump_json())


def test_the_best_is_pictured_first_and_then_the_fittest_other(finished_run: RunState) -> None:
    assert [c.id for c in pictured(finished_run)] == ["g1.0", "g1.1"]
    other = finished_run.model_copy(update={"best": "g0.1"})
    assert [c.id for c in pictured(other)] == ["g0.1", "g1.0"]


def test_nothing_is_pictured_where_nothing_has_a_fitness(failing_run: RunState) -> None:
    assert pictured(failing_run) == ()


def test_the_report_shows_few_slices_the_histograms_and_the_shares_over_training(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts, pictures: Pictures
) -> None:
    many = pictures.model_copy(update={"slices": pictures.slices * 3})
    keep(tmp_path, "g1.0", many)
    page = render_report(tmp_path, finished_run, facts=run_facts)
    assert page.count('aria-label="total over torso_height"') == 2 < SLICES
    assert page.count('aria-label="run by outcome"') == 1
    assert 'aria-label="shares of the components, g1.0, selection seeds"' in page
    assert 'id="pictures-g1.0" open' in page
    assert 'id="pictures-g1.1"' not in page


def test_a_report_without_stored_pictures_still_has_the_scatters(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    page = render_report(tmp_path, finished_run, facts=run_facts)
    assert "pictures-g1.0" not in page
    assert page.count('aria-label="return against fitness, g') == 4


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"slices": 3}'])
def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pictures.json").write_bytes(content)
    assert read_pictures(tmp_path / "pictures.json") is None
    assert read_pictures(tmp_path / "absent.json") is None


def test_a_run_that_has_barely_begun_has_neither(tmp_path: Path) -> None:
    assert report_pictures(tmp_path, RunState(run="r", task="t")) == {
        "pictures": [],
        "scatters": [],
    }


def test_a_component_has_the_colour_that_it_has_in_the_rest_of_the_report(
    tmp_path: Path, finished_run: RunState, pictures: Pictures
) -> None:
    keep(tmp_path, "g1.0", pictures)
    ((_, shown),) = report_pictures(tmp_path, finished_run)["pictures"]
    names = component_names(finished_run)
    assert [label for label, _ in shown["slices"][0].legend] == ["run", "upright"]
    assert dict(shown["slices"][0].legend)["upright"] == series_class(names, "upright")
    assert names.index("upright") != 1
