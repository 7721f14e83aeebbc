import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from rewardsmith.errors import MODEL_ERROR_KINDS, ModelErrorKind


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


@pytest.mark.parametrize(
    ("headers", "wanted_s"),
    [
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "Wednesday, 21-Oct-26 07:28:30 GMT"}, 30.0),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 09:00:05 GMT",
                "date": "Wed, 21 Oct 2026 09:00:00 GMT",
            },
            5.0,
        ),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "90000"}, 90_000.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "x", "retry-after": "2.5"}, 2.5),
    ],
)
def test_a_retry_after_may_be_a_date(headers: object, wanted_s: float | None) -> None:
    now_s = 1_792_567_680.0  # Wed, 21 Oct 2026 07:28:00 GMT
    assert retry_after_s(headers, now=lambda: now_s) == wanted_s


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_no_header_whatever_breaks_the_reading_of_it(headers: dict[str, str]) -> None:
    found = retry_after_s(headers)
    assert found is None or 0.0 <= found < float("inf")


@pytest.mark.parametrize(
    ("message", "kind", "wait_s"),
    [
        # The limits per minute of accounts without a payment method speak of billing as well.
        (
            "Rate limit reached. Limit: 3 / min. Please try again in 20s. You can increase it by "
            "adding a payment method at https://platform.example/account/billing.",
            "rate_limit",
            20.0,
        ),
        ("Add a payment method at https://x.example/account/billing", "rate_limit", None),
        (
            "You exceeded your current quota, please check your plan and billing details. "
            "Please retry in 31.5s.",
            "rate_limit",
            31.5,
        ),
        ("You exceeded your current quota, please check your plan", "quota", None),
        ("Billing hard limit has been reached", "quota", None),
        ("billing_not_active", "quota", None),
        ("try again in 6m0s", "rate_limit", 360.0),
        ("Please try again in 120ms.", "rate_limit", 0.12),
        ("try again in a while", "rate_limit", None),
    ],
)
def test_a_limit_that_passes_is_told_from_one_that_does_not(
    message: str, kind: str, wait_s: float | None
) -> None:
    failed = failure_of(429, "", {"error": {"message": message}}, sent={})
    assert (failed.kind, failed.retry_after_s) == (kind, wait_s)


def test_a_header_goes_before_the_words() -> None:
    failed = failure_of(429, "try again in 20s", None, sent={}, retry_after_s=3.0)
    assert failed.retry_after_s == 3.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://token-only@host/v1", "http://***@host/v1"),
        ("https://a:b:c@host/x and //me:p@h", "https://***@host/x and //***@h"),
        ("http://host/v1?key=AIza-secret&n=1", "http://host/v1?key=***&n=1"),
        ("http://host/v1?n=1&api_key=hidden", "http://host/v1?n=1&api_key=***"),
        ("?access_token=hidden)", "?access_token=***)"),
        ("mail me@host, ratio a//b", "mail me@host, ratio a//b"),
        ("http://host/monkey=7", "http://host/monkey=7"),
    ],
)
def test_what_a_url_may_hide_is_masked_and_nothing_else(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_key_with_a_line_end_is_masked_where_it_stands_without() -> None:
    assert masked("Bearer canary-0123456\\n", "canary-0123456\n") == "Bearer ***\\n"


def test_the_longer_of_two_keys_is_masked_whole() -> None:
    assert masked("canary-0123456-more", "canary-0123456", "canary-0123456-more") == "***"


def test_a_key_at_the_place_where_a_long_message_is_cut_is_masked() -> None:
    key = "canary-" + "0123456789" * 3
    failed = failure_of(500, "x" * 280 + key + "y" * 99, None, sent={}, secrets=(key,))
    assert "canary" not in str(failed)
    assert len(str(failed)) < 330


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="ascii", exclude_characters=" \t"), min_size=8, max_size=40),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_no_key_of_eight_characters_survives_masking(key: str, before: str, after: str) -> None:
    if key != key.strip() or set(key) <= {"*"}:
        return
    assert key not in masked(f"{before}{key}{after}", key)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "usage", "finish_reason", "refusal", "text",
             "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_a_reply_with_text_or_an_attempt_error(whole: object) -> None:
    kind = None
    try:
        reply = reply_of(whole, model="m", price=Price(1.0, 1.0))
    except AttemptError as error:
        kind = error.kind
    assert kind in {None, "unparsable", "empty", "truncated", "content_filter"}
    assert kind or reply.text.strip()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([None, 200, 302, 400, 401, 404, 413, 429, 500, 599]), st.text(), JSON)
def test_any_error_body_has_a_kind_and_a_short_text(
    status: int | None, message: str, whole: object
) -> None:
    failed = failure_of(status, message, whole, sent={"temperature": 1.0})
    assert failed.kind in MODEL_ERROR_KINDS
    assert failed.parameter in (None, "temperature")
    assert len(str(failed)) < 330


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters()))
def test_every_message_can_be_sent_as_utf_8(text: str) -> None:
    request = Request("critic", (Message("user", text), Message("assistant", text[::-1])))
    for message in messages_of(request):
        message["content"].encode("utf-8")
    assert len(messages_of(request)[0]["content"]) == len(text)


def test_a_cost_is_told_only_with_all_its_counts() -> None:
    price = Price(2.0, 4.0, 1.0)
    whole = {
        "prompt_tokens": 1_000_000,
        "completion_tokens": 500_000,
        "prompt_tokens_details": {"cached_tokens": 1_000_000},
    }
    assert usage_of(whole, price).cost_usd == pytest.approx(3.0)
    assert usage_of({"prompt_tokens": 5}, price).cost_usd is None
    assert usage_of(whole, None).cost_usd is None
    assert usage_of({**whole, "prompt_tokens_details": "none"}, price).cached_tokens is None


def test_a_refusal_beside_a_text_does_not_take_the_text_away() -> None:
    message = {"content": "the code", "refusal": "not all of it"}
    assert reply_of({"choices": [{"message": message}]}, model="m", price=None).text == "the code"
