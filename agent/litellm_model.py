"""Every other provider, through ``litellm``: the only module that imports it, and only when used.

At import litellm fetches a map of prices from the network unless it is told not to; its own
retries sit on top of the retries of the package below. Both are switched off here.
"""

import os
import warnings
from collections.abc import Mapping
from typing import Any

from rewardsmith.agent.asking import Asking, AttemptError, Notify, Patience, Seams, within
from rewardsmith.agent.chat_format import masked, messages_of, reply_of
from rewardsmith.agent.llm import Reply, Request
from rewardsmith.agent.openai_model import checked_key, is_known, translated
from rewardsmith.agent.prices import Price, find_price
from rewardsmith.errors import ConfigError


class LiteLLMModel:
    """One model, named ``provider/model`` as litellm does."""

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
        """Takes the key from the provider's usual variable where none is given.

        Raises:
            ConfigError: litellm is not installed, does not know the provider, or its key is unset.
        """
        self._model = model
        self._base_url = base_url
        self._key = checked_key(api_key, "the key")
        self._litellm = _imported()
        if api_key is None and base_url is None:
            _check_key(self._litellm, model)
        self._price = price or find_price(f"litellm:{model}") or _mapped(self._litellm, model)
        self._asking = Asking(self.name, self._attempt, patience, seams, notify)

    @property
    def name(self) -> str:
        """Returns ``litellm:PROVIDER/MODEL``."""
        return f"litellm:{self._model}"

    @property
    def price(self) -> Price | None:
        """Returns the price per token, None where neither our table nor litellm's knows it."""
        return self._price

    def __repr__(self) -> str:
        return f"LiteLLMModel({self._model!r})"

    def ask(self, request: Request) -> Reply:
        """Returns one reply.

        Raises:
            ModelError: no usable reply; ``kind`` says why.
        """
        return self._asking.ask(request)

    def _attempt(self, request: Request, sent: Mapping[str, Any], timeout_s: float) -> Reply:
        def call() -> dict[str, Any]:
            _hush()
            reply = self._litellm.completion(
                model=self._model,
                messages=messages_of(request),
                base_url=self._base_url,
                api_key=self._key,
                timeout=0.9 * timeout_s,
                num_retries=0,
                max_retries=0,
                **sent,
            )
            body: dict[str, Any] = reply.model_dump(warnings=False)
            return body

        outcome = within(timeout_s, call, lambda: None)
        if isinstance(outcome, Exception):
            raise self._translated(outcome, sent, timeout_s) from None
        return reply_of(_told(outcome), model=self.name, price=self._price)

    def _translated(
        self, error: Exception, sent: Mapping[str, Any], timeout_s: float
    ) -> AttemptError:
        where = f"{self._model} at {masked(self._base_url)}" if self._base_url else self._model
        types = self._litellm.exceptions
        text = masked(str(error), self._key)
        if isinstance(error, types.UnsupportedParamsError):  # raised before anything is sent
            named = [name for name in sent if name in str(error)]
            return AttemptError("bad_request", text, parameter=named[0] if named else None)
        if isinstance(error, types.ContentPolicyViolationError):
            return AttemptError("content_filter", text)
        if _is_hang_up(error):
            return AttemptError("connection", f"{where} cannot be reached, or hung up ({text})")
        if _is_unparsable(error):
            return AttemptError("unparsable", f"{where} answered with what is no JSON")
        if is_known(error):
            return translated(error, sent, timeout_s, where=where, secrets=(self._key,))
        return AttemptError("server", f"{type(error).__name__}: {text}")


def _imported() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read at import: no network then
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import litellm
    except ImportError as error:
        raise ConfigError(
            f"this provider needs litellm, which cannot be imported ({error}): pip install litellm"
        ) from error
    litellm.telemetry = False
    litellm.cache = None
    litellm.suppress_debug_info = True
    return litellm


def _hush() -> None:
    """No warnings of the packages about themselves.

    One rule for the whole process, not `catch_warnings` round each call: threads would put back
    each other's rules.
    """
    warnings.filterwarnings("ignore", module=r"(pydantic|litellm|openai|httpx|aiohttp)(\.|$)")


def _check_key(litellm: Any, model: str) -> None:
    try:
        found = litellm.validate_environment(model=model)
        litellm.get_llm_provider(model)
    except litellm.exceptions.BadRequestError as error:
        raise ConfigError(
            f"litellm knows no provider for {model!r}; wanted is PROVIDER/MODEL, "
            "e.g. anthropic/claude-sonnet-5-5"
        ) from error
    missing = found["missing_keys"]
    # An address alone may be missing: a server on this machine, as ollama, has a usual one.
    if not found["keys_in_environment"] and any(not n.endswith("_BASE") for n in missing):
        names = " and ".join(missing)
        raise ConfigError(f"{names} is not set; {model} cannot be asked without")


def _mapped(litellm: Any, model: str) -> Price | None:
    """The price in litellm's own map, None where that has none."""
    row = litellm.model_cost.get(model) or litellm.model_cost.get(model.partition("/")[2])
    if not row or row.get("input_cost_per_token") is None:
        return None
    if row.get("output_cost_per_token") is None:
        return None
    cached = row.get("cache_read_input_token_cost")
    return Price(
        input=row["input_cost_per_token"] * 1e6,
        output=row["output_cost_per_token"] * 1e6,
        cached=None if cached is None else cached * 1e6,
    )


def _told(body: dict[str, Any]) -> dict[str, Any]:
    """The body without the zeros that litellm puts where the endpoint told no usage."""
    usage = body.get("usage") or {}
    if not usage.get("prompt_tokens") and not usage.get("completion_tokens"):
        return {**body, "usage": None}
    return body


def _is_hang_up(error: Exception) -> bool:
    chain = f"{type(error).__name__} {error} {error.__cause__!r} {error.__context__!r}"
    return any(word in chain for word in ("Connection error", "ConnectError", "RemoteProtocol"))


def _is_unparsable(error: Exception) -> bool:
    return any(
        w in str(error)
        for w in (
            "codec can't decode",
            "JSONDecodeError",
            "Expecting value",
            "Invalid response",
            "invalid response",
            "recursion depth",
            "'choices' that is",
        )
    )
