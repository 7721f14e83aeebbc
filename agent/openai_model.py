"""Any OpenAI-compatible endpoint, through the ``openai`` package: the only module that imports it.

Written to what versions 2.54 and 3 of the package share: plain dicts, numeric timeouts, the family
of status errors, and no objects of the HTTP library underneath, which differs between them.
"""

import difflib
import os
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rewardsmith.agent.asking import (
    Asking,
    AttemptError,
    Notify,
    Patience,
    Seams,
    TimedOut,
    within,
)
from rewardsmith.agent.chat_format import failure_of, masked, messages_of, reply_of, retry_after_s
from rewardsmith.agent.llm import Reply, Request
from rewardsmith.agent.prices import Price, find_price
from rewardsmith.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import openai

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-5.4"


class OpenAIModel:
    """One model at one endpoint. Holds no connection between calls, so threads may share it."""

    def __init__(  # noqa: PLR0913  (all but the first have defaults)
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        price: Price | None = None,
        patience: Patience = Patience(),  # noqa: B008  (frozen)
        seams: Seams = Seams(),  # noqa: B008  (frozen)
        notify: Notify | None = None,
    ) -> None:
        """Takes endpoint and key from ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` where not given.

        Raises:
            ConfigError: no key, and the endpoint is OpenAI's own, which wants one.
        """
        self._model = model
        self._url, self._key = endpoint(base_url, api_key)
        if price is None and self._url.rstrip("/") == OPENAI_URL:
            price = find_price(f"openai:{model}")
        self._price = price
        self._asking = Asking(self.name, self._attempt, patience, seams, notify)

    @property
    def name(self) -> str:
        """Returns ``openai:MODEL``."""
        return f"openai:{self._model}"

    @property
    def price(self) -> Price | None:
        """Returns the price per token, None where unknown (any endpoint but OpenAI's own)."""
        return self._price

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={masked(self._url)!r})"

    def ask(self, request: Request) -> Reply:
        """Returns one reply.

        Raises:
            ModelError: no usable reply; a model that the endpoint does not know comes with the
                nearest names it does know.
        """
        try:
            return self._asking.ask(request)
        except ModelError as error:
            if error.kind != "not_found":
                raise
            raise ModelError("not_found", f"{error}{self._nearest()}") from None

    def _attempt(self, request: Request, sent: Mapping[str, Any], timeout_s: float) -> Reply:
        # One client per attempt: closing it is the one way to end a reply that only drips.
        client = _client(self._url, self._key, timeout_s)
        create: Any = client.chat.completions.create

        def call() -> object:
            made = create(model=self._model, messages=messages_of(request), **_split(sent))
            # Not a word about fields of another type than the package knows: we check them.
            return made.model_dump(warnings=False) if hasattr(made, "model_dump") else made

        outcome = within(timeout_s, call, client.close)
        client.close()
        if isinstance(outcome, Exception):
            raise self._translated(outcome, sent, timeout_s) from None
        return reply_of(outcome, model=self.name, price=self._price)

    def _translated(
        self, error: Exception, sent: Mapping[str, Any], timeout_s: float
    ) -> AttemptError:
        return translated(error, sent, timeout_s, where=masked(self._url), secrets=(self._key,))

    def _nearest(self) -> str:
        try:
            known = model_names(self._url, self._key)
        except ModelError:
            return ""
        near = difflib.get_close_matches(self._model, known, 3, 0.4) or sorted(known)[:5]
        return f"; {masked(self._url)} knows, nearest first: {', '.join(near)}" if near else ""


def endpoint(base_url: str | None = None, api_key: str | None = None) -> tuple[str, str]:
    """URL and key to use.

    Raises:
        ConfigError: the endpoint is OpenAI's own and there is no key; the URL is none; or the key
            cannot be sent.
    """
    url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).strip()
    key = checked_key(api_key or os.environ.get("OPENAI_API_KEY"), "OPENAI_API_KEY")
    _check_url(url)
    if not key and url.rstrip("/") == OPENAI_URL:
        raise ConfigError(
            "OPENAI_API_KEY is not set; set it, or set OPENAI_BASE_URL to an endpoint that wants "
            "no key, or use --llm local"
        )
    return url, key or "none"


def checked_key(key: str | None, variable: str) -> str | None:
    """The key without the line end that files leave in it; None stays None.

    Raises:
        ConfigError: it holds what no header can carry; the key itself is not in the message.
    """
    key = key.strip() if key else None
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"{variable} holds a character that no key has (a letter outside ASCII, or a line end "
            "in the middle); copy the key again"
        )
    return key


def _check_url(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(f"OPENAI_BASE_URL is {masked(url)!r}; wanted is http(s)://HOST[:PORT]/v1")


def model_names(url: str, key: str, timeout_s: float = 10.0) -> list[str]:
    """Names of the models that the endpoint lists.

    Raises:
        ModelError: it does not list them.
    """
    client = _client(url, key, timeout_s)
    outcome = within(
        timeout_s, lambda: [str(m.id) for m in client.models.list().data], client.close
    )
    client.close()
    if isinstance(outcome, Exception):
        failed = translated(outcome, {}, timeout_s, where=masked(url), secrets=(key,))
        raise ModelError(failed.kind, f"{masked(url)}: {failed}") from None
    return outcome


def is_known(error: Exception) -> bool:
    """Whether `translated` can say what an exception means; the package is imported only here."""
    import openai

    return isinstance(error, openai.OpenAIError | ValueError | TimedOut)


def translated(
    error: Exception,
    sent: Mapping[str, Any],
    timeout_s: float,
    *,
    where: str,
    secrets: tuple[str | None, ...],
) -> AttemptError:
    """What an exception of the package means (also of litellm, whose exceptions derive from it)."""
    import openai

    if isinstance(error, TimedOut):
        return AttemptError("timeout", f"{where}: {error}")
    if isinstance(error, openai.APITimeoutError):
        return AttemptError("stall", f"{where} sent nothing for {timeout_s:.1f} s")
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, sent, secrets)
    # A RecursionError is JSON of many thousand brackets.
    if isinstance(error, openai.APIResponseValidationError | ValueError | RecursionError):
        return AttemptError("unparsable", f"{where} answered with what is no JSON")
    if isinstance(error, openai.APIConnectionError):
        cause = masked(str(error.__cause__ or error), *secrets)
        return AttemptError("connection", f"{where} cannot be reached, or hung up ({cause})")
    if isinstance(error, openai.OpenAIError):
        return AttemptError("bad_request", masked(str(error), *secrets))
    raise error


def _of_status(
    error: "openai.APIStatusError", sent: Mapping[str, Any], secrets: tuple[str | None, ...]
) -> AttemptError:
    # litellm keeps the headers in an attribute of its own and leaves the response empty.
    headers = getattr(error, "litellm_response_headers", None)
    headers = headers or getattr(getattr(error, "response", None), "headers", None)
    failed = failure_of(
        error.status_code,
        str(error.message),
        error.body,
        sent=sent,
        retry_after_s=retry_after_s(headers),
        secrets=secrets,
    )
    if failed.kind == "auth":
        failed.args = (f"{failed} (the key in the provider's key variable was refused)",)
    return failed


def _client(url: str, key: str, timeout_s: float) -> "openai.OpenAI":
    import openai

    # The read timeout ends a silent endpoint a little before the clock around the call does, so
    # that "it sent nothing" can be told from "it did not finish".
    return openai.OpenAI(api_key=key, base_url=url, max_retries=0, timeout=0.9 * timeout_s)


def _split(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters the package knows as keywords, and all others in the body as they are."""
    known = {
        "temperature", "max_tokens", "max_completion_tokens", "top_p", "seed", "stop",
        "presence_penalty", "frequency_penalty", "response_format", "reasoning_effort",
    }  # fmt: skip
    keywords = {name: value for name, value in sent.items() if name in known}
    other = {name: value for name, value in sent.items() if name not in known}
    return {**keywords, "extra_body": other} if other else keywords
