"""The ledger: what may still be spent, and who spent what.

Reserve, then settle: before a call its worst case is set aside, afterwards the true amount takes
its place. What is in flight counts as spent, so parallel calls cannot pass a limit together.
"""

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rewardsmith.agent.chat_format import messages_of
from rewardsmith.agent.llm import LanguageModel, Reply, Request, Usage
from rewardsmith.agent.prices import FREE, Price, find_price
from rewardsmith.errors import BudgetExhausted, ConfigError, ModelError, ModelErrorKind

# A limit on money or tokens needs a bound on each answer; this one is sent where none was set.
LONGEST_ANSWER_TOKENS = 8192
# Each match is a token at most: four letters with the space before them, a run of blanks, else one
# byte. Tables of numbers take a token for every digit or two, far more than prose.
_TOKEN = re.compile(rb" ?[A-Za-z]{1,4}|\s+|.", re.DOTALL)
# The provider may have generated, and billed, what we did not get to see.
_MAYBE_BILLED: frozenset[ModelErrorKind] = frozenset(
    {"timeout", "stall", "truncated", "empty", "content_filter", "unparsable"}
)


@dataclass(frozen=True)
class Limits:
    """Hard limits of a run, None for none; ``steps`` of environments, ``time_s`` of wall time."""

    usd: float | None = None
    tokens: int | None = None
    steps: int | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class Line:
    """What one role spent on one model. ``cost_usd`` None: the price, or a usage, is unknown."""

    role: str
    model: str
    calls: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = 0.0
    wall_s: float = 0.0


@dataclass(frozen=True)
class Reservation:
    """An amount set aside for one call in flight."""

    number: int
    usd: float
    tokens: int


class Ledger:
    """Counts one run's spending against its limits. Thread-safe."""

    def __init__(
        self,
        limits: Limits = Limits(),
        *,
        now: Callable[[], float] = time.monotonic,
        elapsed_s: float = 0.0,
        steps: int = 0,
        lines: Iterable[Line] = (),
    ) -> None:
        """Starts the clock; ``elapsed_s``, ``steps``, ``lines`` are what went before a resume."""
        self.limits = limits
        self._now = now
        self._start_s = now() - elapsed_s
        self._steps = steps
        self._lines = {(line.role, line.model): line for line in lines}
        self._open: dict[int, Reservation] = {}
        self._numbers = itertools.count()
        self._charged_usd = 0.0  # worst cases of calls whose true amount never became known
        self._charged_tokens = 0
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        """Returns the wall time spent, in s, of this and of earlier starts."""
        return self._now() - self._start_s

    @property
    def steps(self) -> int:
        """Returns the environment steps spent or reserved."""
        return self._steps

    def reserve(self, usd: float | None, tokens: int) -> Reservation:
        """Sets aside the worst case of one call.

        Args:
            usd: None where the price is unknown; such a call is let through only without ``usd``
                limit (`check_price` refuses it at the start).
            tokens: of prompt and answer together.

        Raises:
            BudgetExhausted: it does not fit into what is left, or time is up.
        """
        self.check_time()
        with self._lock:
            self._fits("money", self._usd(), usd or 0.0, self.limits.usd, "--max-usd")
            self._fits("tokens", self._tokens(), tokens, self.limits.tokens, "--max-tokens")
            reservation = Reservation(next(self._numbers), usd or 0.0, tokens)
            self._open[reservation.number] = reservation
            return reservation

    def settle(self, reservation: Reservation, role: str, reply: Reply) -> None:
        """Replaces the reserve by what the call took; a usage not told is charged in full."""
        with self._lock:
            self._open.pop(reservation.number, None)
            usage = reply.usage
            if usage.prompt_tokens is None or usage.completion_tokens is None:
                self._charged_tokens += reservation.tokens
            if usage.cost_usd is None:
                self._charged_usd += reservation.usd
            line = self._line(role, reply.model)
            self._lines[role, reply.model] = with_usage(line, usage, reply.wall_s)

    def fail(self, reservation: Reservation, role: str, model: str, kind: ModelErrorKind) -> None:
        """Ends the reserve of a call that brought nothing; it is charged where it may be billed."""
        with self._lock:
            self._open.pop(reservation.number, None)
            if kind in _MAYBE_BILLED:
                self._charged_usd += reservation.usd
                self._charged_tokens += reservation.tokens
            line = self._line(role, model)
            self._lines[role, model] = replace(line, calls=line.calls + 1, failed=line.failed + 1)

    def release(self, reservation: Reservation) -> None:
        """Ends a reserve without a trace: the call was never made."""
        with self._lock:
            self._open.pop(reservation.number, None)

    def reserve_steps(self, steps: int) -> None:
        """Takes environment steps before a training.

        Raises:
            BudgetExhausted: they do not fit into what is left, or time is up.
        """
        self.check_time()
        with self._lock:
            self._fits("steps", self._steps, steps, self.limits.steps, "--max-steps")
            self._steps += steps

    def return_steps(self, steps: int) -> None:
        """Gives back steps of a training that did not take them; negative: it took more."""
        with self._lock:
            self._steps = max(0, self._steps - steps)

    def check_time(self) -> None:
        """Returns if there is time left.

        Raises:
            BudgetExhausted: there is none.
        """
        limit_s = self.limits.time_s
        if limit_s is not None and self.elapsed_s >= limit_s:
            raise BudgetExhausted(
                f"{self.elapsed_s:.0f} s passed, the limit is {limit_s:.0f} s; nothing is lost: "
                "resume with a higher --max-time to go on"
            )

    def table(self) -> tuple[Line, ...]:
        """Returns what was spent, one line for each role and model."""
        with self._lock:
            return tuple(self._lines[key] for key in sorted(self._lines))

    def spent_usd(self) -> float | None:
        """Returns the money spent, in flight included; None where a part of it is unknown."""
        with self._lock:
            if any(line.cost_usd is None for line in self._lines.values()):
                return None
            return self._usd()

    def spent_tokens(self) -> int:
        """Returns the tokens spent, in flight included."""
        with self._lock:
            return self._tokens()

    def _line(self, role: str, model: str) -> Line:
        return self._lines.get((role, model), Line(role, model))

    def _usd(self) -> float:
        known = sum(line.cost_usd or 0.0 for line in self._lines.values())
        return known + self._charged_usd + sum(r.usd for r in self._open.values())

    def _tokens(self) -> int:
        known = sum(x.prompt_tokens + x.completion_tokens for x in self._lines.values())
        return known + self._charged_tokens + sum(r.tokens for r in self._open.values())

    @staticmethod
    def _fits(what: str, spent: float, more: float, limit: float | None, flag: str) -> None:
        if limit is not None and spent + more > limit:
            raise BudgetExhausted(
                f"{what}: {spent:.6g} of {limit:.6g} are spent or in flight, and the next step may "
                f"take {more:.6g}; nothing is lost: resume with a higher {flag} to go on"
            )


class BudgetedModel:
    """A model that asks the ledger first; it stands below the recording, so replays are free."""

    def __init__(self, model: LanguageModel, ledger: Ledger, price: Price | None) -> None:
        """Checks the price.

        Raises:
            ConfigError: there is a limit on money, and no price.
        """
        check_price(model.name, price, ledger.limits)
        self._model = model
        self._ledger = ledger
        self._price = price

    @property
    def name(self) -> str:
        """Returns the name of the model within."""
        return self._model.name

    def ask(self, request: Request) -> Reply:
        """Returns one reply, within the budget.

        Raises:
            ModelError: no usable reply.
            BudgetExhausted: the worst case of the call does not fit into what is left.
        """
        request = self._bounded(request)
        prompt = prompt_tokens(request)
        answer = request.max_tokens or LONGEST_ANSWER_TOKENS
        held = self._ledger.reserve(worst_usd(self._price, prompt, answer), prompt + answer)
        try:
            reply = self._model.ask(request)
        except ModelError as error:
            self._ledger.fail(held, request.role, self.name, error.kind)
            raise
        except BaseException:  # Ctrl-C, or a bug: the reserve must not outlive the call
            self._ledger.release(held)
            raise
        self._ledger.settle(held, request.role, reply)
        return reply

    def _bounded(self, request: Request) -> Request:
        limits = self._ledger.limits
        limited = limits.tokens is not None or (limits.usd is not None and self._price != FREE)
        if request.max_tokens is None and limited:
            return replace(request, max_tokens=LONGEST_ANSWER_TOKENS)
        return request


def price_of(model: LanguageModel, own: Path | None = None) -> Price | None:
    """Price in the user's table, else the one the model carries; None where unknown.

    A model carries it because an endpoint of one's own may serve a model of a provider's name.
    """
    if not hasattr(model, "price"):
        return find_price(model.name, own)
    price: Price | None = model.price
    return find_price(model.name, own, shipped=False) or price


def check_price(name: str, price: Price | None, limits: Limits) -> None:
    """Returns if a limit on money can be kept with this model.

    Raises:
        ConfigError: it cannot, since the price is unknown.
    """
    if limits.usd is not None and price is None:
        provider, _, model = name.partition(":")
        raise ConfigError(
            f"--max-usd cannot be kept: the price of {name} is unknown. Name it in a file for "
            f'--prices, with a table [{provider}] and the line "{model}" = '
            "{ input = ..., output = ... } ($ per million tokens), or leave --max-usd out"
        )


def prompt_tokens(request: Request) -> int:
    """An upper estimate of the prompt's tokens, prose or numbers, with 8 for each message."""
    return sum(len(_TOKEN.findall(m["content"].encode())) + 8 for m in messages_of(request))


def worst_usd(price: Price | None, prompt: int, answer: int) -> float | None:
    """Cost in US dollars if nothing is cached and the answer is as long as allowed."""
    return None if price is None else (prompt * price.input + answer * price.output) / 1e6


def with_usage(line: Line, usage: Usage, wall_s: float) -> Line:
    """The line with one more call; a cost that is not known makes the sum unknown."""
    cost = None
    if line.cost_usd is not None and usage.cost_usd is not None:
        cost = line.cost_usd + usage.cost_usd
    return replace(
        line,
        calls=line.calls + 1,
        prompt_tokens=line.prompt_tokens + (usage.prompt_tokens or 0),
        completion_tokens=line.completion_tokens + (usage.completion_tokens or 0),
        cached_tokens=line.cached_tokens + (usage.cached_tokens or 0),
        reasoning_tokens=line.reasoning_tokens + (usage.reasoning_tokens or 0),
        cost_usd=cost,
        wall_s=line.wall_s + wall_s,
    )
