import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, TEXT, TINY, call, design
from quick_crew import quick_crew, unwatched

from rewardsmith.agent import assembly
from rewardsmith.agent.config import make_config
from rewardsmith.agent.feedback import give
from rewardsmith.agent.replaying import StoredReports, decisions, differences, replay
from rewardsmith.agent.session import design as run_design
from rewardsmith.agent.session import resume
from rewardsmith.errors import AwaitingFeedback, ModelError, StoreError
from rewardsmith.runs.store import RunStore, write_durably


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any model that is made from now on is a failure."""

    def poisoned(*given: Any, **options: Any) -> Any:
        raise AssertionError("a model was made")

    monkeypatch.setattr(assembly, "make_model", poisoned)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    values = {"env": POINT, "text": TEXT, "llm": "scripted", "candidates": 2}
    config = make_config(
        values | {"critic_rounds": 1, "video": False, "probes": False, "out": tmp_path / "run"}
    )
    return run_design(config, view=unwatched, make_crew=quick_crew()).run


def rewrite(run: Path, kind: str, change: Any) -> None:
    """Changes the data of the first event of a kind."""
    journal = run / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    change(next(event for event in events if event["kind"] == kind)["data"])
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))


@pytest.mark.usefixtures("no_model")
def test_a_replay_asks_no_model_and_decides_the_same(finished_run: Path) -> None:
    before = (finished_run / "journal.jsonl").read_bytes()
    done = call("replay", str(finished_run), "--json")
    assert done.code == 0, done.err
    assert done.document["differences"] == []
    assert (finished_run / "journal.jsonl").read_bytes() == before
    assert "every decision is the same" in call("replay", str(finished_run)).out


@pytest.mark.slow
@pytest.mark.usefixtures("no_model")
def test_training_again_gives_the_same_weights(finished_run: Path, tmp_path: Path) -> None:
    done = call("replay", str(finished_run), "--retrain", "--out", str(tmp_path / "again"))
    assert done.code == 0, done.err
    mine, theirs = (
        {path.parent.name: path.read_bytes() for path in run.glob("jobs/*/policy.safetensors")}
        for run in (finished_run, tmp_path / "again")
    )
    assert len(mine) >= 5
    assert mine == theirs


@pytest.mark.slow
def test_training_again_with_ppo_gives_the_same_weights(tmp_path: Path) -> None:
    more = ("--algo", "ppo", "--steps", "512")
    done = design(tmp_path / "run", *TINY, *more)
    assert done.code == 0, done.err
    again = call("replay", str(tmp_path / "run"), "--retrain", "--json")
    assert again.code == 0, again.out
    assert again.document["retrained"] is True


def test_weights_that_differ_are_named(finished_run: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(finished_run, twin)
    weights = twin / "jobs" / "g0.0.s0" / "policy.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = differences(RunStore.open(finished_run), RunStore.open(twin), weights=True)
    assert found == ["weights of g0.0.s0 differ"]


def test_a_fitness_that_was_changed_is_noticed(run: Path, no_model: None) -> None:
    state = RunStore.open(run).state()
    loser = next(c.id for c in state.candidates if c.generation == 0 and c.id != state.best)

    def better(data: dict[str, Any]) -> None:
        data["report"]["fitness"] = 99.0

    journal = run / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    better(next(e["data"] for e in events if e["data"].get("group") == f"select.{loser}"))
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))
    try:
        found = replay(run, out=None, retrain=False, view=unwatched)["differences"]
    except (ModelError, StoreError):  # another best asks what nobody answered, or trains anew
        return
    assert found


def test_an_answer_that_was_exchanged_is_noticed(run: Path, no_model: None) -> None:
    store = RunStore.open(run)

    def exchange(data: dict[str, Any]) -> None:
        record = json.loads(store.get_blob(data["blob"]))
        record["text"] = (
            "```python\ndef compute_reward(distance):\n"
            '    near = -7.0 * distance\n    return near, {"near": near}\n```'
        )
        data["blob"] = store.put_blob(json.dumps(record, sort_keys=True))

    rewrite(run, "asked", exchange)
    try:
        found = replay(run, out=None, retrain=False, view=unwatched)["differences"]
    except (ModelError, StoreError) as error:
        found = [str(error)]
    assert found


def test_a_question_that_was_never_answered_is_a_miss(run: Path, no_model: None) -> None:
    rewrite(run, "asked", lambda data: data.update(hash="0" * 64))
    done = call("replay", str(run))
    assert done.code == 4
    assert "no recorded answer" in done.err


def test_a_run_with_feedback_replays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"env": POINT, "text": TEXT, "llm": "scripted", "candidates": 2, "pause_after": True}
    config = make_config(values | {"video": False, "probes": False, "out": tmp_path / "run"})
    with pytest.raises(AwaitingFeedback):
        run_design(config, view=unwatched, make_crew=quick_crew())
    give(tmp_path / "run", {"wanted": "use less force", "candidate": "g0.0"})
    resume(tmp_path / "run", view=unwatched, make_crew=quick_crew())
    monkeypatch.setattr(assembly, "make_model", None)
    assert replay(tmp_path / "run", out=None, retrain=False, view=unwatched)["differences"] == []


def test_limits_of_the_run_do_not_end_its_replay(run: Path) -> None:
    head = json.loads((run / "run.json").read_text())
    head["config"]["max_steps"] = 1
    write_durably(run / "run.json", json.dumps(head).encode())
    assert replay(run, out=None, retrain=False, view=unwatched)["differences"] == []


def test_decisions_leave_times_out_and_keep_numbers(run: Path) -> None:
    facts = decisions(RunStore.open(run).state())
    assert {"best", "generation 0", "generation 1", "g0.0", "final best"} <= set(facts)
    assert "wall_s" not in json.dumps(facts, default=str)
    assert facts["g0.0"]["reports"][0]["fitness"] is not None


def test_a_unit_that_was_never_trained_is_an_error_of_the_stored_reports(run: Path) -> None:
    state = RunStore.open(run).state()
    stored = StoredReports(state.model_copy(update={"candidates": (), "arms": ()}))
    units = [(type("Unit", (), {"id": "g9.9.s0"})(), run)]
    with pytest.raises(StoreError, match=r"never trained g9\.9\.s0"):
        list(stored.run(units))
