"""The chat-completions format: what a body of it means, and what its errors mean."""

import math
import os
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from rewardsmith.agent.asking import AttemptError
from rewardsmith.agent.llm import Reply, Request, Usage
from rewardsmith.agent.prices import Price, cost_usd
from rewardsmith.errors import ModelErrorKind

# A reward is a page of text; an endpoint that sends megabytes is broken or hostile.
LONGEST_REPLY_CHARS = 400_000
_KEY_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)$")
_KINDS: dict[int, ModelErrorKind] = {
    400: "bad_request",
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "timeout",
    413: "bad_request",
    422: "bad_request",
    429: "rate_limit",
}
_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance|"
    r"billing[_ ](hard[_ ]limit|not[_ ]active)|check your plan and billing"
)
# Both words of a quota come with limits per minute too; these say after how long they pass.
_WAIT = re.compile(r"(?:try again|retry) in (?:(\d+)m)?(\d+(?:\.\d+)?) ?(ms|s)\b")
_URL_USER = re.compile(r"//[^/\s@\"']+@")
_URL_KEY = re.compile(r"([?&](?:[a-z_-]*key|[a-z_-]*token|secret)=)[^&\s\"')]+", re.IGNORECASE)
_FILTER = re.compile(r"content_filter|content_policy|content management policy")
_UNKNOWN_MODEL = re.compile(r"model_not_found|model .{0,80}(does not exist|not found|unknown)")


def messages_of(request: Request) -> list[dict[str, str]]:
    """The messages as plain dicts; half a surrogate pair, which is no text, becomes ``?``."""
    return [{"role": m.role, "content": _whole(m.content)} for m in request.messages]


def masked(text: str, *secrets: str | None) -> str:
    """The text without keys: those given, and every value of a key-like environment variable."""
    values = [v for name, v in os.environ.items() if _KEY_VARIABLE.search(name.upper())]
    given = {v.strip() for v in (*values, *(s for s in secrets if s))}
    for value in sorted(given, key=len, reverse=True):
        if len(value) >= 8:  # shorter ones ("none", "EMPTY") are placeholders and ordinary words
            text = text.replace(value, "***")
    text = re.sub(r"\bsk-[\w*.-]{6,}", "sk-***", text)
    return _URL_KEY.sub(r"\1***", _URL_USER.sub("//***@", text))


def reply_of(body: object, *, model: str, price: Price | None) -> Reply:
    """The reply in a chat-completions body.

    A text that was cut off is a reply with ``finish="length"``: much of it is often of use.

    Raises:
        AttemptError: the body holds no text; kind ``content_filter``, ``truncated``, ``empty``
            or ``unparsable``.
    """
    if not isinstance(body, Mapping):
        raise AttemptError("unparsable", f"the answer is no JSON object: {_short(body)}")
    usage = usage_of(body.get("usage"), price)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise AttemptError("empty", "the answer holds no choice", usage=usage)
    finish = str(choices[0].get("finish_reason") or "stop")
    message = choices[0].get("message")
    message = message if isinstance(message, Mapping) else {}
    text = _text_of(message.get("content"))
    if finish == "content_filter" or (message.get("refusal") and not text.strip()):
        raise AttemptError("content_filter", "the provider's filter withheld it", usage=usage)
    if not text.strip():
        raise _without_text(finish, usage)
    if len(text) > LONGEST_REPLY_CHARS:
        text, finish = text[:LONGEST_REPLY_CHARS], "length"
    return Reply(text=text, model=model, finish=finish, usage=usage)


def usage_of(raw: object, price: Price | None) -> Usage:
    """The tokens of one call; None for each number that the endpoint did not tell."""
    if not isinstance(raw, Mapping):
        return Usage()
    usage = Usage(
        prompt_tokens=_count(raw, "prompt_tokens"),
        completion_tokens=_count(raw, "completion_tokens"),
        cached_tokens=_count(raw.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(raw.get("completion_tokens_details"), "reasoning_tokens"),
    )
    return Usage(**{**usage.__dict__, "cost_usd": cost_usd(price, usage)})


def failure_of(
    status: int | None,
    message: str,
    body: object,
    *,
    sent: Mapping[str, Any],
    retry_after_s: float | None = None,
    secrets: tuple[str | None, ...] = (),
) -> AttemptError:
    """What an HTTP error status and its body mean."""
    text = f"{message} {body}".lower()
    kind = _kind_of(status, text)
    parameter = _refused_parameter(body, message, sent) if kind == "bad_request" else None
    said = _message_in(body) or message
    says = _short(masked(said, *secrets))  # masked first: a key cut in half is no longer known
    told_s = _wait_in(said) if retry_after_s is None else retry_after_s
    return AttemptError(
        kind,
        f"HTTP {status}: {says}" if status else says,
        retry_after_s=told_s if kind in ("rate_limit", "server") else None,
        parameter=parameter,
        status=status,
    )


def retry_after_s(headers: object, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that a Retry-After header asks for; None without one.

    A date counts from the header's own ``date``, else from ``now`` (s since 1970); one that has
    passed asks for nothing.
    """
    get = getattr(headers, "get", None)
    if get is None:
        return None
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            value = float(str(get(name))) * unit_s
        except (TypeError, ValueError):
            continue
        if math.isfinite(value) and value >= 0.0:
            return value
    due_s, sent_s = _moment(get("retry-after")), _moment(get("date"))
    if due_s is None:
        return None
    left_s = due_s - (now() if sent_s is None else sent_s)
    return left_s if left_s > 0.0 else None


def _moment(date: object) -> float | None:
    """An HTTP date in s since 1970."""
    try:
        return parsedate_to_datetime(str(date)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _wait_in(message: str) -> float | None:
    """Seconds in "try again in 6m0s", for endpoints that send no header."""
    found = _WAIT.search(message.lower())
    if found is None:
        return None
    minutes, amount, unit = found.groups()
    return 60.0 * int(minutes or 0) + float(amount) * (0.001 if unit == "ms" else 1.0)


def _kind_of(status: int | None, text: str) -> ModelErrorKind:
    if status is None:
        return "connection"
    kind = _KINDS.get(status, "server" if status >= 500 or status == 409 else "bad_request")
    if kind == "rate_limit" and _QUOTA.search(text) and not _WAIT.search(text):
        return "quota"
    if kind == "bad_request" and _FILTER.search(text):
        return "content_filter"
    if kind == "bad_request" and _UNKNOWN_MODEL.search(text):
        return "not_found"
    return kind


def _refused_parameter(body: object, message: str, sent: Mapping[str, Any]) -> str | None:
    """The one among the optional parameters sent that the error names."""
    named = _error_in(body).get("param")
    if named in sent:
        return str(named)
    text = f"{_message_in(body) or message}"
    # In order of appearance: "max_tokens is not supported, use max_completion_tokens instead".
    found = [(m.start(), n) for n in sent if (m := re.search(rf"\b{re.escape(n)}\b", text))]
    return min(found)[1] if found else None


def _error_in(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error", body)
    return inner if isinstance(inner, Mapping) else {}


def _message_in(body: object) -> str | None:
    message = _error_in(body).get("message")
    return message if isinstance(message, str) else None


def _without_text(finish: str, usage: Usage) -> AttemptError:
    if finish == "length":
        said = "the token limit was reached before any text came; raise max_tokens"
        return AttemptError("truncated", said, usage=usage)
    return AttemptError("empty", f"the answer is empty (finish reason {finish!r})", usage=usage)


def _text_of(content: object) -> str:
    """Text of a message; some endpoints send a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (p.get("text") for p in content if isinstance(p, Mapping))
        return "".join(p for p in parts if isinstance(p, str))
    return ""


def _count(raw: object, name: str) -> int | None:
    value = raw.get(name) if isinstance(raw, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _short(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."
