import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.recorded import FolderCalls, RecordedModel, ReplayModel, request_key
from rewardsmith.agent.scripted import ScriptedModel
from rewardsmith.errors import ModelError, StoreError

REQUEST = Request("designer", (Message("user", "hüpf \udc80"),), temperature=0.5)


def test_the_same_question_in_the_same_run_is_asked_once(tmp_path: Path) -> None:
    model = ScriptedModel(["one", "two"])
    recorded = RecordedModel(model, FolderCalls(tmp_path))
    assert recorded.ask(REQUEST) == recorded.ask(REQUEST)
    assert model.calls == 1


def test_a_restarted_run_is_not_asked_again(tmp_path: Path) -> None:
    first = RecordedModel(ScriptedModel(["one"]), FolderCalls(tmp_path)).ask(REQUEST)
    later = ScriptedModel(["other"])
    assert RecordedModel(later, FolderCalls(tmp_path)).ask(REQUEST) == first
    assert later.calls == 0


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, role="critic"),
        replace(REQUEST, sample=1),
        replace(REQUEST, temperature=0.6),
        replace(REQUEST, max_tokens=5),
        replace(REQUEST, parameters={"seed": 1}),
        replace(REQUEST, messages=(Message("system", "hüpf \udc80"),)),
    ],
)
def test_all_that_decides_an_answer_is_in_the_key(other: Request) -> None:
    assert request_key("m", other) != request_key("m", REQUEST)
    assert request_key("other", REQUEST) != request_key("m", REQUEST)


def test_a_key_is_the_same_in_every_process_and_version() -> None:
    plain = Request("designer", (Message("user", "hop"),))
    assert request_key("m", plain).startswith("2f96d1a2635ae98a")


def test_a_replay_answers_to_the_bit_without_a_model(tmp_path: Path) -> None:
    asked = RecordedModel(ScriptedModel(["one"]), FolderCalls(tmp_path)).ask(REQUEST)
    replay = ReplayModel(FolderCalls(tmp_path), FolderCalls(tmp_path).names())
    assert (replay.ask(REQUEST), replay.name) == (asked, "scripted")


def test_a_miss_in_a_replay_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no recorded answer to this designer call") as caught:
        ReplayModel(FolderCalls(tmp_path), ["m"]).ask(REQUEST)
    assert caught.value.kind == "replay_miss"


def test_a_miss_may_be_answered_by_a_model(tmp_path: Path) -> None:
    replay = ReplayModel(FolderCalls(tmp_path), ["m"], on_miss=ScriptedModel(["live"]))
    assert replay.ask(REQUEST).text == "live"


def test_a_failure_is_asked_again(tmp_path: Path) -> None:
    answers: Iterator[ModelError | str] = iter([ModelError("timeout", "late"), "good"])

    def answer(request: Request) -> str:
        outcome = next(answers)
        if isinstance(outcome, ModelError):
            raise outcome
        return outcome

    recorded = RecordedModel(ScriptedModel(answer), FolderCalls(tmp_path))
    with pytest.raises(ModelError):
        recorded.ask(REQUEST)
    assert recorded.ask(REQUEST).text == "good"


def test_two_threads_with_one_question_ask_once(tmp_path: Path) -> None:
    model = ScriptedModel(["one", "two"], delay_s=0.05)
    recorded = RecordedModel(model, FolderCalls(tmp_path))
    threads = [threading.Thread(target=recorded.ask, args=(REQUEST,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.calls == 1


def test_a_record_tells_what_was_asked_of_whom(tmp_path: Path) -> None:
    plain = replace(REQUEST, messages=(Message("user", "hop"),))
    RecordedModel(ScriptedModel(["one"]), FolderCalls(tmp_path)).ask(plain)
    record = json.loads(next(tmp_path.glob("*.json")).read_text("utf-8"))
    assert record["messages"] == [{"role": "user", "content": "hop"}]
    assert (record["model"], record["role"], record["sample"]) == ("scripted", "designer", 0)
    assert (record["parameters"], record["usage"]["cost_usd"]) == ({"temperature": 0.5}, 0.0)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / f"{request_key('scripted', REQUEST)}.json"
    path.write_text("{torn")
    with pytest.raises(StoreError, match=path.name):
        RecordedModel(ScriptedModel(["x"]), FolderCalls(tmp_path)).ask(REQUEST)


def test_a_record_without_its_fields_is_damaged_too(tmp_path: Path) -> None:
    calls = FolderCalls(tmp_path)
    calls.put(request_key("scripted", REQUEST), {"text": "only"})
    with pytest.raises(StoreError, match="damaged"):
        RecordedModel(ScriptedModel(["x"]), calls).ask(REQUEST)


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        FolderCalls(tmp_path / "file" / "calls").put("k", {})
