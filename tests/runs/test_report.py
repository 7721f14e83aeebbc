import base64
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rewardsmith.envs.task import Task
from rewardsmith.errors import StoreError
from rewardsmith.runs.records import Candidate, Evidence, RunState
from rewardsmith.runs.report import EMBEDDED_BYTES, RunFacts, render_report, write_report

VOID = {"meta", "img", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """The elements of a page; its tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


def page_of(folder: Path, state: RunState, facts: RunFacts) -> Page:
    return Page(render_report(folder, state, facts=facts))


def test_the_report_is_one_file_that_needs_nothing_from_outside(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    path = write_report(tmp_path, finished_run, facts=run_facts)
    assert path == tmp_path / "report.html"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//cdn|@import|url\(", text)
    page = Page(text)
    assert page.open == []
    assert not page.named("script")
    assert not page.named("link")
    assert len(text) < 200_000


def test_the_finding_is_one_sentence_with_numbers_and_the_judgement(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    text = page_of(tmp_path, finished_run, run_facts).text
    assert "On 5 held-out seeds" in text
    assert "22.4 [20.3, 24.5] m, against 15.2 [11.5, 18.9] with the human reward (n = 5)" in text
    assert "The designed reward is better than the human one at equal budget" in text
    assert "Hop forward as fast as possible without falling" in text


def test_the_comparison_states_interval_seeds_success_and_budget_of_each_arm(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    text = page_of(tmp_path, finished_run, run_facts).text
    assert "designed reward g1.0 22.4 [20.3, 24.5] 5 90 % 200,000" in text
    assert "human reward 15.2 [11.5, 18.9] 5 61 % 200,000" in text
    assert "random policy 0.35 [\N{MINUS SIGN}0.29, 0.99] 2 1 % 0 fell 20" in text
    assert "The same budget for each trained policy: 200,000 steps" in text


def test_every_candidate_is_listed_with_its_failure_in_its_own_words(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    page = page_of(tmp_path, finished_run, run_facts)
    ids = [a["id"] for a in page.named("details")]
    assert ids == [f"c-{c.id}" for c in finished_run.candidates]
    assert "the truth value of an array with more than one element is ambiguous" in page.text
    assert "the reply ended after 420 tokens, within the program" in page.text
    assert "1 of 2 seeds: diverged" in page.text
    assert "The program is the same as" not in page.text


def test_remarks_analysis_feedback_rewrites_and_differences_are_shown(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    text = page_of(tmp_path, finished_run, run_facts).text
    assert "`torso_height` is asked for and never used." in text
    assert "Falls stop at 120k." in text
    assert "max(a, b) became np.maximum(a, b)" in text
    assert "It should keep hopping." in text
    assert "ranks 9 of 9" in text
    assert "Changes from g0.0 +8 \N{MINUS SIGN}5 lines" in text


def test_each_candidate_has_its_ledger_as_a_table(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    facts = {"pairs": 40, "of": "near", "rows": [1, 2], "is_sure": True}
    found = (
        Evidence(probe="ranking", verdict="pass", text="orders well", score=0.925, facts=facts),
        Evidence(probe="farming", verdict="fail", text="pays for standing still"),
    )
    refused = finished_run.candidates[2].model_copy(update={"failure": None, "evidence": found})
    state = finished_run.model_copy(update={"candidates": (refused,), "arms": (), "best": None})
    page = page_of(tmp_path, state, run_facts)
    assert (
        "probe verdict score what it found "
        "ranking pass 0.9250 orders well (pairs 40, of near, is sure yes) "
        "farming fail \N{EN DASH} pays for standing still"
    ) in page.text
    assert "refused: farming" in page.text
    badges = [a["class"] for a in page.named("span") if "badge" in str(a.get("class"))]
    assert {"badge good", "badge bad"} <= set(badges)


def test_the_episodes_that_a_probe_kept_are_tables_of_their_candidate(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    table = {"title": "a fall, 3 of 4", "columns": ["step", "height"], "rows": [["0", 1.25]]}
    found = Evidence(probe="episodes", verdict="pass", text="3 fell", facts={"tables": [table]})
    told = finished_run.candidates[0].model_copy(update={"evidence": (found,)})
    state = finished_run.model_copy(update={"candidates": (told,)})
    assert "a fall, 3 of 4 step height 0 1.25" in page_of(tmp_path, state, run_facts).text


def test_unknown_prices_are_unknown_and_never_nought(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    text = page_of(tmp_path, finished_run, run_facts).text
    assert "critic openai:gpt-x 7 17,212 2,241 unknown" in text
    assert "designer local:qwen2.5-coder-1.5b 12 31,001 7,403 $0" in text
    assert "all 19 48,213 9,644 unknown" in text


def test_the_way_to_repeat_the_run_is_told(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    text = page_of(tmp_path, finished_run, run_facts).text
    assert run_facts.command in text
    assert "seeds, held-out 50 to 54" in text
    assert "version of torch 2.13.0" in text
    assert "sandbox process" in text
    assert "phase: asking 5 min 12 s" in text


def test_no_text_of_others_becomes_markup_or_reorders_the_page(
    tmp_path: Path, hostile_run: RunState, run_facts: RunFacts
) -> None:
    text = render_report(tmp_path, hostile_run, facts=run_facts)
    page = Page(text)
    assert page.open == []
    assert not page.named("script")
    assert not page.named("img")
    assert not any(name.startswith("on") for _, found in page.tags for name in found)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b\ud800]", text)
    assert text.count("⟦U+202E⟧") > 20
    assert "<script>alert" in page.text


def test_a_hostile_task_and_facts_are_escaped_too(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    bad = '"><script>x</script>\u202e'
    task = run_facts.task
    assert isinstance(task, Task)
    poisoned = replace(task, text=bad, fitness_unit=bad, fitness_meaning=bad)
    facts = replace(
        run_facts,
        task=poisoned,
        command=bad,
        started=bad,
        trainer=bad,
        sandbox=bad,
        video_note=bad,
        load_policy=bad,
        stopped=bad,
        machine={bad: bad},
        phases={bad: 1.0},
        models={bad: bad},
        ledger=tuple(replace(row, role=bad, model=bad) for row in run_facts.ledger),
    )
    page = page_of(tmp_path, finished_run.model_copy(update={"finished": False}), facts)
    assert not page.named("script")
    assert "\u202e" not in page.text


def test_a_missing_sandbox_is_a_loud_banner_and_a_working_one_is_none(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    words = "Reward code was not confined"
    assert words not in page_of(tmp_path, finished_run, run_facts).text
    page = page_of(tmp_path, finished_run, replace(run_facts, sandbox="none"))
    assert words in page.text
    assert any(d.get("class") == "banner bad" for d in page.named("div"))


def test_a_run_that_has_barely_begun_gives_a_page_without_numbers(tmp_path: Path) -> None:
    page = page_of(tmp_path, RunState(run="r1", task="t"), RunFacts())
    assert "No candidate has been proposed yet." in page.text
    assert "This run is not finished" in page.text
    assert "rewardsmith resume r1" in page.text
    assert not page.named("svg")
    assert "The comparison has not been run." in page.text


def test_a_run_without_its_comparison_tells_what_is_known_so_far(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    part = finished_run.model_copy(update={"arms": (), "finished": False, "best": "g0.0"})
    text = page_of(tmp_path, part, run_facts).text
    assert "So far the best candidate is g0.0, with a fitness of 8.1 [3.8, 12.5] m" in text
    assert "still to come" in text


def test_a_run_in_which_everything_failed_says_so_and_why(
    tmp_path: Path, failing_run: RunState, run_facts: RunFacts
) -> None:
    text = page_of(tmp_path, failing_run, run_facts).text
    assert "No reward was found: each of the 2 candidates failed." in text
    assert "All 2 candidates failed" in text
    assert "the reply ended after 420 tokens" in text
    assert "No candidate has come to a fitness." in text


def test_an_early_stop_is_named_with_the_way_to_go_on(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    cut = finished_run.model_copy(update={"finished": False})
    path = write_report(tmp_path, cut, facts=run_facts, stopped="the limit of 2 USD was reached")
    text = Page(path.read_text(encoding="utf-8")).text
    assert "The limit of 2 USD was reached." in text


def test_a_small_video_is_embedded_and_a_large_one_stays_beside(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    video = tmp_path / "best" / "policy one.mp4"
    video.parent.mkdir()
    facts = replace(run_facts, video=video.relative_to(tmp_path))
    video.write_bytes(b"small")
    (found,) = page_of(tmp_path, finished_run, facts).named("video")
    assert found["src"] == "data:video/mp4;base64," + base64.b64encode(b"small").decode()
    os.truncate(video, EMBEDDED_BYTES)
    (found,) = page_of(tmp_path, finished_run, facts).named("video")
    assert found["src"] == "best/policy%20one.mp4"


def test_a_missing_video_leaves_its_reason_and_the_plot_of_an_episode(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    page = page_of(tmp_path, finished_run, run_facts)
    assert not page.named("video")
    assert "No video: no GL library was found (apt-get install libosmesa6)" in page.text
    assert "A typical episode: seed 151" in page.text
    gone = page_of(tmp_path, finished_run, replace(run_facts, video=Path("a.mp4"), video_note=""))
    assert "a.mp4 is missing." in gone.text


def test_a_report_that_cannot_be_written_is_an_error_that_names_the_file(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    with pytest.raises(StoreError, match=r"report\.html"):
        write_report(tmp_path / "absent", finished_run, facts=run_facts)


def test_writing_again_replaces_the_page_whole(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    write_report(tmp_path, RunState(run="r1", task="t"), facts=RunFacts())
    path = write_report(tmp_path, finished_run, facts=run_facts)
    assert "g1.0" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_page_depends_on_nothing_but_the_run(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    first = render_report(tmp_path, finished_run, facts=run_facts)
    assert render_report(tmp_path, finished_run, facts=run_facts) == first


def test_a_candidate_with_any_failed_seed_has_no_mean(
    tmp_path: Path, finished_run: RunState, run_facts: RunFacts
) -> None:
    half: Candidate = finished_run.candidates[-1]
    only = finished_run.model_copy(update={"candidates": (half,), "arms": (), "best": None})
    text = page_of(tmp_path, only, run_facts).text
    assert "3.90 ; diverged \N{EN DASH} 1" in text
