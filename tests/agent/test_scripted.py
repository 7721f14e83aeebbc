import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent.asking import ask_many
from rewardsmith.agent.llm import Message, Reply, Request
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


@pytest.mark.parametrize("value", ["true", ".nan", ".inf", "-.inf", "[1]", "soon", "null"])
def test_a_delay_is_a_finite_number(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="delay_s a number"):
        read_script(script(tmp_path, f"designer: [a]\ndelay_s: {value}"))


@pytest.mark.parametrize("value", ["true", "7", "[a]", "''", "'  '"])
def test_a_counter_is_the_name_of_a_file(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="the name of a file is wanted"):
        read_script(script(tmp_path, f"designer: [a]\ncounter: {value}"))


@pytest.mark.parametrize("value", ["[order]", "{}", "1", "Order", "null"])
def test_a_pick_is_one_of_two_words(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="pick is 'order' or 'hash'"):
        read_script(script(tmp_path, f"designer: [a]\npick: {value}"))


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"!!python/object/apply:os.getcwd []", b"a: b: c", b"", b"7: [a]"]
)
def test_a_file_that_is_no_script_is_a_config_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"odd\.yaml"):
        read_script(path)


def test_a_script_picks_by_hash_unless_it_says_otherwise(tmp_path: Path) -> None:
    answers = "designer: [a, b, c, d, e, f, g]"
    by_hash, in_order = (
        [read_script(script(tmp_path, text)).ask(sample(0, f"q{n}")).text for n in range(8)]
        for text in (answers, f"{answers}\npick: order")
    )
    assert len(set(by_hash)) > 2
    assert set(in_order) == {"a"}  # each file read anew starts from the start


def test_a_delay_is_part_of_the_reply_and_runs_in_parallel(tmp_path: Path) -> None:
    model = read_script(script(tmp_path, "designer: [a]\ndelay_s: 1.0"))
    began_s = time.monotonic()
    replies = ask_many(model, [sample(n) for n in range(5)], workers=5)
    assert time.monotonic() - began_s < 4.0  # one after the other would be 5
    assert [r.wall_s for r in replies if isinstance(r, Reply)] == [1.0] * 5


def test_threads_get_every_answer_of_an_ordered_script_once() -> None:
    model = ScriptedModel([str(n) for n in range(60)])
    replies = ask_many(model, [sample(n) for n in range(60)], workers=8)
    texts = [r.text for r in replies if isinstance(r, Reply)]
    assert sorted(texts, key=int) == [str(n) for n in range(60)]
    assert model.calls == 60


def test_the_counters_lines_stay_whole_with_many_writers(tmp_path: Path) -> None:
    counter = tmp_path / "calls.txt"
    models = [ScriptedModel(["a"], counter) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda m=m: [m.ask(sample(n)) for n in range(50)]) for m in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = counter.read_text().splitlines()
    assert len(lines) == 200
    assert all(len(line.split()) == 3 for line in lines)


def test_a_role_that_has_its_list_never_takes_from_any() -> None:
    model = ScriptedModel({"critic": ["c1", "c2"], "any": ["x1", "x2"]})
    asked = [Request("critic", ()), Request("analyzer", ()), Request("designer", ())] * 2
    assert [model.ask(r).text for r in asked] == ["c1", "x1", "x2", "c2", "x1", "x2"]


@settings(max_examples=100, deadline=None)
@given(st.text(), st.integers(1, 12), st.integers(0, 500))
def test_as_many_samples_as_answers_get_each_answer_once(text: str, count: int, at: int) -> None:
    answers = [str(n) for n in range(count)]
    model = ScriptedModel(answers, pick="hash")
    texts = [model.ask(sample(at + n, text)).text for n in range(count)]
    assert sorted(texts) == sorted(answers)


def test_the_role_is_part_of_the_question_but_temperature_is_not() -> None:
    answers = [str(n) for n in range(1000)]
    model = ScriptedModel(answers, pick="hash")
    cold = Request("designer", REQUEST.messages, temperature=0.0)
    other = Request("critic", REQUEST.messages)
    assert model.ask(REQUEST).text == model.ask(cold).text != model.ask(other).text
