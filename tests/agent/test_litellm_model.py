import logging
import sys
from pathlib import Path

import pytest

from rewardsmith.agent.asking import Patience
from rewardsmith.agent.fake_server import FAULTS, REWARD, FakeServer
from rewardsmith.agent.litellm_model import LiteLLMModel, _mapped, _told
from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.prices import Price
from rewardsmith.errors import ConfigError, ModelError

CANARY = "canary-of-no-usual-form-0123456789"
REQUEST = Request("designer", (Message("user", "hop"),))
ONCE = Patience(deadline_s=60.0, attempt_s=40.0, attempts=1)


class Map:
    """What of litellm a look at its prices needs."""

    def __init__(self, **rows: dict[str, float]) -> None:
        self.model_cost = {name.replace("__", "/"): row for name, row in rows.items()}


def model_at(server: FakeServer, key: str = CANARY) -> LiteLLMModel:
    return LiteLLMModel("openai/m", base_url=server.url, api_key=key, patience=ONCE)


def test_without_litellm_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ConfigError, match="pip install litellm"):
        LiteLLMModel("anthropic/x", api_key=CANARY)


def test_an_unknown_provider_and_a_missing_key_are_told_apart() -> None:
    with pytest.raises(ConfigError, match="no provider for 'nobody/x'"):
        LiteLLMModel("nobody/x")
    with pytest.raises(ConfigError, match="MISTRAL_API_KEY is not set"):
        LiteLLMModel("mistral/codestral-2508")


def test_a_key_or_an_endpoint_of_ones_own_needs_no_variable() -> None:
    assert LiteLLMModel("mistral/x", api_key=CANARY).name == "litellm:mistral/x"
    assert LiteLLMModel("openai/x", base_url="http://127.0.0.1:1/v1").name == "litellm:openai/x"


def test_the_key_is_in_no_text_of_the_model() -> None:
    model = LiteLLMModel("mistral/x", api_key=CANARY)
    assert "canary" not in f"{model} {model!r}"


@pytest.mark.parametrize("key", ["canäry-0123456789", "canary\n-0123456789"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="no key has") as caught:
        LiteLLMModel("openai/x", base_url="http://127.0.0.1:1/v1", api_key=key)
    assert "0123456" not in str(caught.value)


def test_a_line_end_in_the_key_is_not_sent() -> None:
    with FakeServer(key=CANARY) as server:
        assert model_at(server, CANARY + "\r\n").ask(REQUEST).text == REWARD


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"[" * 50_000,
        b'{"choices": "x"}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": "x"}}], "usage": "many"}',
    ],
)
def test_a_body_of_another_form_is_a_model_error_asked_for_twice_at_most(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAULTS, "odd", lambda handler, _: handler.send_bytes(body))
    patience = Patience(deadline_s=60.0, attempt_s=40.0, first_wait_s=0.001)
    with FakeServer(["odd"] * 9) as server:
        model = LiteLLMModel("openai/m", base_url=server.url, api_key=CANARY, patience=patience)
        with pytest.raises(ModelError) as caught:
            model.ask(REQUEST)
    assert caught.value.kind == "unparsable"
    assert len(server.requests) == 2


def test_no_key_reaches_terminal_or_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for fault in ("unauthorized", "server_error", "not_json", "rate_limit"):
        with FakeServer([fault]) as server, pytest.raises(ModelError) as caught:
            model_at(server).ask(REQUEST)
        assert CANARY not in f"{caught.value} {caught.value!r}"
    seen = capfd.readouterr()
    assert CANARY not in seen.out + seen.err
    assert CANARY not in caplog.text


def test_a_price_is_per_million_tokens_and_of_the_provider_first() -> None:
    row = {"input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6}
    dear = {"input_cost_per_token": 1.0, "output_cost_per_token": 1.0}
    found = _mapped(Map(a__m=row, m=dear), "a/m")
    assert found is not None
    assert (found.input, found.output, found.cached) == pytest.approx((2.0, 8.0, None))
    assert _mapped(Map(m=row), "a/m") == found


def test_a_price_with_a_part_missing_is_unknown() -> None:
    for row in ({}, {"input_cost_per_token": 1e-6}, {"output_cost_per_token": 1e-6}):
        assert _mapped(Map(m=row), "m") is None
    assert _mapped(Map(), "m") is None


def test_cached_tokens_have_their_own_price() -> None:
    row = {
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 1e-6,
        "cache_read_input_token_cost": 1e-7,
    }
    found = _mapped(Map(m=row), "m")
    assert found is not None
    assert found.cached == pytest.approx(0.1)


def test_the_users_price_goes_before_all_others() -> None:
    price = Price(7.0, 9.0)
    model = LiteLLMModel("anthropic/claude-sonnet-5-5", api_key=CANARY, price=price)
    assert model.price == price


def test_zeros_for_a_usage_that_was_not_told_are_unknown() -> None:
    assert _told({"usage": {"prompt_tokens": 0, "completion_tokens": 0}})["usage"] is None
    assert _told({})["usage"] is None
    told = {"usage": {"prompt_tokens": 3, "completion_tokens": 0}}
    assert _told(told) == told


def test_nothing_is_fetched_at_import_and_nothing_is_cached(tmp_path: Path) -> None:
    import litellm

    LiteLLMModel("mistral/x", api_key=CANARY)
    assert litellm.cache is None
    assert litellm.telemetry is False
    assert list(tmp_path.iterdir()) == []
