"""Puts a run's collaborators together from its configuration."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from rewardsmith.agent.accounts import ledger_of, limits_of, model_names
from rewardsmith.agent.asking import TimedOut, within
from rewardsmith.agent.budget import BudgetedModel, Ledger, check_price, price_of
from rewardsmith.agent.choices import critic_rounds, executor_of, model_spec, recipe_of
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.developing import Ask, Check, Workbench
from rewardsmith.agent.evidence.gather import RANDOM_ROWS
from rewardsmith.agent.llm import LanguageModel, Reply, Request, Role
from rewardsmith.agent.loop import Agent
from rewardsmith.agent.models import make_model
from rewardsmith.agent.probing import examiners_of
from rewardsmith.agent.proving import Prover
from rewardsmith.agent.recorded import RecordedModel, ReplayModel
from rewardsmith.agent.roles import settings_for
from rewardsmith.agent.shaping import completed, wish_of
from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import Task
from rewardsmith.errors import BudgetExhausted
from rewardsmith.runs.bank import RANDOM, Bank
from rewardsmith.runs.executors import Executor
from rewardsmith.runs.store import CallRecords, RunStore

View = Callable[..., None]
CHECK_ROWS = 64
BANK_ROWS = 2_000


@dataclass(frozen=True)
class Crew:
    """A run's agent and its ledger."""

    agent: Agent
    ledger: Ledger


def assemble(
    store: RunStore,
    config: RunConfig,
    view: View,
    *,
    recorded: RunStore | None = None,
    executor: Executor | None = None,
) -> Crew:
    """Returns the crew of a run.

    Args:
        store: the run.
        config: its configuration.
        view: is told what happens.
        recorded: a run whose recorded answers are given instead of asking any model.
        executor: trains the units; the configuration's if None.
    """
    task = store.task()
    ledger, bank = ledger_of(store, config), Bank(store.bank_path)
    ask = _asker(store, config, ledger, view, recorded)
    recipe = recipe_of(task, config)
    examiners = examiners_of(store, config, recipe, bank, recorded=recorded)
    bench = Workbench(
        task=task,
        ask=ask,
        check=_checker(bank, task, config),
        watch=view,
        settings=lambda role: replace(
            settings_for(model_spec(config, role), prompts_dir=config.prompts),
            shaping=config.shaping,
            subgoals=config.subgoals,
        ),
        repair_turns=config.repair_turns,
        critic_rounds=critic_rounds(config),
        inspect=examiners.inspector.alone,
    )
    pool = executor or executor_of(config)
    prover = Prover(store, bank, pool, ledger, view)
    agent = Agent(
        store=store,
        config=config,
        bench=bench,
        recipe=recipe,
        prover=prover,
        watch=view,
        inspector=examiners.inspector,
        answering=examiners.answering,
        parallel_asks=1 if model_spec(config, "designer").startswith("local") else 8,
    )
    return Crew(agent, ledger)


def check_models(config: RunConfig) -> None:
    """Returns if every model of a run can be made, its price included where money is limited.

    Raises:
        ConfigError: unknown provider, missing key or file, or a price that is not known.
    """
    for spec in sorted({model_spec(config, role) for role in get_args(Role)}):
        if spec.partition(":")[0] == "manual":
            continue  # a person needs no key, and making it makes a folder
        model = make_model(spec, prices=config.prices)
        check_price(model.name, price_of(model, config.prices), limits_of(config))


def _asker(
    store: RunStore, config: RunConfig, ledger: Ledger, view: View, recorded: RunStore | None
) -> Ask:
    """Returns the way to ask: recorded, within the budget; from ``recorded`` alone in a replay."""
    models: dict[str, LanguageModel] = {}
    records = CallRecords(recorded or store)

    def made(spec: str) -> LanguageModel:
        if recorded is not None:
            return ReplayModel(records, model_names(recorded))
        inner = make_model(
            spec,
            run_dir=store.path,
            notify=lambda text: view("waiting", text=text),
            progress=lambda done, total: view("downloading", done=done, total=total),
            prices=config.prices,
            deadline_s=config.llm_timeout_s,
        )
        price = price_of(inner, config.prices)
        return RecordedModel(BudgetedModel(inner, ledger, price), records)

    lock = threading.Lock()

    def ask(request: Request) -> Reply:
        spec = model_spec(config, request.role)
        with lock:
            model = models[spec] if spec in models else models.setdefault(spec, made(spec))
        reply = _in_time(lambda: model.ask(request), ledger)
        view("replied", role=request.role, usage=reply.usage, wall_s=reply.wall_s)
        return reply

    return ask


def _in_time(call: Callable[[], Reply], ledger: Ledger) -> Reply:
    """Returns the call's reply, or ends it with the time of the whole run.

    Raises:
        BudgetExhausted: the run's time was up first; an answer that still comes is kept.
    """
    limit_s = ledger.limits.time_s
    if limit_s is None:
        return call()
    outcome = within(max(0.0, limit_s - ledger.elapsed_s), call, lambda: None)
    if isinstance(outcome, TimedOut):
        ledger.check_time()
        raise BudgetExhausted("the run's time is up: resume with a higher --max-time to go on")
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _checker(bank: Bank, task: Task, config: RunConfig) -> Check:
    """Returns the contract check on the same steps of untrained policies however far a run is."""
    from rewardsmith.sandbox.check import CheckReport, check

    sample: list[Steps] = []
    wish = wish_of(config)
    rows = RANDOM_ROWS if config.probes else BANK_ROWS  # collected once, for both
    lock = threading.Lock()

    def checked(program: str) -> CheckReport:
        with lock:
            if not sample:
                sample.append(random_steps(bank, task, config.seed, rows=rows))
        report = check(program, task.env, sample[0], sandbox=config.confinement)
        return completed(report, task, wish, lambda: bank.episodes(policy=RANDOM))

    return checked


def random_steps(bank: Bank, task: Task, seed: int, *, rows: int = BANK_ROWS) -> Steps:
    """Returns some steps of untrained policies, collecting them first if the bank has none."""
    bank.ensure_random(task, rows=rows, seed=seed)
    steps = concat(bank.episodes(policy=RANDOM))
    drawn = np.random.default_rng(seed).choice(steps.rows, size=CHECK_ROWS, replace=False)
    return steps.take(np.sort(drawn))
