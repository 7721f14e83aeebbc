import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rewardsmith.errors import StoreError
from rewardsmith.runs.pictures import Pictures
from rewardsmith.runs.pictures_page import render_pictures, write_pictures

PROGRAM = (
    '"""Reward </script><script>alert(1)</script>."""\ndef compute_reward(x):\n    return x, {}\n'
)
VOID = {"meta"}


class Elements(HTMLParser):
    """The elements of a page, whose tags must close in order, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(pictures: Pictures, title: str = "reward.py") -> Elements:
    return Elements(render_pictures(pictures, PROGRAM, title=title, numbers="reward_plots.json"))


def test_the_page_is_one_file_that_needs_nothing_from_outside(pictures: Pictures) -> None:
    text = render_pictures(pictures, PROGRAM, title="reward.py")
    page = Elements(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.found}
    assert not re.search(r"https?:|//cdn|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text


def test_the_page_has_every_picture_with_its_findings(pictures: Pictures) -> None:
    page = page_of(pictures)
    names = [a["aria-label"] for tag, a in page.found if tag == "svg"]
    assert names == [
        *("total over torso_height", "components over torso_height"),
        *("total over foot_contact", "components over foot_contact"),
        "total over torso_height and foot_contact",
        *("total by outcome", "run by outcome", "upright by outcome"),
    ]
    assert "highest at the corner" in page.text
    assert "read, yet without effect: torso_pitch" in page.text
    assert "failure: 3 episodes, 400 steps" in page.text
    assert "over 1,600 stored steps of 5 episodes: mean 1.250 per step, std 0.5000" in page.text
    assert "reward_plots.json" in page.text


def test_no_text_of_a_program_or_a_card_becomes_markup_or_reorders_the_page(
    hostile_pictures: Pictures,
) -> None:
    page = page_of(hostile_pictures, title='"><img src=x>\u202e')
    tags = {tag for tag, _ in page.found}
    assert not {"script", "img"} & tags
    assert not any(name.startswith("on") for _, found in page.found for name in found)
    text = render_pictures(hostile_pictures, PROGRAM, title="\u202e")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b\ud800]", text)
    assert "<script>alert" in page.text


def test_a_reward_without_components_or_effect_has_a_page_too(pictures: Pictures) -> None:
    bare = pictures.model_copy(
        update={"components": (), "slices": (), "surfaces": (), "histograms": ()}
    )
    text = page_of(bare).text
    assert "Nothing that the program reads moves its total" in text
    assert "Two at a time" not in text


def test_the_numbers_are_written_beside_the_page(tmp_path: Path, pictures: Pictures) -> None:
    numbers = write_pictures(tmp_path / "a.html", pictures, PROGRAM, title="a")
    assert numbers == tmp_path / "a.json"
    assert Pictures.model_validate(json.loads(numbers.read_text())) == pictures
    assert "a.json" in (tmp_path / "a.html").read_text()


def test_a_page_that_cannot_be_written_is_an_error_that_names_the_file(
    tmp_path: Path, pictures: Pictures
) -> None:
    with pytest.raises(StoreError, match=r"a\.json.*cannot be written"):
        write_pictures(tmp_path / "absent" / "a.html", pictures, PROGRAM, title="a")
