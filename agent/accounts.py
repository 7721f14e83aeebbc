"""What a run may spend and what it has spent, folded from its journal."""

from rewardsmith.agent.budget import Ledger, Limits, Line, with_usage
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.llm import Usage
from rewardsmith.runs.store import RunStore


def limits_of(config: RunConfig) -> Limits:
    """Returns the hard limits of a run."""
    return Limits(
        usd=config.max_usd,
        tokens=config.max_tokens,
        steps=config.max_steps,
        time_s=config.max_time_s,
    )


def ledger_of(store: RunStore, config: RunConfig) -> Ledger:
    """Returns the ledger of a run, holding what its earlier starts spent."""
    spent = store.state().spent
    return Ledger(
        limits_of(config), elapsed_s=spent.wall_s, steps=spent.env_steps, lines=ledger_lines(store)
    )


def ledger_lines(store: RunStore) -> tuple[Line, ...]:
    """Returns what each role spent on each model, from the journal."""
    lines: dict[tuple[str, str], Line] = {}
    for event in store.journal.read():
        if event.kind == "asked" and event.data["usage"] is not None:
            key = (event.data["role"], event.data["model"])
            usage, wall_s = Usage(**event.data["usage"]), event.data["wall_s"]
            lines[key] = with_usage(lines.get(key, Line(*key)), usage, wall_s)
    return tuple(lines.values())


def model_names(store: RunStore) -> tuple[str, ...]:
    """Returns the names of the models that a run asked."""
    return tuple(
        sorted({event.data["model"] for event in store.journal.read() if event.kind == "asked"})
    )
