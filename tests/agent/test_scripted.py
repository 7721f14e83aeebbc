from pathlib import Path

import pytest

from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.scripted import ScriptedModel, read_script
from rewardsmith.errors import ConfigError, ModelError

REQUEST = Request("designer", (Message("user", "hop"),))


def sample(number: int, text: str = "hop") -> Request:
    return Request("designer", (Message("user", text),), sample=number)


def script(folder: Path, text: str) -> Path:
    path = folder / "script.yaml"
    path.write_text(text)
    return path


def test_a_list_is_gone_through_in_order_and_again() -> None:
    model = ScriptedModel(["a", "b"])
    assert [model.ask(REQUEST).text for _ in range(3)] == ["a", "b", "a"]
    assert model.calls == 3


def test_each_role_has_its_own_list_and_any_serves_the_rest() -> None:
    model = ScriptedModel({"designer": ["code"], "any": ["words"]})
    assert model.ask(REQUEST).text == "code"
    assert model.ask(Request("critic", ())).text == "words"


def test_a_role_without_answers_is_an_error() -> None:
    with pytest.raises(ModelError, match="critic") as caught:
        ScriptedModel({"designer": ["code"]}).ask(Request("critic", ()))
    assert caught.value.kind == "empty"


def test_a_function_answers_by_the_request() -> None:
    model = ScriptedModel(lambda request: f"{request.role} {request.sample}")
    assert model.ask(sample(3)).text == "designer 3"


def test_picked_by_hash_the_answer_depends_on_the_request_alone() -> None:
    answers = [str(n) for n in range(50)]
    one, other = ScriptedModel(answers, pick="hash"), ScriptedModel(answers, pick="hash")
    texts = [one.ask(sample(0, f"q{n}")).text for n in range(20)]
    assert [other.ask(sample(0, f"q{n}")).text for n in reversed(range(20))] == texts[::-1]
    assert len(set(texts)) > 10


def test_samples_of_one_question_get_different_answers() -> None:
    model = ScriptedModel(["a", "b", "c", "d"], pick="hash")
    assert {model.ask(sample(n)).text for n in range(4)} == {"a", "b", "c", "d"}


def test_the_counter_outlives_the_model_and_names_the_questions(tmp_path: Path) -> None:
    counter = tmp_path / "calls.txt"
    ScriptedModel(["a"], counter).ask(sample(0))
    ScriptedModel(["a"], counter).ask(sample(1))
    lines = counter.read_text().splitlines()
    assert [line.split()[1:] for line in lines] == [["designer", "0"], ["designer", "1"]]
    assert len({line.split()[0] for line in lines}) == 2


def test_it_costs_nothing_and_counts_tokens() -> None:
    usage = ScriptedModel(["x" * 40]).ask(sample(0, "y" * 80)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (20, 10, 0.0)


def test_a_script_file_gives_a_model(tmp_path: Path) -> None:
    path = script(tmp_path, "counter: calls.txt\ndesigner:\n- |\n  code\nany: [words]\n")
    model = read_script(path)
    assert (model.name, model.ask(REQUEST).text) == ("scripted:script.yaml", "code\n")
    assert (tmp_path / "calls.txt").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a, b]", "mapping from roles"),
        ("pick: hash", "mapping from roles"),
        ("designr: [a]", "'designr' is no key"),
        ("designer: []", "no list of texts"),
        ("designer: [1]", "no list of texts"),
        ("designer: [a]\npick: best", "pick is"),
        ("designer: [a]\ndelay_s: -1", "delay_s a number"),
        ("designer: [", "not a readable script"),
    ],
)
def test_a_bad_script_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_script(script(tmp_path, text))


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        read_script(tmp_path / "gone.yaml")
