"""Many runs from one file: tasks x models x strategies x seeds, and one table at the end.

A sweep is a folder of run folders. Running it again finishes what is unfinished.
"""

import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewardsmith.agent.config import RunConfig, StrategyName, make_config, read_config
from rewardsmith.agent.session import DesignResult, design
from rewardsmith.errors import (
    ConfigError,
    Interrupted,
    ModelError,
    RewardsmithError,
    SandboxUnavailable,
    StoreError,
)
from rewardsmith.runs.records import Arm, RunState
from rewardsmith.runs.stats import interval
from rewardsmith.runs.store import write_durably

View = Callable[..., None]
RunCell = Callable[..., DesignResult]


class SweepFile(BaseModel):
    """What a sweep's YAML file may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str | dict[str, Any], ...] = Field(min_length=1)
    models: tuple[str, ...] = ()
    strategies: tuple[StrategyName, ...] = ()
    seeds: tuple[int, ...] = (0,)
    base: dict[str, Any] = {}
    out: Path | None = None


@dataclass(frozen=True)
class Row:
    """One cell of the matrix: where it ran and what it came to on held-out seeds."""

    cell: str
    env: str
    llm: str
    strategy: str
    seed: int
    best: float | None
    human: float | None
    random: float | None
    trained: int
    proposed: int
    error: str | None = None


@dataclass(frozen=True)
class Board:
    """The table of a sweep, best first within each environment; failures last."""

    path: Path
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the table and, per environment and model, mean and interval over seeds."""
        rows = [dict(vars(row)) for row in self.rows]
        return {"path": str(self.path), "rows": rows, "groups": self.groups()}

    @property
    def failed(self) -> bool:
        """Whether any cell came to no result."""
        return any(row.error for row in self.rows)

    def groups(self) -> list[dict[str, Any]]:
        """Returns mean held-out fitness with its 95 % interval per environment, model, strategy."""
        found = []
        for key, members in itertools.groupby(sorted(self.rows, key=_group), key=_group):
            values = [row.best for row in members if row.best is not None]
            spread = interval(values) if values else None
            found.append(
                {
                    "env": key[0],
                    "llm": key[1],
                    "strategy": key[2],
                    "runs": len(values),
                    "mean": spread.mean if spread else None,
                    "interval": [spread.low, spread.high] if spread and len(values) > 1 else None,
                }
            )
        return found

    def as_text(self) -> str:
        """Returns the table for a terminal or a Markdown file."""
        head = (
            "| environment | model | strategy | seed | best | human | random | trained | remark |"
        )
        lines = [head, "|---|---|---|---|---|---|---|---|---|"]
        lines += [
            f"| {r.env} | {r.llm} | {r.strategy} | {r.seed} | {_number(r.best)} "
            f"| {_number(r.human)} | {_number(r.random)} "
            f"| {r.trained}/{r.proposed} | {r.error or ''} |"
            for r in self.rows
        ]
        return "\n".join(lines)


def sweep(file: Path, flags: Mapping[str, Any], *, view: View, run_cell: RunCell = design) -> Board:
    """Runs every cell that is not finished and returns the table, also stored beside the runs.

    A cell that fails for a reason of its own (its model, its budget) is a row with that reason.

    Raises:
        ConfigError: the file or a cell of it is wrong; nothing was run.
        Interrupted: Ctrl-C; finished cells are kept.
        StoreError, SandboxUnavailable: the disk is full, or nothing confines reward code here.
    """
    plan = _plan(file)
    out = Path(flags.get("out") or plan.out or Path("results") / file.stem).resolve()
    cells = _cells(plan, dict(flags), out)
    rows = []
    for number, (name, config) in enumerate(cells, 1):
        view("cell_started", cell=name, number=number, of=len(cells))
        rows.append(_row(name, config, view, run_cell))
        _store(out, Board(out, _ordered(rows)))
    return Board(out, _ordered(rows))


def _row(name: str, config: RunConfig, view: View, run_cell: RunCell) -> Row:
    try:
        state, error = run_cell(config, view=view).state, None
    except Interrupted as stopped:
        raise Interrupted("stopped; finished cells are kept, the same command goes on") from stopped
    except (ConfigError, SandboxUnavailable, StoreError):
        raise  # they would meet every other cell, too
    except RewardsmithError as failure:
        state, error = None, _reason(failure)
    return Row(
        cell=name,
        env=config.env,
        llm=config.llm or "default",
        strategy=config.strategy,
        seed=config.seed,
        best=_arm(state, "best"),
        human=_arm(state, "human"),
        random=_arm(state, "random"),
        trained=sum(bool(item.reports) for item in state.candidates) if state else 0,
        proposed=len(state.candidates) if state else 0,
        error=error,
    )


def _reason(failure: RewardsmithError) -> str:
    kind = f" ({failure.kind})" if isinstance(failure, ModelError) else ""
    return f"{type(failure).__name__}{kind}"


def _arm(state: RunState | None, name: str) -> float | None:
    arms: tuple[Arm, ...] = state.arms if state else ()
    for arm in arms:
        values = [r.fitness for r in arm.reports if r.fitness is not None]
        if arm.name == name and values and len(values) == len(arm.reports):
            return sum(values) / len(values)
    return None


def _plan(file: Path) -> SweepFile:
    try:
        return SweepFile.model_validate(read_config(file))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        known = ", ".join(SweepFile.model_fields)
        raise ConfigError(f"{file}: {'; '.join(lines)} (known keys: {known})") from error


def _cells(plan: SweepFile, flags: dict[str, Any], out: Path) -> list[tuple[str, RunConfig]]:
    flags = {key: value for key, value in flags.items() if key != "out"}
    matrix = itertools.product(
        plan.tasks, plan.models or (None,), plan.strategies or (None,), plan.seeds
    )
    cells: dict[str, RunConfig] = {}
    for task, model, strategy, seed in matrix:
        values = plan.base | ({"env": task} if isinstance(task, str) else task) | flags
        values |= {"llm": model} if model else {}
        values |= {"strategy": strategy} if strategy else {}
        config = make_config(values | {"seed": seed}, source="sweep")
        name = _name(config)
        if name in cells:
            raise ConfigError(f"two cells of the sweep are the same run ({name})")
        cells[name] = config.model_copy(update={"out": out / name})
    return list(cells.items())


def _name(config: RunConfig) -> str:
    parts = (config.env, config.llm or "default", config.strategy, f"s{config.seed}")
    plain = "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)
    return f"{plain}-{config.identity}"


def _store(out: Path, board: Board) -> None:
    content = json.dumps(board.as_dict(), indent=2, allow_nan=False)
    write_durably(out / "leaderboard.json", content.encode() + b"\n")
    write_durably(out / "leaderboard.md", board.as_text().encode() + b"\n")


def _ordered(rows: list[Row]) -> tuple[Row, ...]:
    def rank(row: Row) -> tuple[str, bool, float, str]:
        return row.env, row.best is None, -(row.best or 0.0), row.cell

    return tuple(sorted(rows, key=rank))


def _group(row: Row) -> tuple[str, str, str]:
    return row.env, row.llm, row.strategy


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
