import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rewardsmith.agent.asking import Seams, ask_many
from rewardsmith.agent.chat_format import LONGEST_REPLY_CHARS
from rewardsmith.agent.llm import Message, Reply, Request
from rewardsmith.agent.manual_model import ManualModel, pasted
from rewardsmith.errors import ConfigError, ModelError, StoreError


def request(text: str = "hop", sample: int = 0) -> Request:
    return Request("designer", (Message("system", "sys"), Message("user", text)), sample=sample)


class Person:
    """A clock, and what a person does while the model waits: one action for each look."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        self.actions = list(actions)
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.actions:
            self.actions.pop(0)()

    def seams(self) -> Seams:
        return Seams(now=lambda: self.now_s, sleep=self.sleep)


def test_the_prompt_is_a_file_and_so_is_the_answer(tmp_path: Path) -> None:
    said: list[str] = []
    person = Person(lambda: (tmp_path / "0001-designer.answer.md").write_text("code"))
    reply = ManualModel(tmp_path, notify=said.append, seams=person.seams()).ask(request())
    prompt = (tmp_path / "0001-designer.prompt.md").read_text()
    assert (reply.text, reply.model, reply.usage.cost_usd) == ("code", "manual", 0.0)
    assert "## system\n\nsys\n" in prompt
    assert "## user\n\nhop\n" in prompt
    assert "0001-designer.answer.md" in said[0]


def test_an_answer_that_still_grows_is_not_taken(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    person = Person(*[lambda n=n: answer.write_text("x" * n) for n in range(1, 9)])
    reply = ManualModel(tmp_path, seams=person.seams()).ask(request())
    assert reply.text == "x" * 8
    assert person.now_s >= 8 * 0.25 + 1.0


def test_an_empty_answer_is_no_answer(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    blank = [lambda: answer.write_text("  \n")] + [lambda: None] * 12
    person = Person(*blank, lambda: answer.write_text("code"))
    assert ManualModel(tmp_path, seams=person.seams()).ask(request()).text == "code"


def test_asked_again_after_a_restart_the_answer_is_there(tmp_path: Path) -> None:
    person = Person(lambda: (tmp_path / "0001-designer.answer.md").write_text("code"))
    ManualModel(tmp_path, seams=person.seams()).ask(request())
    said: list[str] = []
    again = ManualModel(tmp_path, notify=said.append, stable_s=0.01).ask(request())
    assert (again.text, said) == ("code", [])
    assert len(list(tmp_path.glob("*.prompt.md"))) == 1


def test_samples_of_one_question_have_files_of_their_own(tmp_path: Path) -> None:
    person = Person(*[lambda: None] * 3)
    model = ManualModel(tmp_path, deadline_s=1.0, seams=person.seams())
    for number in range(2):
        with pytest.raises(ModelError, match="no answer in"):
            model.ask(request(sample=number))
    names = sorted(path.name for path in tmp_path.glob("*.prompt.md"))
    assert names == ["0001-designer.prompt.md", "0002-designer.prompt.md"]


def test_a_person_who_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    person = Person()
    with pytest.raises(ModelError) as caught:
        ManualModel(tmp_path, deadline_s=60.0, seams=person.seams()).ask(request())
    assert caught.value.kind == "timeout"
    assert 60.0 < person.now_s < 62.0


def test_several_questions_wait_at_the_same_time(tmp_path: Path) -> None:
    model = ManualModel(tmp_path, stable_s=0.05, deadline_s=20.0)
    replies: list[Reply | ModelError] = []
    asks = [request(sample=number) for number in range(3)]
    thread = threading.Thread(target=lambda: replies.extend(ask_many(model, asks, workers=3)))
    thread.start()
    while len(list(tmp_path.glob("*.prompt.md"))) < 3:
        pass
    for prompt in tmp_path.glob("*.prompt.md"):
        sample = prompt.read_text().split("sample ")[1][0]
        prompt.with_name(prompt.name.replace("prompt", "answer")).write_text(f"to {sample}")
    thread.join()
    assert [r.text for r in replies if isinstance(r, Reply)] == ["to 0", "to 1", "to 2"]


def test_an_answer_may_be_pasted_and_is_kept(tmp_path: Path) -> None:
    model = ManualModel(tmp_path, paste=lambda: "pasted code", stable_s=0.01)
    assert model.ask(request()).text == "pasted code"
    assert (tmp_path / "0001-designer.answer.md").read_text() == "pasted code"


def test_a_pasted_answer_ends_with_a_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\nb\nEND\nrest\n"))
    assert pasted() == "a\nb\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="no folder for prompts"):
        ManualModel(tmp_path / "file" / "manual")


def test_an_answer_that_vanishes_while_an_editor_replaces_it_is_waited_for(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    person = Person(
        lambda: answer.write_text("old"),
        answer.unlink,
        *[lambda: None] * 6,
        lambda: answer.write_text("new"),
    )
    assert ManualModel(tmp_path, seams=person.seams()).ask(request()).text == "new"


def test_an_answer_that_cannot_be_read_is_no_answer(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    answer.mkdir()
    person = Person(*[lambda: None] * 8, answer.rmdir, lambda: answer.write_text("code"))
    assert ManualModel(tmp_path, seams=person.seams()).ask(request()).text == "code"


def test_an_answer_that_is_edited_while_it_settles_is_taken_as_it_is_last(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    person = Person(
        lambda: answer.write_text("first draft"),
        lambda: None,
        lambda: answer.write_text("the final word"),
    )
    assert ManualModel(tmp_path, seams=person.seams()).ask(request()).text == "the final word"
    assert person.now_s >= 3 * 0.25 + 1.0


def test_bytes_that_are_no_text_do_not_end_the_run(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    person = Person(lambda: answer.write_bytes(b"code \xff\xfe here"))
    text = ManualModel(tmp_path, seams=person.seams()).ask(request()).text
    assert text == "code \ufffd\ufffd here"


def test_a_huge_answer_is_cut_and_says_so(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    person = Person(lambda: answer.write_text("x" * (LONGEST_REPLY_CHARS + 9)))
    reply = ManualModel(tmp_path, seams=person.seams()).ask(request())
    assert (len(reply.text), reply.finish) == (LONGEST_REPLY_CHARS, "length")


def test_an_empty_paste_is_an_error_and_not_a_wait_for_ever(tmp_path: Path) -> None:
    for nothing in ("", " \n"):
        model = ManualModel(tmp_path, paste=iter([nothing]).__next__, stable_s=0.01)
        with pytest.raises(ModelError, match="nothing was pasted") as caught:
            model.ask(request())
        assert caught.value.kind == "empty"
    assert list(tmp_path.glob("*.answer.*")) == []
    assert ManualModel(tmp_path, paste=lambda: "code", stable_s=0.01).ask(request()).text == "code"


def test_an_answer_left_empty_is_asked_for_again_after_a_restart(tmp_path: Path) -> None:
    answer = tmp_path / "0001-designer.answer.md"
    first = Person()
    with pytest.raises(ModelError):
        ManualModel(tmp_path, deadline_s=1.0, seams=first.seams()).ask(request())
    answer.write_text("")
    said: list[str] = []
    person = Person(lambda: answer.write_text("code"))
    reply = ManualModel(tmp_path, notify=said.append, seams=person.seams()).ask(request())
    assert reply.text == "code"
    assert len(said) == 1


def test_pasted_half_characters_are_kept_as_text(tmp_path: Path) -> None:
    model = ManualModel(tmp_path, paste=lambda: "a\udc80b", stable_s=0.01)
    assert model.ask(request()).text == "a?b"


def test_a_folder_that_vanished_is_a_store_error(tmp_path: Path) -> None:
    folder = tmp_path / "manual"
    model = ManualModel(folder)
    folder.rmdir()
    with pytest.raises(StoreError, match="no prompt can be written"):
        model.ask(request())


def test_questions_asked_at_once_keep_their_numbers_after_a_restart(tmp_path: Path) -> None:
    asks = [request(sample=number) for number in range(8)]

    def numbers() -> dict[str, str]:
        return {
            path.read_text().split("sample ")[1].split(" ")[0]: path.name
            for path in tmp_path.glob("*.prompt.md")
        }

    gone = ManualModel(tmp_path, deadline_s=0.0, stable_s=0.001)
    assert all(isinstance(r, ModelError) for r in ask_many(gone, asks, workers=8))
    first = numbers()
    assert sorted(first.values()) == [f"{n:04d}-designer.prompt.md" for n in range(1, 9)]
    again = ask_many(gone, [*asks[::-1], request("another", sample=8)], workers=9)
    assert len(again) == 9
    later = numbers()
    assert {k: v for k, v in later.items() if k != "8"} == first
    assert len(list(tmp_path.glob("*.prompt.md"))) == 9
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_number_follows_the_largest_there_is_whatever_else_lies_there(tmp_path: Path) -> None:
    for name in ("0041-critic.prompt.md", "notes.prompt.md", "0099-x.answer.md"):
        (tmp_path / name).write_text("by hand\n")
    with pytest.raises(ModelError):
        ManualModel(tmp_path, deadline_s=0.0, stable_s=0.001).ask(request())
    assert (tmp_path / "0042-designer.prompt.md").is_file()


def test_the_whole_conversation_is_in_the_file_and_the_role_in_its_name(tmp_path: Path) -> None:
    turns = (Message("user", "an example"), Message("assistant", "its answer"))
    asked = Request("critic", (*turns, Message("user", "now: ünïcode \udc80")))
    with pytest.raises(ModelError):
        ManualModel(tmp_path, deadline_s=0.0, stable_s=0.001).ask(asked)
    text = (tmp_path / "0001-critic.prompt.md").read_text("utf-8")
    order = [text.index(part) for part in ("an example", "its answer", "now: ünïcode ?")]
    assert order == sorted(order)
    assert text.count("## user") == 2
