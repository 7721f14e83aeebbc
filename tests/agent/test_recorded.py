import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent.asking import Patience, ask_many
from rewardsmith.agent.fake_server import FakeServer
from rewardsmith.agent.llm import Message, Reply, Request, Usage
from rewardsmith.agent.openai_model import OpenAIModel
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


def test_many_threads_with_many_questions_ask_each_once(tmp_path: Path) -> None:
    model = ScriptedModel(lambda r: f"to {r.sample}", delay_s=0.01)
    recorded = RecordedModel(model, FolderCalls(tmp_path))
    asked = [replace(REQUEST, sample=n % 5) for n in range(40)]
    replies = ask_many(recorded, asked, workers=10)
    assert [r.text for r in replies if isinstance(r, Reply)] == [f"to {n % 5}" for n in range(40)]
    assert model.calls == 5
    assert len(list(tmp_path.iterdir())) == 5


def test_a_thread_that_waited_for_a_failure_asks_itself(tmp_path: Path) -> None:
    first = threading.Event()

    def answer(request: Request) -> str:
        if not first.is_set():
            first.set()
            raise ModelError("server", "broke")
        return "good"

    recorded = RecordedModel(ScriptedModel(answer, delay_s=0.02), FolderCalls(tmp_path))
    replies = ask_many(recorded, [REQUEST] * 4, workers=4)
    kinds = [r.text if isinstance(r, Reply) else r.kind for r in replies]
    assert sorted(kinds) == ["good", "good", "good", "server"]


def test_different_questions_do_not_wait_for_each_other(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=10.0)

    class Meeting:
        name = "meeting"

        def ask(self, request: Request) -> Reply:
            both.wait()  # passes only if both questions are asked at the same time
            return Reply("met", "meeting")

    recorded = RecordedModel(Meeting(), FolderCalls(tmp_path))
    replies = ask_many(recorded, [replace(REQUEST, sample=n) for n in range(2)], workers=2)
    assert [r.text for r in replies if isinstance(r, Reply)] == ["met", "met"]


def test_an_interrupted_question_leaves_no_lock_and_no_record(tmp_path: Path) -> None:
    answers: Iterator[str] = iter(["good"])

    def answer(request: Request) -> str:
        if not seen:
            seen.append(True)
            raise KeyboardInterrupt
        return next(answers)

    seen: list[bool] = []
    recorded = RecordedModel(ScriptedModel(answer), FolderCalls(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        recorded.ask(REQUEST)
    assert not tmp_path.exists() or list(tmp_path.iterdir()) == []
    assert recorded.ask(REQUEST).text == "good"


def test_a_record_that_cannot_be_kept_leaves_no_fragment(tmp_path: Path) -> None:
    (tmp_path / "k.json").mkdir()  # the finished file cannot be put in its place
    with pytest.raises(StoreError, match="cannot be written"):
        FolderCalls(tmp_path).put("k", {"text": "x"})
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]


@pytest.mark.parametrize("text", ["", "[]", "7", '"x"', "null", "\x00", "{" * 5000])
def test_a_file_that_is_no_record_is_named_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "k.json").write_text(text)
    with pytest.raises(StoreError, match=r"k\.json: not a recorded call.*delete it"):
        FolderCalls(tmp_path).get("k")


@pytest.mark.parametrize(
    "broken",
    [
        {"text": 7},
        {"text": None},
        {"usage": None},
        {"usage": {"tokens": 1}},
        {"dropped_parameters": None},
    ],
)
def test_a_record_of_another_form_is_damaged_and_no_answer(
    tmp_path: Path, broken: dict[str, object]
) -> None:
    calls = FolderCalls(tmp_path)
    key = request_key("scripted", REQUEST)
    RecordedModel(ScriptedModel(["x"]), calls).ask(REQUEST)
    calls.put(key, {**(calls.get(key) or {}), **broken})
    with pytest.raises(StoreError, match="damaged"):
        ReplayModel(calls, ["scripted"]).ask(REQUEST)


def test_no_key_of_the_environment_is_in_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "canary-of-no-usual-form-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", canary)
    with FakeServer(["rate_limit", "ok"], key=canary) as server:
        model = OpenAIModel("m", base_url=server.url, patience=Patience(first_wait_s=0.001))
        reply = RecordedModel(model, FolderCalls(tmp_path)).ask(REQUEST)
    assert reply.attempts == 2
    assert all(canary not in path.read_text() for path in tmp_path.iterdir())


def test_a_replay_looks_under_every_name_and_keeps_the_first_as_its_own(tmp_path: Path) -> None:
    calls = FolderCalls(tmp_path)
    for name in ("a", "b"):
        one = replace(REQUEST, sample=ord(name))
        RecordedModel(ScriptedModel([f"by {name}"], name=name), calls).ask(one)
    replay = ReplayModel(calls, calls.names())
    assert calls.names() == ("a", "b")
    assert replay.name == "a"
    texts = [replay.ask(replace(REQUEST, sample=ord(name))).text for name in ("b", "a")]
    assert texts == ["by b", "by a"]
    assert ReplayModel(calls, []).name == "replay"


TEXT = st.text(st.characters(), max_size=30)
USAGE = st.builds(Usage, *[st.none() | st.integers(0, 10**9)] * 4, st.none() | st.floats(0, 9))
REPLY = st.builds(
    Reply,
    text=TEXT,
    model=TEXT,
    finish=st.sampled_from(["stop", "length"]),
    usage=USAGE,
    wall_s=st.floats(0.0, 1e6),
    attempts=st.integers(1, 9),
    dropped_parameters=st.lists(TEXT, max_size=3).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(REPLY, st.lists(TEXT, min_size=1, max_size=3), st.integers(0, 99))
def test_every_reply_comes_back_from_its_record_to_the_letter(
    reply: Reply, texts: list[str], sample: int
) -> None:
    class Any:
        name = "any"

        def ask(self, request: Request) -> Reply:
            return reply

    asked = Request("critic", tuple(Message("user", text) for text in texts), sample)
    with tempfile.TemporaryDirectory() as folder:
        RecordedModel(Any(), FolderCalls(Path(folder))).ask(asked)
        assert ReplayModel(FolderCalls(Path(folder)), ["any"]).ask(asked) == reply


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_other_messages_have_another_key(first: list[str], second: list[str]) -> None:
    def key(texts: list[str]) -> str:
        return request_key("m", Request("critic", tuple(Message("user", t) for t in texts)))

    sent = [[t.encode("utf-8", "replace") for t in texts] for texts in (first, second)]
    assert (key(first) == key(second)) == (sent[0] == sent[1])
    assert len(key(first)) == 64
