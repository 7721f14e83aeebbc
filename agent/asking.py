"""The one retry layer: a bounded number of attempts, under one deadline for each logical call.

Providers make single attempts and say in an `AttemptError` what went wrong; everything that has to
do with patience stands here, so that two layers never multiply each other's waits.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from rewardsmith.agent.llm import LanguageModel, Reply, Request, Usage
from rewardsmith.errors import ModelError, ModelErrorKind

TERMINAL: frozenset[ModelErrorKind] = frozenset(
    {"auth", "not_found", "bad_request", "quota", "budget", "replay_miss"}
)
# A model that was asked the same thing and was cut off, or filtered, mostly is again, and each
# time costs tokens: one more try, not five.
_COSTLY: frozenset[ModelErrorKind] = frozenset({"content_filter", "truncated", "unparsable"})
_RENAMED = {"max_tokens": "max_completion_tokens"}

Notify = Callable[[str], None]
T = TypeVar("T")


class AttemptError(Exception):
    """What one attempt came to. ``parameter`` is one that the endpoint said it does not take."""

    def __init__(
        self,
        kind: ModelErrorKind,
        message: str,
        *,
        retry_after_s: float | None = None,
        parameter: str | None = None,
        status: int | None = None,
        usage: Usage = Usage(),  # noqa: B008  (frozen)
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.parameter = parameter
        self.status = status
        self.usage = usage


@dataclass(frozen=True)
class Patience:
    """How long and how often to try. Times in s; ``attempts`` and ``same_error`` count attempts."""

    deadline_s: float = 600.0
    attempt_s: float = 300.0
    attempts: int = 6
    same_error: int = 3
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0


@dataclass(frozen=True)
class Seams:
    """What tests replace: clock and sleep in s, and a uniform number in [0, 1)."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[], float] = random.random


@dataclass(frozen=True)
class AttemptRow:
    """One attempt, for whoever keeps the books. ``kind`` is None where it succeeded."""

    model: str
    role: str
    attempt: int
    wall_s: float
    kind: ModelErrorKind | None
    message: str
    usage: Usage


class Dropped:
    """Parameters that an endpoint refused: name -> name to send instead, or None. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, str | None] = {}

    def learn(self, parameter: str, sent: Mapping[str, Any]) -> bool:
        """Remembers a refusal; False where there is nothing left to drop, so a retry is useless."""
        with self._lock:
            if parameter in sent:
                self._names[parameter] = _RENAMED.get(parameter)
                return True
            return False

    def applied(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as this endpoint takes them."""
        with self._lock:
            names = dict(self._names)
        kept: dict[str, Any] = {}
        for name, value in parameters.items():
            wanted = names.get(name, name)
            wanted = names.get(wanted, wanted) if wanted else None
            if wanted:
                kept[wanted] = value
        return kept

    def report(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of those given that were dropped; ``old->new`` for one sent under another name."""
        with self._lock:
            names = dict(self._names)
        lines = []
        for name in parameters:
            if name in names:
                new = names[name]
                lines.append(f"{name}->{new}" if new and new not in names else name)
        return tuple(lines)


Attempt = Callable[[Request, Mapping[str, Any], float], Reply]


@dataclass(frozen=True)
class Asking:
    """Asks one model with patience. One instance per model, shared by threads."""

    model: str
    attempt: Attempt
    patience: Patience = Patience()
    seams: Seams = Seams()
    notify: Notify | None = None
    on_attempt: Callable[[AttemptRow], None] | None = None
    dropped: Dropped = field(default_factory=Dropped)

    def ask(self, request: Request) -> Reply:
        """Returns one reply; waits are announced through ``notify``.

        Raises:
            ModelError: a terminal kind at once, any other when patience ends; ``kind`` says which.
        """
        return _Call(self, request).run()


def parameters_of(request: Request) -> dict[str, Any]:
    """Only what the caller set: many models refuse parameters at their default values too."""
    parameters = dict(request.parameters)
    if request.temperature is not None:
        parameters["temperature"] = request.temperature
    if request.max_tokens is not None:
        parameters["max_tokens"] = request.max_tokens
    return parameters


class _Call:
    """One logical call: its clock, its count of attempts and what they cost so far."""

    def __init__(self, asking: Asking, request: Request) -> None:
        self.asking = asking
        self.request = request
        self.wanted = parameters_of(request)
        self.start_s = asking.seams.now()
        self.tries = 0
        self.seen: dict[tuple[str, str], int] = {}
        self.spent = Usage()

    def run(self) -> Reply:
        while True:
            sent = self.asking.dropped.applied(self.wanted)
            try:
                return self._finished(self._attempted(sent))
            except AttemptError as error:
                self._after(error, sent)

    def _left_s(self) -> float:
        return self.asking.patience.deadline_s - (self.asking.seams.now() - self.start_s)

    def _attempted(self, sent: Mapping[str, Any]) -> Reply:
        self.tries += 1
        began_s = self.asking.seams.now()
        timeout_s = max(0.001, min(self.asking.patience.attempt_s, self._left_s()))
        try:
            reply = self.asking.attempt(self.request, sent, timeout_s)
        except AttemptError as error:
            self._row(began_s, error.kind, str(error), error.usage)
            raise
        self._row(began_s, None, "", reply.usage)
        return reply

    def _row(self, began_s: float, kind: ModelErrorKind | None, message: str, usage: Usage) -> None:
        if self.asking.on_attempt is not None:
            wall_s = self.asking.seams.now() - began_s
            role, model = self.request.role, self.asking.model
            self.asking.on_attempt(
                AttemptRow(model, role, self.tries, wall_s, kind, message, usage)
            )

    def _finished(self, reply: Reply) -> Reply:
        return replace(
            reply,
            usage=added(reply.usage, self.spent),
            wall_s=self.asking.seams.now() - self.start_s,
            attempts=self.tries,
            dropped_parameters=self.asking.dropped.report(self.wanted),
        )

    def _after(self, error: AttemptError, sent: Mapping[str, Any]) -> None:
        """Returns when another attempt is due, raises when there is none to make."""
        self.spent = added(error.usage, self.spent)
        if error.parameter is not None and self.asking.dropped.learn(error.parameter, sent):
            self.tries -= 1  # a question put wrongly, not a failure of the endpoint
            self._say(f"{self.asking.model} does not take {error.parameter}: asking without it")
            return
        self._give_up_if_hopeless(error)
        wait_s = self._wait_s(error)
        if wait_s >= self._left_s():
            self._stop(error, f"the next try would come {wait_s:.0f} s from now, past the deadline")
        what = str(error.status) if error.status else error.kind
        attempts = self.asking.patience.attempts
        self._say(f"waiting on {what}, attempt {self.tries + 1}/{attempts}, {wait_s:.0f} s")
        self.asking.seams.sleep(wait_s)

    def _give_up_if_hopeless(self, error: AttemptError) -> None:
        if error.kind in TERMINAL:
            raise ModelError(error.kind, f"{self.asking.model}: {error}") from None
        patience = self.asking.patience
        if self.tries >= patience.attempts:
            self._stop(error, f"{self.tries} attempts were made")
        # A rate limit repeats itself word for word by nature; it is bounded by count and deadline.
        if error.kind == "rate_limit":
            return
        # Silence and a drip that never ends are one fault; which it looks like is a matter of ms.
        slow = error.kind in ("stall", "timeout")
        key = ("slow", "") if slow else (error.kind, _without_ids(str(error)))
        self.seen[key] = self.seen.get(key, 0) + 1
        limit = 2 if error.kind in _COSTLY else patience.same_error
        if self.seen[key] >= limit:
            self._stop(error, f"the same error came {self.seen[key]} times")

    def _wait_s(self, error: AttemptError) -> float:
        """At least what the endpoint asks for: "0 s", told each time, would use up all attempts."""
        patience = self.asking.patience
        doubled_s = patience.first_wait_s * 2.0 ** min(self.tries - 1, 60)
        own_s = min(patience.longest_wait_s, doubled_s)
        own_s *= 0.5 + 0.5 * self.asking.seams.uniform()
        return max(own_s, error.retry_after_s or 0.0)

    def _stop(self, error: AttemptError, why: str) -> None:
        wall_s = self.asking.seams.now() - self.start_s
        text = f"{self.asking.model}: {error} (gave up after {wall_s:.0f} s: {why})"
        raise ModelError(error.kind, text) from None

    def _say(self, text: str) -> None:
        if self.asking.notify is not None:
            self.asking.notify(text)


def added(first: Usage, second: Usage) -> Usage:
    """Sum of two usages; a number that only one of them knows is that number."""

    def total(name: str) -> Any:
        known = [v for u in (first, second) if (v := getattr(u, name)) is not None]
        return sum(known) if known else None

    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cost_usd")
    return Usage(**{name: total(name) for name in names})


def ask_many(
    model: LanguageModel, requests: Sequence[Request], workers: int
) -> list[Reply | ModelError]:
    """Asks all at once, each for one choice (``n`` is not portable); answers in the given order."""

    def one(request: Request) -> Reply | ModelError:
        try:
            return model.ask(request)
        except ModelError as error:
            return error

    if not requests:
        return []
    with ThreadPoolExecutor(max(1, min(workers, len(requests)))) as pool:
        return list(pool.map(one, requests))


class TimedOut(Exception):
    """A call was abandoned because it did not end in time."""


def within(seconds: float, call: Callable[[], T], abandon: Callable[[], None]) -> T | Exception:
    """The call's result or the exception it raised, as a value; `TimedOut` when time is up.

    The call runs in a daemon thread, since a read timeout never ends a slow drip of bytes:
    only a clock outside of the call can. ``abandon`` is called once when time is up; it should
    close what the call reads from, so that the thread ends too.
    """
    box: list[T | Exception] = []

    def run() -> None:
        try:
            box.append(call())
        except Exception as error:  # noqa: BLE001  (handed to the waiting thread, nothing is lost)
            box.append(error)

    thread = threading.Thread(target=run, daemon=True, name="model-call")
    thread.start()
    thread.join(seconds)
    if box:
        return box[0]
    abandon()
    return TimedOut(f"no complete answer within {seconds:.1f} s")


def _without_ids(text: str) -> str:
    """The message without what differs each time: request ids, times, counts."""
    return re.sub(r"[0-9a-f]{8,}|\d+", "#", text.lower())
