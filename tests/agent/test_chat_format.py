import pytest

from rewardsmith.agent.asking import AttemptError
from rewardsmith.agent.chat_format import (
    LONGEST_REPLY_CHARS,
    failure_of,
    masked,
    messages_of,
    reply_of,
    retry_after_s,
    usage_of,
)
from rewardsmith.agent.llm import Message, Request
from rewardsmith.agent.prices import Price
from rewardsmith.errors import ModelErrorKind


def body(content: object, finish: str | None = "stop") -> dict[str, object]:
    return {"choices": [{"finish_reason": finish, "message": {"content": content}}]}


def test_a_body_becomes_a_reply_with_its_cost() -> None:
    whole = {**body("code"), "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}}
    reply = reply_of(whole, model="m", price=Price(2.0, 9.0))
    assert (reply.text, reply.finish, reply.usage.cost_usd) == ("code", "stop", 2.0)


def test_a_content_of_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert reply_of(body(parts), model="m", price=None).text == "ab"


def test_a_missing_finish_reason_is_taken_for_a_stop() -> None:
    assert reply_of(body("x", None), model="m", price=None).finish == "stop"


def test_a_huge_text_is_cut_and_says_so() -> None:
    reply = reply_of(body("x" * (LONGEST_REPLY_CHARS + 1)), model="m", price=None)
    assert (len(reply.text), reply.finish) == (LONGEST_REPLY_CHARS, "length")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("a page", "unparsable"),
        (None, "unparsable"),
        ({}, "empty"),
        ({"choices": None}, "empty"),
        ({"choices": ["x"]}, "empty"),
        ({"choices": [{"message": None}]}, "empty"),
        (body(" \n"), "empty"),
        (body(7), "empty"),
        (body(None, "length"), "truncated"),
        (body("half", "content_filter"), "content_filter"),
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, "content_filter"),
    ],
)
def test_a_body_without_text_is_an_error_of_its_kind(content: object, kind: str) -> None:
    with pytest.raises(AttemptError) as caught:
        reply_of(content, model="m", price=None)
    assert caught.value.kind == kind


@pytest.mark.parametrize("raw", [None, 3, {}, {"prompt_tokens": "7"}, {"prompt_tokens": -1}])
def test_a_count_that_is_none_is_unknown(raw: object) -> None:
    assert usage_of(raw, None).prompt_tokens is None


def test_cached_and_reasoning_tokens_are_told_apart() -> None:
    raw = {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 6},
    }
    usage = usage_of(raw, None)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (7, 6)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "bad", "bad_request"),
        (400, "model 'x' not found", "not_found"),
        (400, "blocked by our content management policy", "content_filter"),
        (401, "", "auth"),
        (402, "", "quota"),
        (403, "", "auth"),
        (404, "", "not_found"),
        (408, "", "timeout"),
        (409, "", "server"),
        (418, "", "bad_request"),
        (429, "slow down", "rate_limit"),
        (429, "your credit balance is too low", "quota"),
        (500, "", "server"),
        (529, "overloaded", "server"),
        (None, "", "connection"),
    ],
)
def test_a_status_has_one_meaning(status: int | None, text: str, kind: ModelErrorKind) -> None:
    assert failure_of(status, text, None, sent={}).kind == kind


@pytest.mark.parametrize(
    ("message", "param", "dropped"),
    [
        ("no", "seed", "seed"),
        ("`temperature` is deprecated for this model", None, "temperature"),
        ("'max_tokens' is no good. Use 'max_completion_tokens'", None, "max_tokens"),
        ("top_p must be below 1", None, None),
        ("my_seeds are bad", None, None),
    ],
)
def test_the_refused_parameter_is_found(
    message: str, param: str | None, dropped: str | None
) -> None:
    sent = {"temperature": 1.0, "seed": 3, "max_tokens": 5}
    error = {"error": {"message": message, "param": param}}
    assert failure_of(400, message, error, sent=sent).parameter == dropped


def test_only_what_can_pass_carries_a_wait() -> None:
    assert failure_of(429, "", None, sent={}, retry_after_s=3.0).retry_after_s == 3.0
    assert failure_of(401, "", None, sent={}, retry_after_s=3.0).retry_after_s is None


@pytest.mark.parametrize(
    ("headers", "wanted_s"),
    [
        (None, None),
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_a_retry_after_is_a_number_of_seconds(headers: object, wanted_s: float | None) -> None:
    assert retry_after_s(headers) == wanted_s


def test_keys_are_masked_wherever_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "from-the-environment")
    text = "from-the-environment given-by-hand sk-proj-abc*****xyz http://me:pass@host/v1"
    assert masked(text, "given-by-hand") == "*** *** sk-*** http://***@host/v1"


def test_a_placeholder_for_a_key_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "none")
    assert masked("none of them") == "none of them"


def test_half_a_surrogate_pair_does_not_break_the_request() -> None:
    assert messages_of(Request("critic", (Message("user", "a\udc80b"),))) == [
        {"role": "user", "content": "a?b"}
    ]
