from rewardsmith.prompts.dissection import dissected, stored_episodes
from rewardsmith.runs.records import Candidate, Evidence


def table(title: str) -> dict[str, object]:
    return {"title": title, "columns": ["step", "height"], "rows": [["0", "1.25"], ["9", "0.7"]]}


def looked_at(candidate: Candidate, *titles: str) -> Candidate:
    facts = {"tables": [table(title) for title in titles], "notes": ["3 went alike"]}
    found = Evidence(probe="episodes", verdict="pass", text="", facts=facts)
    return candidate.model_copy(update={"evidence": (*candidate.evidence, found)})


def test_the_stored_tables_and_notes_are_shown(trained: Candidate) -> None:
    found = dissected(looked_at(trained, "a typical failure", "the best episode"))
    assert found is not None
    assert [item.title for item in found.tables] == ["a typical failure", "the best episode"]
    assert found.tables[0].rows == (("0", "1.25"), ("9", "0.7"))
    assert found.notes == ("3 went alike",)
    assert found.episodes == 4


def test_of_many_tables_the_first_and_the_best_episode_stay(trained: Candidate) -> None:
    found = dissected(looked_at(trained, "first", "second", "third", "best"), tables=2)
    assert found is not None
    assert [item.title for item in found.tables] == ["first", "best"]


def test_without_such_evidence_the_few_points_of_the_report_are_shown(trained: Candidate) -> None:
    found = dissected(trained)
    assert found is not None
    assert found.notes == ()
    assert found.tables[0].title.startswith("a typical failure")


def test_what_was_never_trained_has_no_episodes(broken: Candidate) -> None:
    assert dissected(broken) is None


def test_the_newest_evidence_counts(trained: Candidate) -> None:
    twice = looked_at(looked_at(trained, "old"), "new")
    assert stored_episodes(twice.evidence)["tables"][0]["title"] == "new"
    assert stored_episodes(()) == {}
