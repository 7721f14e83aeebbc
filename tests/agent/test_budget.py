import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.agent.budget import (
    LONGEST_ANSWER_TOKENS,
    BudgetedModel,
    Ledger,
    Limits,
    Line,
    check_price,
    price_of,
    prompt_tokens,
    with_usage,
    worst_usd,
)
from rewardsmith.agent.llm import Message, Reply, Request, Usage
from rewardsmith.agent.prices import FREE, Price
from rewardsmith.agent.scripted import ScriptedModel
from rewardsmith.errors import BudgetExhausted, ConfigError, ModelError, ModelErrorKind

DOLLAR = Price(input=1e6, output=1e6)  # a dollar a token
REQUEST = Request("designer", (Message("user", "abc"),), max_tokens=10)
PROMPT = prompt_tokens(REQUEST)  # 9


class Paid:
    """A model whose replies cost what they are told to."""

    name = "openai:m"

    def __init__(self, usage: Usage | ModelErrorKind) -> None:
        self.usage = usage
        self.requests: list[Request] = []

    def ask(self, request: Request) -> Reply:
        self.requests.append(request)
        if isinstance(self.usage, str):
            raise ModelError(self.usage, "no")
        return Reply("x", self.name, usage=self.usage, wall_s=2.0)


def test_a_call_whose_worst_case_does_not_fit_is_not_made() -> None:
    model = Paid(Usage(1, 1, cost_usd=2.0))
    budgeted = BudgetedModel(model, Ledger(Limits(usd=18.9)), DOLLAR)
    with pytest.raises(BudgetExhausted, match="--max-usd"):
        budgeted.ask(REQUEST)
    assert model.requests == []


def test_the_true_cost_takes_the_place_of_the_worst_case() -> None:
    ledger = Ledger(Limits(usd=21.0))
    budgeted = BudgetedModel(Paid(Usage(1, 1, cost_usd=2.0)), ledger, DOLLAR)
    budgeted.ask(REQUEST)
    assert ledger.spent_usd() == 2.0
    budgeted.ask(REQUEST)
    with pytest.raises(BudgetExhausted):
        budgeted.ask(REQUEST)


def test_what_is_in_flight_counts_as_spent() -> None:
    ledger = Ledger(Limits(tokens=100))
    ledger.reserve(None, 60)
    with pytest.raises(BudgetExhausted, match="60 of 100"):
        ledger.reserve(None, 60)


def test_parallel_calls_cannot_pass_a_limit_together() -> None:
    ledger = Ledger(Limits(tokens=1000))
    granted: list[int] = []

    def grab() -> None:
        for _ in range(100):
            try:
                ledger.reserve(None, 7)
            except BudgetExhausted:
                return
            granted.append(7)

    threads = [threading.Thread(target=grab) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == ledger.spent_tokens() == 994


@pytest.mark.parametrize(
    ("kind", "charged"), [("timeout", 19), ("truncated", 19), ("auth", 0), ("rate_limit", 0)]
)
def test_a_failure_is_charged_only_where_it_may_be_billed(
    kind: ModelErrorKind, charged: int
) -> None:
    ledger = Ledger()
    with pytest.raises(ModelError):
        BudgetedModel(Paid(kind), ledger, DOLLAR).ask(REQUEST)
    assert (ledger.spent_tokens(), ledger.spent_usd()) == (charged, float(charged))
    assert (ledger.table()[0].calls, ledger.table()[0].failed) == (1, 1)


def test_a_usage_that_was_not_told_is_charged_in_full_and_its_cost_stays_unknown() -> None:
    ledger = Ledger(Limits(usd=100.0))
    BudgetedModel(Paid(Usage()), ledger, DOLLAR).ask(REQUEST)
    assert ledger.spent_tokens() == PROMPT + 10
    assert ledger.spent_usd() is None
    with pytest.raises(BudgetExhausted):
        ledger.reserve(90.0, 1)


def test_a_broken_call_leaves_no_reserve_behind() -> None:
    ledger = Ledger(Limits(tokens=30))

    def answer(request: Request) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BudgetedModel(ScriptedModel(answer), ledger, FREE).ask(REQUEST)
    assert ledger.spent_tokens() == 0


def test_an_unbounded_answer_is_bounded_only_under_a_limit() -> None:
    asked = Request("designer", ())
    free, limited = Paid(Usage(1, 1, cost_usd=0.0)), Paid(Usage(1, 1, cost_usd=0.0))
    BudgetedModel(free, Ledger(), DOLLAR).ask(asked)
    BudgetedModel(limited, Ledger(Limits(tokens=9000)), DOLLAR).ask(asked)
    assert free.requests[0].max_tokens is None
    assert limited.requests[0].max_tokens == LONGEST_ANSWER_TOKENS


def test_an_unknown_price_with_a_limit_on_money_is_an_error_at_the_start() -> None:
    with pytest.raises(ConfigError, match="price of openai:m is unknown"):
        BudgetedModel(Paid(Usage()), Ledger(Limits(usd=1.0)), None)
    check_price("openai:m", None, Limits(tokens=5))


def test_steps_are_taken_before_a_training_and_given_back() -> None:
    ledger = Ledger(Limits(steps=100), steps=40)
    ledger.reserve_steps(60)
    with pytest.raises(BudgetExhausted, match="--max-steps"):
        ledger.reserve_steps(1)
    ledger.return_steps(10)
    ledger.reserve_steps(10)
    assert ledger.steps == 100


def test_time_of_earlier_starts_counts() -> None:
    clock = [50.0]
    ledger = Ledger(Limits(time_s=10.0), now=lambda: clock[0], elapsed_s=9.0)
    ledger.check_time()
    clock[0] = 51.0
    with pytest.raises(BudgetExhausted, match="--max-time"):
        ledger.reserve(None, 1)


def test_the_table_tells_roles_and_models_apart() -> None:
    ledger = Ledger(lines=[Line("critic", "a", calls=3, cost_usd=1.0)])
    BudgetedModel(Paid(Usage(5, 6, 1, 2, cost_usd=0.5)), ledger, DOLLAR).ask(REQUEST)
    critic, designer = ledger.table()
    assert (critic.role, critic.calls) == ("critic", 3)
    assert designer == Line("designer", "openai:m", 1, 0, 5, 6, 1, 2, 0.5, 2.0)
    assert ledger.spent_usd() == 1.5


def test_one_unknown_cost_makes_the_sum_unknown_and_it_stays_so() -> None:
    line = with_usage(Line("a", "b", cost_usd=1.0), Usage(), 0.0)
    assert line.cost_usd is None
    assert with_usage(line, Usage(cost_usd=1.0), 0.0).cost_usd is None


def test_the_prompt_is_never_estimated_below_a_token_for_three_bytes() -> None:
    assert prompt_tokens(Request("critic", (Message("user", "é" * 300),))) >= 200
    assert worst_usd(Price(2.0, 10.0), 1_000_000, 100_000) == 3.0
    assert worst_usd(None, 1, 1) is None


def test_the_price_that_a_model_carries_goes_before_our_table(tmp_path: Path) -> None:
    class Stranger(Paid):
        name = "openai:gpt-5.4"
        price = None

    own = tmp_path / "prices.toml"
    own.write_text('[openai]\n"gpt-5.4" = { input = 1, output = 2 }\n')
    assert price_of(Stranger(Usage())) is None
    assert price_of(Stranger(Usage()), own) == Price(1.0, 2.0)
    assert price_of(ScriptedModel(["x"])) == FREE


def test_a_call_that_was_never_made_leaves_no_line() -> None:
    ledger = Ledger(Limits(usd=5.0))
    held = ledger.reserve(4.0, 10)
    ledger.release(held)
    ledger.release(held)  # a second time changes nothing
    assert (ledger.spent_usd(), ledger.spent_tokens(), ledger.table()) == (0.0, 0, ())


def test_a_limit_may_be_met_to_the_last_token_and_not_passed_by_one() -> None:
    ledger = Ledger(Limits(tokens=10, usd=1.0))
    ledger.reserve(1.0, 10)
    for usd, tokens in ((0.0, 1), (0.01, 0)):
        with pytest.raises(BudgetExhausted):
            ledger.reserve(usd, tokens)


def test_a_limit_of_nothing_lets_free_calls_through() -> None:
    ledger = Ledger(Limits(usd=0.0))
    assert BudgetedModel(ScriptedModel(["x"]), ledger, FREE).ask(REQUEST).text == "x"
    with pytest.raises(BudgetExhausted):
        ledger.reserve(0.001, 1)


def test_the_message_says_what_is_left_and_how_to_go_on() -> None:
    ledger = Ledger(Limits(tokens=100))
    ledger.reserve(None, 90)
    with pytest.raises(BudgetExhausted) as caught:
        ledger.reserve(None, 20)
    for part in ("90 of 100", "may take 20", "nothing is lost", "--max-tokens"):
        assert part in str(caught.value)


def test_tables_of_numbers_are_not_taken_for_prose() -> None:
    def tokens(text: str) -> int:
        return prompt_tokens(Request("critic", (Message("user", text),)))

    # A byte-level vocabulary gives digits and signs a token for each or two.
    assert tokens("-0.125 3.5e-07\n" * 100) >= 1000
    assert tokens("the hopper runs forward ") <= 16
    assert tokens("") == 8
    assert tokens("语言模型") >= 4


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_no_prompt_has_fewer_estimated_tokens_than_a_quarter_of_its_characters(text: str) -> None:
    request = Request("critic", (Message("user", text),))
    dense = "".join(text.split())
    assert prompt_tokens(request) >= len(dense) / 4
    assert prompt_tokens(request) <= len(text.encode("utf-8", "replace")) + 8


SPENDS = st.lists(
    st.tuples(
        st.integers(0, 40),  # worst case
        st.floats(0.0, 1.0),  # true share of it
        st.sampled_from(["settle", "settle", "unknown", "timeout", "auth", "release", "hold"]),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), SPENDS)
def test_no_order_of_calls_passes_a_limit(limit: int, spends: list[tuple[int, float, str]]) -> None:
    ledger = Ledger(Limits(usd=float(limit), tokens=limit))
    true_cost = 0.0
    for worst, share, end in spends:
        try:
            held = ledger.reserve(float(worst), worst)
        except BudgetExhausted:
            continue
        cost = int(worst * share)
        if end == "settle":
            usage = Usage(cost, 0, cost_usd=float(cost))
            ledger.settle(held, "designer", Reply("x", "m", usage=usage))
            true_cost += cost
        elif end == "unknown":
            ledger.settle(held, "designer", Reply("x", "m"))
            true_cost += cost
        elif end in ("timeout", "auth"):
            ledger.fail(held, "designer", "m", "timeout" if end == "timeout" else "auth")
            true_cost += cost if end == "timeout" else 0.0
        elif end == "release":
            ledger.release(held)
        else:
            true_cost += cost
        assert ledger.spent_tokens() <= limit
        known = ledger.spent_usd()
        assert known is None or true_cost <= known <= limit
    assert true_cost <= limit


@pytest.mark.parametrize("seed", range(3))
def test_threads_that_reserve_and_settle_never_pass_a_limit_and_lose_no_call(seed: int) -> None:
    ledger = Ledger(Limits(usd=500.0, tokens=500))
    budgeted = BudgetedModel(Varying(seed), ledger, DOLLAR)
    seen: list[int] = []
    refused: list[int] = []

    def work(number: int) -> None:
        for sample in range(12):
            asked = Request("designer", (Message("user", "abc"),), sample, max_tokens=10)
            try:
                budgeted.ask(asked)
            except ModelError:
                pass
            except BudgetExhausted:
                refused.append(number)
            seen.append(ledger.spent_tokens())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(seen) <= 500
    (line,) = ledger.table()
    assert line.calls + len(refused) == 96
    assert line.cost_usd is not None
    assert line.cost_usd == line.prompt_tokens + line.completion_tokens


class Varying:
    """A model whose replies cost a random part of the worst case, and which fails at times."""

    name = "openai:m"

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def ask(self, request: Request) -> Reply:
        time.sleep(0.0005)
        if self.random.random() < 0.2:
            raise ModelError(self.random.choice(["timeout", "auth", "rate_limit"]), "no")
        tokens = self.random.randint(0, request.max_tokens or 0)
        return Reply("x", self.name, usage=Usage(1, tokens, cost_usd=float(1 + tokens)))


def test_steps_given_back_never_become_a_credit() -> None:
    ledger = Ledger(Limits(steps=10))
    ledger.return_steps(50)
    assert ledger.steps == 0
    with pytest.raises(BudgetExhausted):
        ledger.reserve_steps(11)


def test_a_step_limit_holds_against_threads() -> None:
    ledger = Ledger(Limits(steps=1000))

    def take() -> None:
        for _ in range(100):
            try:
                ledger.reserve_steps(7)
            except BudgetExhausted:
                return

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.steps == 994


def test_without_limits_nothing_is_ever_refused() -> None:
    ledger = Ledger(now=lambda: 1e12)
    ledger.reserve(1e9, 10**9)
    ledger.reserve_steps(10**12)
    ledger.check_time()
    assert (ledger.spent_usd(), ledger.spent_tokens()) == (1e9, 10**9)


def test_wall_time_and_names_of_a_model_reach_the_table() -> None:
    ledger = Ledger()
    budgeted = BudgetedModel(Paid(Usage(1, 2, cost_usd=3.0)), ledger, DOLLAR)
    for _ in range(3):
        budgeted.ask(REQUEST)
    (line,) = ledger.table()
    assert (budgeted.name, line.model, line.calls, line.wall_s) == ("openai:m", "openai:m", 3, 6.0)
