"""One run from its configuration to its report: what ``design`` and ``resume`` do."""

import platform
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith import __version__
from rewardsmith.agent.assembly import Crew, assemble, check_models
from rewardsmith.agent.choices import task_of
from rewardsmith.agent.config import NOT_IDENTITY, RunConfig, make_config
from rewardsmith.agent.ending import facts_of, finish
from rewardsmith.agent.estimate import estimate
from rewardsmith.agent.models import default_spec
from rewardsmith.agent.run_pictures import keep_pictures
from rewardsmith.agent.walls import announce
from rewardsmith.errors import (
    AwaitingFeedback,
    BudgetExhausted,
    ConfigError,
    Interrupted,
    ModelError,
    TrainingError,
)
from rewardsmith.runs.records import RunState
from rewardsmith.runs.report_facts import RunFacts
from rewardsmith.runs.store import RunStore

View = Callable[..., None]
MakeCrew = Callable[[RunStore, RunConfig, View], Crew]
# What ends a run before its end and still leaves something to report.
STOPS = (AwaitingFeedback, BudgetExhausted, ModelError, TrainingError)


@dataclass(frozen=True)
class DesignResult:
    """What a run came to, and where it lies."""

    run: Path
    state: RunState

    @property
    def program(self) -> str | None:
        """Source of the best reward; None if none trained, or if it turned out to be impure."""
        best = next((c for c in self.state.candidates if c.id == self.state.best), None)
        return best.program if best and best.failure is None else None

    @property
    def report(self) -> Path:
        """The static report."""
        return RunStore(self.run).report_path

    def as_dict(self) -> dict[str, Any]:
        """Returns one machine-readable document."""
        from rewardsmith.runs.report_text import summary_json

        facts = summary_json(self.state, self._facts())
        return facts | {"path": str(self.run), "report": str(self.report)}

    def as_text(self) -> str:
        """Returns the summary for a terminal."""
        from rewardsmith.runs.report_text import summary_text

        return summary_text(self.state, self._facts()) + f"\n\nreport: {self.report}"

    def _facts(self) -> RunFacts:
        store = RunStore(self.run)
        return facts_of(store, config_of(store), self.state)


def design(config: RunConfig, *, view: View, make_crew: MakeCrew = assemble) -> DesignResult:
    """Starts a run, or goes on with the one that the same configuration started before.

    Raises:
        RewardsmithError: see ``errors.py``; what was paid for and trained is kept.
    """
    # Which model is meant must not depend on the variables of the shell that goes on with the run.
    config = config.model_copy(update={"llm": config.llm or default_spec()})
    path = (config.out or Path("results") / run_name(config)).resolve()
    if (path / "run.json").exists():
        store = RunStore.open(path)
        _same_run(store, config)
    else:
        task = task_of(config)
        check_models(config)
        store = RunStore.create(path, _head(config), task)
    return work(store, config, view=view, make_crew=make_crew)


def resume(
    run: Path,
    *,
    view: View,
    limits: Mapping[str, Any] | None = None,
    make_crew: MakeCrew = assemble,
) -> DesignResult:
    """Goes on with a run; a finished one is only reported again.

    Args:
        run: the run's folder.
        view: is told what happens.
        limits: keys of ``RunConfig`` that are no part of what the run is (``max_usd``,
            ``workers`` ...), for this start alone.
        make_crew: a seam for tests.

    Raises:
        RewardsmithError: see ``errors.py``; what was paid for and trained is kept.
    """
    store = RunStore.open(run.resolve())
    config = make_config(config_of(store).model_dump() | dict(limits or {}), source="resume")
    return work(store, config, view=view, make_crew=make_crew)


def work(
    store: RunStore, config: RunConfig, *, view: View, make_crew: MakeCrew = assemble
) -> DesignResult:
    """Does what is left of a run and writes its report, whatever it ended with."""
    try:
        with store.working(), _showing(view):
            if not store.state().finished:
                _run(store, config, view, make_crew)
            report = finish(store, config, view)
            view("finished", path=report)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"stopped; all that was answered and trained is kept. Go on with: "
            f"rewardsmith resume {store.path}"
        ) from error
    return DesignResult(store.path, store.state())


def _run(store: RunStore, config: RunConfig, view: View, make_crew: MakeCrew) -> None:
    plan = estimate(config, store)
    view("run_started", path=store.path, task=store.task(), estimate=plan)
    announce(config.confinement, view, yes=config.yes_run_unsandboxed)
    try:
        make_crew(store, config, view).agent.run()
        keep_pictures(store, config, view)
    except STOPS as error:
        if isinstance(error, AwaitingFeedback):
            keep_pictures(store, config, view)
        finish(store, config, view, stopped=str(error))
        raise


def _showing(view: View) -> AbstractContextManager[object]:
    shown: AbstractContextManager[object] = getattr(view, "showing", nullcontext)()
    return shown


def show(run: Path) -> tuple[dict[str, Any], str]:
    """Returns what a run found so far, as a document and as text."""
    result = DesignResult(run.resolve(), RunStore.open(run.resolve()).state())
    return result.as_dict(), result.as_text()


def config_of(store: RunStore) -> RunConfig:
    """Returns the configuration that a run was started with."""
    return make_config(store.head().get("config", {}), source=str(store.head_path))


def run_name(config: RunConfig) -> str:
    """Returns the default folder of a run: the same configuration gives the same name."""
    plain = re.sub(r"[^a-z0-9]+", "-", config.env.lower()).strip("-")
    return f"{plain}-{config.identity}"


def _same_run(store: RunStore, config: RunConfig) -> None:
    theirs = config_of(store)
    if theirs.identity == config.identity:
        return
    ours, known = config.model_dump(mode="json"), theirs.model_dump(mode="json")
    changed = [
        f"{key} was {known[key]!r}, now {value!r}"
        for key, value in ours.items()
        if value != known[key] and key not in NOT_IDENTITY
    ]
    raise ConfigError(
        f"{store.path} holds another run ({'; '.join(changed)}); "
        f"choose another --out, or go on with it by `rewardsmith resume {store.path}`"
    )


def _head(config: RunConfig) -> Mapping[str, Any]:
    return {
        "rewardsmith": __version__,
        "config": config.model_dump(mode="json"),
        "command": sys.argv,
        "versions": versions(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": _cores(),
        },
    }


def versions() -> dict[str, str]:
    """Returns the versions of what results depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("numpy", "torch", "stable-baselines3", "gymnasium", "mujoco", "litellm", "openai"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
