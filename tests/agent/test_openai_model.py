import itertools
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from rewardsmith.agent.asking import Patience
from rewardsmith.agent.fake_server import FAULTS, REWARD, FakeServer
from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.openai_model import (
    DEFAULT_MODEL,
    OPENAI_URL,
    OpenAIModel,
    checked_key,
    endpoint,
    model_names,
)
from rewardsmith.agent.prices import Price, find_price
from rewardsmith.errors import ConfigError, ModelError

CANARY = "canary-of-no-usual-form-0123456789"
REQUEST = Request("designer", (Message("user", "hop"),))
ONCE = Patience(deadline_s=30.0, attempt_s=20.0, attempts=1)


def model_at(server: FakeServer, patience: Patience = ONCE, key: str = CANARY) -> OpenAIModel:
    return OpenAIModel("fake-small", base_url=server.url, api_key=key, patience=patience)


@pytest.fixture(name="odd")
def _odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server whose every answer is the bytes in ``odd.body``."""
    server = FakeServer(itertools.repeat("odd"))
    monkeypatch.setitem(FAULTS, "odd", lambda handler, _: handler.send_bytes(bodies[-1]))
    bodies: list[bytes] = [b""]
    server.bodies = bodies  # type: ignore[attr-defined]
    with server:
        yield server


def answers(server: FakeServer, body: bytes) -> None:
    server.bodies.append(body)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "unparsable"),
        (b"[]", "unparsable"),
        (b"null", "unparsable"),
        (b'"x"', "unparsable"),
        (b"[" * 100_000, "unparsable"),
        (b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "unparsable"),
        (b'{"choices": "x"}', "empty"),
        (b'{"choices": [{"message": []}]}', "empty"),
        (b'{"choices": [{"message": {"content": 7}}]}', "empty"),
        (b'{"error": {"message": "overloaded"}}', "empty"),
    ],
)
def test_a_body_of_another_form_is_a_model_error_and_no_crash(
    odd: FakeServer, body: bytes, kind: str
) -> None:
    answers(odd, body)
    with pytest.raises(ModelError) as caught:
        model_at(odd).ask(REQUEST)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "usage", [b'"many"', b"[]", b'{"prompt_tokens": 1.5}', b'{"prompt_tokens": NaN}', b"null"]
)
def test_an_odd_usage_is_unknown_and_nobody_is_warned(odd: FakeServer, usage: bytes) -> None:
    answers(odd, b'{"choices": [{"message": {"content": "hi"}}], "usage": ' + usage + b"}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reply = model_at(odd).ask(REQUEST)
    assert (reply.text, reply.usage.prompt_tokens, reply.usage.cost_usd) == ("hi", None, None)


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \t"])
def test_the_line_end_that_a_file_leaves_in_a_key_is_not_sent(ending: str) -> None:
    with FakeServer(key=CANARY) as server:
        assert model_at(server, key=CANARY + ending).ask(REQUEST).text == REWARD


@pytest.mark.parametrize("key", ["canäry-0123456789", "canary\n0123456789", "canary\x00-01234567"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds a character") as caught:
        endpoint("http://127.0.0.1:1/v1", key)
    assert "0123456" not in str(caught.value)


def test_no_key_at_all_stays_none() -> None:
    assert checked_key(None, "X") is None
    assert checked_key("", "X") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://[bad",
        "127.0.0.1:8000/v1",
        "localhost",
        "ftp://host/v1",
        "http://:80/v1",
        "http://host:99999/v1",
        "http://host:port/v1",
        "file:///etc/passwd",
    ],
)
def test_a_base_url_that_is_none_is_said_before_anything_is_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ConfigError, match=r"wanted is http\(s\)://HOST"):
        endpoint()


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://env/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    assert endpoint() == ("http://env/v1", "of-the-environment")
    assert endpoint("http://given/v1", "given") == ("http://given/v1", "given")


def test_only_openai_itself_wants_a_key() -> None:
    assert endpoint("http://127.0.0.1:1/v1") == ("http://127.0.0.1:1/v1", "none")
    for url in (None, OPENAI_URL, OPENAI_URL + "/"):
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
            endpoint(url)


def test_the_price_of_our_table_holds_for_openais_own_endpoint_only() -> None:
    own = OpenAIModel(DEFAULT_MODEL, api_key=CANARY)
    other = OpenAIModel(DEFAULT_MODEL, base_url="http://127.0.0.1:1/v1")
    told = OpenAIModel("m", base_url="http://127.0.0.1:1/v1", price=Price(1.0, 2.0))
    assert own.price == find_price(f"openai:{DEFAULT_MODEL}") is not None
    assert (other.price, told.price) == (None, Price(1.0, 2.0))


def test_neither_key_nor_password_of_the_url_is_in_the_models_text() -> None:
    model = OpenAIModel("m", base_url=f"http://{CANARY}@127.0.0.1:1/v1", api_key=CANARY)
    shown = f"{model} {model!r} {model.name}"
    assert "canary" not in shown
    assert "127.0.0.1:1" in shown


def test_no_secret_of_the_url_is_in_an_error() -> None:
    url = "http://someone:pass-0123@127.0.0.1:1/v1?api_key=q-01234567"
    with pytest.raises(ModelError) as caught:
        OpenAIModel("m", base_url=url, api_key=CANARY, patience=ONCE).ask(REQUEST)
    assert caught.value.kind == "connection"
    for secret in ("pass-0123", "q-01234567", CANARY):
        assert secret not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"


def test_an_unknown_model_comes_with_the_nearest_names() -> None:
    with FakeServer(["unknown_model"]) as server:
        model = OpenAIModel("fake-smal", base_url=server.url, api_key=CANARY, patience=ONCE)
        with pytest.raises(ModelError, match="nearest first: fake-small") as caught:
            model.ask(REQUEST)
    assert caught.value.kind == "not_found"


def test_the_models_of_a_server_that_is_gone_are_a_connection_error() -> None:
    with FakeServer() as server:
        assert set(model_names(server.url, CANARY)) == {"fake-small", "fake-large"}
    with pytest.raises(ModelError, match=server.url) as caught:
        model_names(server.url, CANARY)
    assert caught.value.kind == "connection"


def test_unusual_parameters_reach_the_body_as_they_are() -> None:
    asked = Request("designer", (Message("user", "hop"),), parameters={"top_k": 4, "seed": 7})
    with FakeServer() as server:
        model_at(server).ask(asked)
    assert (server.requests[0]["top_k"], server.requests[0]["seed"]) == (4, 7)


def test_only_what_the_caller_set_is_sent() -> None:
    with FakeServer() as server:
        model_at(server).ask(REQUEST)
    assert set(server.requests[0]) == {"model", "messages"}


@pytest.mark.parametrize("fault", ["slow_drip", "stall"])
def test_a_call_that_does_not_end_leaves_no_thread_behind(fault: str) -> None:
    quick = Patience(deadline_s=0.6, attempt_s=0.4, attempts=1)
    with FakeServer([fault]) as server, pytest.raises(ModelError):
        model_at(server, quick).ask(REQUEST)
    until_s = time.monotonic() + 10.0
    while time.monotonic() < until_s and any(t.name == "model-call" for t in threading.enumerate()):
        time.sleep(0.02)
    assert not [t for t in threading.enumerate() if t.name == "model-call"]


def test_threads_share_a_model_and_what_it_learnt() -> None:
    with FakeServer(itertools.repeat("bad_parameter")) as server:
        model = model_at(server)
        asked = Request("designer", (Message("user", "hop"),), temperature=0.7)
        model.ask(asked)
        threads = [threading.Thread(target=model.ask, args=(asked,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ["temperature" in body for body in server.requests] == [True] + [False] * 7
