"""One table of faults, met through the openai package and through litellm."""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from rewardsmith.agent.asking import Patience, ask_many
from rewardsmith.agent.fake_server import FAULTS, REWARD, FakeServer
from rewardsmith.agent.litellm_model import LiteLLMModel
from rewardsmith.agent.llm import LanguageModel, Message, Reply, Request
from rewardsmith.agent.openai_model import OpenAIModel
from rewardsmith.errors import ModelError, ModelErrorKind

CANARY = "sk-canary-0123456789abcdef"
REQUEST = Request("designer", (Message("user", "hop " * 10),), temperature=0.7, max_tokens=50)
QUICK = Patience(deadline_s=1.6, attempt_s=0.3, attempts=6, first_wait_s=0.01)
Make = Callable[..., LanguageModel]


def through_openai(server: FakeServer, model: str = "fake-smal", key: str = CANARY) -> OpenAIModel:
    return OpenAIModel(model, base_url=server.url, api_key=key, patience=QUICK)


def through_litellm(
    server: FakeServer, model: str = "fake-smal", key: str = CANARY
) -> LiteLLMModel:
    return LiteLLMModel(f"openai/{model}", base_url=server.url, api_key=key, patience=QUICK)


# fault -> the kind of the error, and how many requests it may take
ERRORS: dict[str, tuple[ModelErrorKind, int]] = {
    "unauthorized": ("auth", 1),
    "unknown_model": ("not_found", 1),
    "bad_request": ("bad_request", 1),
    "rate_limit": ("rate_limit", 6),
    "rate_limit_with_retry_after": ("rate_limit", 2),
    "quota": ("quota", 1),
    "server_error": ("server", 3),
    "reset": ("connection", 3),
    "slow_drip": ("timeout", 3),
    "stall": ("stall", 3),
    "truncated_empty": ("truncated", 2),
    "empty": ("empty", 3),
    "no_choices": ("empty", 3),
    "content_filter": ("content_filter", 2),
    "invalid_utf8": ("unparsable", 2),
    "not_json": ("unparsable", 2),
}
# fault -> how the text starts, its finish
ANSWERS: dict[str, tuple[str, str]] = {
    "ok": (REWARD, "stop"),
    "bad_parameter": (REWARD, "stop"),
    "renamed_parameter": (REWARD, "stop"),
    "truncated": ("```python", "length"),
    "two_blocks": ("Draft:", "stop"),
    "prose": ("A good reward", "stop"),
    "missing_usage": (REWARD, "stop"),
    "wrong_model": (REWARD, "stop"),
    "huge": ("reward reward", "length"),
}


@pytest.fixture(scope="module", autouse=True)
def _no_open_connections() -> Iterator[None]:
    """Imports all there is to import; closes the clients that litellm keeps at the end.

    The packages import parts of themselves at the first call, which takes longer on a busy
    machine than the attempts below may last.
    """
    slow = Patience()
    with FakeServer() as server:
        OpenAIModel("m", base_url=server.url, api_key=CANARY, patience=slow).ask(REQUEST)
    with FakeServer(["ok", "unauthorized"]) as server:
        model = LiteLLMModel("openai/m", base_url=server.url, api_key=CANARY, patience=slow)
        model.ask(REQUEST)
        with pytest.raises(ModelError):
            model.ask(REQUEST)
    yield
    import litellm

    for client in litellm.in_memory_llm_clients_cache.cache_dict.values():
        if hasattr(client, "close"):
            client.close()


@pytest.fixture(params=[through_openai, through_litellm], ids=["openai", "litellm"], name="make")
def _make(request: pytest.FixtureRequest) -> Make:
    make: Make = request.param
    return make


def test_the_table_covers_every_fault_of_the_server() -> None:
    assert set(ERRORS) | set(ANSWERS) == set(FAULTS)


@pytest.mark.parametrize("fault", ERRORS)
def test_a_fault_ends_as_its_kind_in_bounded_time_and_requests(fault: str, make: Make) -> None:
    kind, requests = ERRORS[fault]
    with FakeServer(itertools.repeat(fault)) as server:
        model = make(server)
        began_s = time.monotonic()
        with pytest.raises(ModelError) as caught:
            model.ask(REQUEST)
        assert time.monotonic() - began_s < 6.0  # far above the deadline: test machines are busy
    # Which of two clocks, 30 ms apart, rings first is up to a busy machine.
    kinds = {kind, "timeout"} if fault == "stall" else {kind}
    assert caught.value.kind in kinds
    assert len(server.requests) == requests


@pytest.mark.parametrize("fault", ANSWERS)
def test_an_odd_answer_is_still_an_answer(fault: str, make: Make) -> None:
    text, finish = ANSWERS[fault]
    with FakeServer(itertools.repeat(fault)) as server:
        reply = make(server).ask(REQUEST)
    assert (reply.text.startswith(text), reply.finish) == (True, finish)


@pytest.mark.parametrize("fault", ["server_error", "reset", "stall", "rate_limit", "empty"])
def test_a_passing_fault_costs_one_attempt(fault: str, make: Make) -> None:
    with FakeServer([fault]) as server:
        reply = make(server).ask(REQUEST)
    assert (reply.text, reply.attempts, len(server.requests)) == (REWARD, 2, 2)


def test_retry_after_is_honoured(make: Make) -> None:
    with FakeServer(["rate_limit_with_retry_after"]) as server:
        reply = make(server).ask(REQUEST)
    assert reply.wall_s >= 1.0


def test_no_key_is_in_any_message_though_the_endpoint_repeats_it(make: Make) -> None:
    with FakeServer(itertools.repeat("unauthorized")) as server:
        model = make(server)
        with pytest.raises(ModelError) as caught:
            model.ask(REQUEST)
    shown = f"{caught.value} {caught.value!r} {model!r} {caught.value.__cause__!r}"
    assert CANARY not in shown
    assert "canary" not in shown


def test_a_wrong_key_is_refused_and_a_right_one_is_not(make: Make) -> None:
    with FakeServer(key=CANARY) as server:
        assert make(server).ask(REQUEST).text == REWARD
        with pytest.raises(ModelError) as caught:
            make(server, key="sk-another-key").ask(REQUEST)
    assert caught.value.kind == "auth"


def test_a_refused_parameter_is_reported_and_not_sent_twice(make: Make) -> None:
    with FakeServer(itertools.repeat("bad_parameter")) as server:
        model = make(server)
        replies = [model.ask(REQUEST), model.ask(REQUEST)]
    assert [reply.dropped_parameters for reply in replies] == [("temperature",)] * 2
    assert ["temperature" in body for body in server.requests] == [True, False, False]


def test_a_limit_on_tokens_is_sent_under_the_name_that_is_wanted(make: Make) -> None:
    with FakeServer(itertools.repeat("renamed_parameter")) as server:
        make(server).ask(REQUEST)
    assert server.requests[-1]["max_completion_tokens"] == 50


def test_k_samples_are_k_requests_for_one_choice_each(make: Make) -> None:
    requests = [Request("designer", (Message("user", "hop"),), sample=k) for k in range(4)]
    with FakeServer() as server:
        model = make(server)
        model.ask(REQUEST)  # makes the client that litellm keeps; four at once would lose three
        replies = ask_many(model, requests, workers=4)
    assert all(isinstance(reply, Reply) for reply in replies)
    assert len(server.requests) == 1 + 4
    assert all("n" not in body for body in server.requests)


def test_a_usage_that_was_not_told_is_unknown_and_not_zero(make: Make) -> None:
    with FakeServer(["missing_usage"]) as server:
        usage = make(server).ask(REQUEST).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (None, None, None)


def test_usage_is_told_and_the_price_of_a_stranger_is_unknown(make: Make) -> None:
    with FakeServer() as server:
        usage = make(server).ask(REQUEST).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (10, 31, None)


def test_an_endpoint_that_is_not_there_is_a_connection_error(make: Make) -> None:
    with FakeServer() as server:
        model = make(server)
    with pytest.raises(ModelError) as caught:
        model.ask(REQUEST)
    assert caught.value.kind == "connection"
    assert server.url in str(caught.value)
