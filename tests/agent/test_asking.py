import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent.asking import (
    Asking,
    AttemptError,
    AttemptRow,
    Dropped,
    Patience,
    Seams,
    TimedOut,
    added,
    ask_many,
    parameters_of,
    within,
)
from rewardsmith.agent.llm import Message, Reply, Request, Usage
from rewardsmith.agent.scripted import ScriptedModel
from rewardsmith.errors import (
    MODEL_ERROR_KINDS,
    BudgetExhausted,
    ModelError,
    ModelErrorKind,
)

REQUEST = Request("designer", (Message("user", "hop"),), temperature=0.5, max_tokens=9)


class World:
    """A clock that only sleeping moves, and an endpoint with a script."""

    def __init__(self, *outcomes: AttemptError | str, takes_s: float = 0.0) -> None:
        self.outcomes = list(outcomes)
        self.takes_s = takes_s
        self.now_s = 0.0
        self.slept: list[float] = []
        self.said: list[str] = []
        self.rows: list[AttemptRow] = []
        self.sent: list[dict[str, Any]] = []
        self.timeouts: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def attempt(self, request: Request, sent: Mapping[str, Any], timeout_s: float) -> Reply:
        self.sent.append(dict(sent))
        self.timeouts.append(timeout_s)
        self.now_s += self.takes_s
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, AttemptError):
            raise outcome
        return Reply(text=outcome, model="m", usage=Usage(prompt_tokens=3, completion_tokens=2))

    def asking(self, patience: Patience | None = None) -> Asking:
        seams = Seams(now=lambda: self.now_s, sleep=self.sleep, uniform=lambda: 1.0)
        patience = patience or Patience()
        return Asking("m", self.attempt, patience, seams, self.said.append, self.rows.append)

    def fails(self, patience: Patience | None = None) -> ModelError:
        with pytest.raises(ModelError) as caught:
            self.asking(patience).ask(REQUEST)
        return caught.value


def broken(kind: ModelErrorKind, text: str = "it broke", **more: Any) -> AttemptError:
    return AttemptError(kind, text, **more)


@pytest.mark.parametrize("kind", ["auth", "not_found", "bad_request", "quota", "budget"])
def test_a_terminal_error_is_not_tried_again(kind: ModelErrorKind) -> None:
    world = World(broken(kind))
    assert world.fails().kind == kind
    assert len(world.sent) == 1
    assert world.slept == []


def test_a_passing_error_is_waited_out_with_growing_waits() -> None:
    world = World(broken("server", "a"), broken("connection", "b"), broken("server", "c"), "good")
    reply = world.asking().ask(REQUEST)
    assert (reply.text, reply.attempts, reply.wall_s) == ("good", 4, 7.0)
    assert world.slept == [1.0, 2.0, 4.0]


def test_waits_are_jittered_downwards_and_capped() -> None:
    world = World(*[broken("rate_limit")] * 5, "good")
    seams = Seams(now=lambda: world.now_s, sleep=world.sleep, uniform=lambda: 0.0)
    patience = Patience(first_wait_s=10.0, longest_wait_s=20.0)
    Asking("m", world.attempt, patience, seams).ask(REQUEST)
    assert world.slept == [5.0, 10.0, 10.0, 10.0, 10.0]


def test_a_wait_says_what_it_waits_for_and_how_long() -> None:
    world = World(broken("rate_limit", status=429, retry_after_s=41.0), "good")
    world.asking().ask(REQUEST)
    assert world.said == ["waiting on 429, attempt 2/6, 41 s"]


def test_retry_after_goes_before_the_own_schedule() -> None:
    world = World(broken("rate_limit", retry_after_s=17.0), "good")
    world.asking().ask(REQUEST)
    assert world.slept == [17.0]


def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once() -> None:
    world = World(broken("rate_limit", retry_after_s=900.0))
    error = world.fails(Patience(deadline_s=600.0))
    assert (error.kind, world.slept) == ("rate_limit", [])
    assert "900 s" in str(error)


def test_the_same_error_three_times_ends_the_call_whatever_ids_it_carries() -> None:
    world = World(*[broken("server", f"boom, request {n}a{n}f00dcafe") for n in range(9)])
    assert "same error came 3 times" in str(world.fails())
    assert len(world.sent) == 3


def test_different_errors_are_tried_until_the_attempts_are_used_up() -> None:
    world = World(*[broken("server", word) for word in ("a", "b", "c", "d", "e", "f", "g")])
    assert "6 attempts were made" in str(world.fails())
    assert len(world.sent) == 6


def test_a_rate_limit_may_repeat_itself_until_the_attempts_are_used_up() -> None:
    world = World(broken("rate_limit"))
    assert world.fails().kind == "rate_limit"
    assert len(world.sent) == 6


@pytest.mark.parametrize("kind", ["content_filter", "truncated", "unparsable"])
def test_what_costs_tokens_each_time_is_tried_once_more_only(kind: ModelErrorKind) -> None:
    world = World(broken(kind))
    assert world.fails().kind == kind
    assert len(world.sent) == 2


def test_no_attempt_may_last_past_the_deadline_of_the_call() -> None:
    world = World(broken("stall", "a"), broken("stall", "b"), broken("stall", "c"), takes_s=40.0)
    error = world.fails(Patience(deadline_s=100.0, attempt_s=60.0, attempts=99))
    assert error.kind == "stall"
    assert world.timeouts == [60.0, 59.0, 17.0]
    assert world.now_s <= 100.0 + 40.0


def test_a_refused_parameter_is_dropped_reported_and_never_sent_again() -> None:
    world = World(broken("bad_request", parameter="temperature"), "good")
    asking = world.asking()
    first, second = asking.ask(REQUEST), asking.ask(REQUEST)
    assert first.dropped_parameters == second.dropped_parameters == ("temperature",)
    assert [set(sent) for sent in world.sent] == [
        {"temperature", "max_tokens"},
        {"max_tokens"},
        {"max_tokens"},
    ]
    assert (first.attempts, world.slept) == (1, [])


def test_max_tokens_is_sent_under_its_other_name_and_dropped_if_that_is_refused_too() -> None:
    world = World(
        broken("bad_request", parameter="max_tokens"),
        broken("bad_request", parameter="max_completion_tokens"),
        "good",
    )
    reply = world.asking().ask(REQUEST)
    assert world.sent[1]["max_completion_tokens"] == 9
    assert set(world.sent[2]) == {"temperature"}
    assert reply.dropped_parameters == ("max_tokens",)


def test_a_rename_is_reported_as_such() -> None:
    world = World(broken("bad_request", parameter="max_tokens"), "good")
    assert world.asking().ask(REQUEST).dropped_parameters == ("max_tokens->max_completion_tokens",)


def test_a_refusal_of_what_was_not_sent_is_final() -> None:
    world = World(broken("bad_request", parameter="seed"))
    assert world.fails().kind == "bad_request"
    assert len(world.sent) == 1


def test_nothing_is_sent_that_the_caller_did_not_set() -> None:
    world = World("good")
    world.asking().ask(Request("designer", (), parameters={"top_p": 0.9}))
    assert world.sent == [{"top_p": 0.9}]


def test_tokens_of_failed_attempts_are_part_of_the_reply() -> None:
    paid = Usage(prompt_tokens=10, completion_tokens=1, cost_usd=0.5)
    world = World(broken("empty", usage=paid), "good")
    usage = world.asking().ask(REQUEST).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (13, 3, 0.5)


def test_every_attempt_leaves_a_row() -> None:
    world = World(broken("server"), "good", takes_s=2.0)
    world.asking().ask(REQUEST)
    assert [(r.attempt, r.kind, r.wall_s) for r in world.rows] == [
        (1, "server", 2.0),
        (2, None, 2.0),
    ]


def test_an_unknown_count_stays_unknown_in_a_sum() -> None:
    assert added(Usage(), Usage()).prompt_tokens is None
    assert added(Usage(prompt_tokens=4), Usage()).prompt_tokens == 4


def test_learning_a_parameter_that_was_not_sent_says_that_a_retry_is_useless() -> None:
    dropped = Dropped()
    assert not dropped.learn("seed", {"temperature": 1.0})
    assert dropped.applied({"seed": 1}) == {"seed": 1}


def test_many_requests_are_answered_in_their_order_and_failures_are_values() -> None:
    def answer(request: Request) -> str:
        if request.sample == 2:
            raise ModelError("empty", "nothing")
        return f"answer {request.sample}"

    requests = [Request("designer", (), sample=number) for number in range(5)]
    replies = ask_many(ScriptedModel(answer), requests, workers=3)
    texts = [r.text if isinstance(r, Reply) else r.kind for r in replies]
    assert texts == ["answer 0", "answer 1", "empty", "answer 3", "answer 4"]


def test_no_requests_give_no_replies() -> None:
    assert ask_many(ScriptedModel(["x"]), [], workers=4) == []


def test_a_call_that_ends_in_time_is_not_abandoned() -> None:
    abandoned: list[bool] = []
    assert within(5.0, lambda: 7, lambda: abandoned.append(True)) == 7
    assert abandoned == []


def test_an_exception_of_the_call_comes_back_as_a_value() -> None:
    outcome = within(5.0, lambda: [][0], lambda: None)
    assert isinstance(outcome, IndexError)


def test_a_server_that_asks_for_no_wait_at_all_does_not_use_up_the_attempts_at_once() -> None:
    world = World(broken("rate_limit", retry_after_s=0.0))
    world.fails()
    assert world.slept == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_silent_and_a_dripping_endpoint_are_one_fault() -> None:
    world = World(broken("stall", "a"), broken("timeout", "b"), broken("stall", "c"), "late")
    assert world.fails().kind == "stall"
    assert len(world.sent) == 3


def test_a_very_long_patience_does_not_overflow() -> None:
    world = World(broken("rate_limit"))
    patience = Patience(deadline_s=1e9, attempts=3000, longest_wait_s=5.0)
    world.fails(patience)
    assert len(world.sent) == 3000
    assert max(world.slept) == 5.0


def test_the_error_names_model_time_and_reason_and_hides_the_attempt() -> None:
    error = World(broken("server", "HTTP 500: it broke"), takes_s=2.0).fails()
    assert str(error).startswith("m: HTTP 500: it broke (gave up after ")
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_an_error_that_no_provider_foresaw_is_not_swallowed() -> None:
    def attempt(request: Request, sent: Mapping[str, Any], timeout_s: float) -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Asking("m", attempt).ask(REQUEST)


def test_a_parameter_of_the_request_stays_below_the_named_ones() -> None:
    asked = Request("critic", (), temperature=0.1, parameters={"temperature": 0.9, "top_p": 1.0})
    assert parameters_of(asked) == {"temperature": 0.1, "top_p": 1.0}
    assert asked.parameters == {"temperature": 0.9, "top_p": 1.0}


def test_zero_is_a_temperature_and_a_limit_that_was_set() -> None:
    assert parameters_of(Request("critic", (), temperature=0.0, max_tokens=0)) == {
        "temperature": 0.0,
        "max_tokens": 0,
    }


KINDS = st.sampled_from(MODEL_ERROR_KINDS)
OUTCOMES = st.lists(
    st.one_of(
        st.just("good"),
        st.builds(
            lambda kind, text, wait_s: AttemptError(kind, text, retry_after_s=wait_s),
            KINDS,
            st.sampled_from(["a", "b", "request 17", "request 99"]),
            st.none() | st.floats(0.0, 900.0),
        ),
        st.builds(
            lambda name: AttemptError("bad_request", "no", parameter=name),
            st.sampled_from(["temperature", "max_tokens", "max_completion_tokens", "seed"]),
        ),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(
    OUTCOMES,
    st.builds(
        Patience,
        deadline_s=st.floats(0.1, 700.0),
        attempt_s=st.floats(0.1, 300.0),
        attempts=st.integers(1, 8),
        same_error=st.integers(1, 4),
        first_wait_s=st.floats(0.0, 5.0),
    ),
    st.floats(0.0, 100.0),
)
def test_whatever_happens_a_call_ends_within_its_attempts_and_its_deadline(
    outcomes: list[AttemptError | str], patience: Patience, takes_s: float
) -> None:
    world = World(*outcomes, takes_s=takes_s)
    refusals = sum(isinstance(o, AttemptError) and o.parameter is not None for o in outcomes)
    kind, text = "", ""
    try:
        text = world.asking(patience).ask(REQUEST).text
    except ModelError as error:
        kind = error.kind
    assert bool(kind) != bool(text)
    # What is refused is dropped: at most both names of the limit, and the temperature, once each.
    assert len(world.sent) <= patience.attempts + min(refusals, 3)
    assert all(0.0 < t <= patience.attempt_s for t in world.timeouts)
    assert sum(world.slept) <= patience.deadline_s
    assert len(world.rows) == len(world.sent)
    assert [row.kind is None for row in world.rows] == [False] * (len(world.rows) - 1) + [
        bool(text)
    ]


NAMES = st.sampled_from(["temperature", "max_tokens", "max_completion_tokens", "seed", "top_p"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES, st.integers()), st.lists(NAMES, max_size=8))
def test_what_was_refused_is_never_sent_again_and_all_else_is(
    parameters: dict[str, int], refusals: list[str]
) -> None:
    dropped = Dropped()
    for name in refusals:
        sent = dropped.applied(parameters)
        useful = dropped.learn(name, sent)
        assert useful == (name in sent)
        assert name not in dropped.applied(parameters)
    left = dropped.applied(parameters)
    untouched = set(parameters) - set(refusals)
    assert untouched <= set(left)
    assert set(left.values()) <= set(parameters.values())
    assert {line.split("->")[0] for line in dropped.report(parameters)} <= set(refusals)


COUNTS = st.none() | st.integers(0, 10**6)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, st.none() | st.integers(0, 99))


@given(USAGES, USAGES)
def test_adding_usages_loses_no_token_and_knows_no_order(first: Usage, second: Usage) -> None:
    total = added(first, second)
    assert total == added(second, first)
    assert added(first, Usage()) == first
    for name in ("prompt_tokens", "completion_tokens", "cost_usd"):
        parts = [getattr(first, name), getattr(second, name)]
        known = [part for part in parts if part is not None]
        assert getattr(total, name) == (sum(known) if known else None)


def test_many_threads_learn_one_refusal_together() -> None:
    dropped = Dropped()
    start = threading.Barrier(8)
    learnt: list[bool] = []

    def learn() -> None:
        start.wait()
        learnt.append(dropped.learn("temperature", {"temperature": 1.0}))

    threads = [threading.Thread(target=learn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert learnt == [True] * 8  # each sent it, so each may ask again without
    assert dropped.applied({"temperature": 1.0, "seed": 1}) == {"seed": 1}


def test_a_call_past_its_time_is_abandoned_once_and_named() -> None:
    ended, abandoned = threading.Event(), []

    def abandon() -> None:
        abandoned.append(True)
        ended.set()

    began_s = time.monotonic()
    outcome = within(0.05, lambda: ended.wait(30.0), abandon)
    assert isinstance(outcome, TimedOut)
    assert "0.1 s" in str(outcome) or "0.0 s" in str(outcome)
    assert (abandoned, time.monotonic() - began_s < 10.0) == ([True], True)


def test_no_more_threads_ask_than_workers_are_allowed() -> None:
    lock = threading.Lock()
    now, most = [0], [0]

    class Busy:
        name = "busy"

        def ask(self, request: Request) -> Reply:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.01)
            with lock:
                now[0] -= 1
            return Reply("x", "busy")

    asked = [Request("designer", (), sample=n) for n in range(12)]
    assert len(ask_many(Busy(), asked, workers=3)) == 12
    assert 1 < most[0] <= 3
    assert len(ask_many(Busy(), asked[:2], workers=0)) == 2


def test_an_exhausted_budget_ends_all_and_is_not_taken_for_an_answer() -> None:
    def answer(request: Request) -> str:
        raise BudgetExhausted("no money")

    with pytest.raises(BudgetExhausted):
        ask_many(ScriptedModel(answer), [REQUEST, REQUEST], workers=2)
