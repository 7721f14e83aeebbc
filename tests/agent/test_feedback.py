import json
from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, TEXT, TINY, call, design
from quick_crew import quick_crew, unwatched

from rewardsmith.agent.config import make_config
from rewardsmith.agent.feedback import give
from rewardsmith.agent.session import design as run_design
from rewardsmith.agent.session import resume
from rewardsmith.errors import AwaitingFeedback, ConfigError
from rewardsmith.runs.store import RunStore

OWN = """def compute_reward(distance):
    near = -2.5 * distance
    return near, {"near": near}
"""


@pytest.fixture
def paused(tmp_path: Path) -> Path:
    values = {"env": POINT, "text": TEXT, "llm": "scripted", "candidates": 2, "pause_after": True}
    config = make_config(values | {"video": False, "probes": False, "out": tmp_path / "run"})
    with pytest.raises(AwaitingFeedback):
        run_design(config, view=unwatched, make_crew=quick_crew())
    return tmp_path / "run"


def prompts(run: Path, role: str = "designer") -> list[str]:
    """What was asked, in order."""
    store = RunStore.open(run)
    asked = [e.data for e in store.journal.read() if e.kind == "asked" and e.data["role"] == role]
    records = [json.loads(store.get_blob(data["blob"])) for data in asked]
    return ["\n".join(m["content"] for m in record["messages"]) for record in records]


@pytest.mark.slow
def test_a_feedback_round_on_the_command_line_changes_the_next_prompt(tmp_path: Path) -> None:
    run = tmp_path / "run"
    paused = design(run, *TINY, "--generations", "2", "--pause-after", "--json")
    assert paused.code == 75, paused.err
    assert paused.document["error"] == "AwaitingFeedback"
    assert call("show", str(run), "--json").document["awaiting"] is True
    seen, wanted = "it trembles at the goal", "come to rest there"
    said = ("--text", wanted, "--observed", seen, "--candidate", "g0.0", "--rating", "2")
    given = call("feedback", str(run), *said, "--author", "ada", "--json")
    assert given.code == 0, given.err
    assert given.document["id"] == "f0"
    before = len(prompts(run))
    done = call("resume", str(run), "--json")
    assert done.code == 0, done.err
    assert done.document["feedback"][0]["author"] == "ada"
    assert not any(wanted in text for text in prompts(run)[:before])
    asked = prompts(run)[before]  # later ones may be repairs, which are about the program alone
    assert seen in asked
    assert wanted in asked
    events = RunStore.open(run).journal.read()
    assert [e.data["feedback"]["wanted"] for e in events if e.kind == "feedback"] == [wanted]


def test_a_reward_that_a_person_edited_becomes_a_candidate(paused: Path, tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(OWN)
    give(paused, {}, edit=tmp_path / "reward.py")
    state = resume(paused, view=unwatched, make_crew=quick_crew()).state
    [own] = [item for item in state.candidates if item.proposal.kind == "human"]
    assert own.generation == 1
    assert own.program == OWN
    assert own.reports


def test_an_edited_reward_that_breaks_the_contract_is_told_and_does_not_train(
    paused: Path, tmp_path: Path
) -> None:
    (tmp_path / "reward.py").write_text(OWN.replace("(distance)", "(nothing_of_the_kind)"))
    give(paused, {}, edit=tmp_path / "reward.py")
    state = resume(paused, view=unwatched, make_crew=quick_crew()).state
    [own] = [item for item in state.candidates if item.proposal.kind == "human"]
    assert own.failure is not None
    assert not own.reports


def test_feedback_to_a_run_at_work_is_taken(paused: Path) -> None:
    with RunStore.open(paused).working():
        assert give(paused, {"wanted": "faster"}).id == "f0"
        assert give(paused, {"wanted": "slower"}).id == "f1"


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({}, "nothing was said"),
        ({"candidate": "g0.0"}, "nothing was said"),
        ({"wanted": "x", "candidate": "g7.0"}, r"no candidate 'g7\.0'.*g0\.0, g0\.1"),
        ({"preferred_over": "g7.1"}, "no candidate"),
    ],
)
def test_what_says_nothing_or_speaks_of_nobody_is_refused(
    paused: Path, said: dict[str, Any], wrong: str
) -> None:
    before = (paused / "journal.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=wrong):
        give(paused, said)
    assert (paused / "journal.jsonl").read_bytes() == before


def test_a_rating_out_of_range_or_a_missing_file_ends_with_2(paused: Path) -> None:
    assert call("feedback", str(paused), "--rating", "9").code == 2
    done = call("feedback", str(paused), "--edit", str(paused / "nowhere.py"))
    assert (done.code, "nowhere.py" in done.err) == (2, True)


def test_a_comparison_alone_is_feedback(paused: Path) -> None:
    record = give(paused, {"candidate": "g0.0", "preferred_over": "g0.1"}, author="ada")
    assert (record.candidate, record.preferred_over, record.author) == ("g0.0", "g0.1", "ada")
