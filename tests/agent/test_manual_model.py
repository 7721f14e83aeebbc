import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rewardsmith.agent.asking import Seams, ask_many
from rewardsmith.agent.llm import Message, Reply, Request
from rewardsmith.agent.manual_model import ManualModel, pasted
from rewardsmith.errors import ConfigError, ModelError


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
