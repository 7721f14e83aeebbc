import threading
from pathlib import Path

import pytest

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
