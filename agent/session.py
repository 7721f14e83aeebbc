"""One run from its configuration to its report: what ``design`` and ``resume`` do."""

import platform
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith import __version__
from rewardsmith.agent.assembly import Crew, assemble
from rewardsmith.agent.choices import task_of
from rewardsmith.agent.config import RunConfig, make_config
from rewardsmith.agent.ending import finish
from rewardsmith.agent.estimate import estimate
from rewardsmith.errors import BudgetExhausted, ConfigError
from rewardsmith.runs.records import RunState
from rewardsmith.runs.store import RunStore

View = Callable[..., None]
MakeCrew = Callable[[RunStore, RunConfig, View, ExitStack], Crew]


@dataclass(frozen=True)
class DesignResult:
    """What a run came to, and where it lies."""

    run: Path
    state: RunState

    @property
    def program(self) -> str | None:
        """Source of the best reward, or None if none trained."""
        best = next((c for c in self.state.candidates if c.id == self.state.best), None)
        return best.program if best else None

    @property
    def report(self) -> Path:
        """The static report."""
        return RunStore(self.run).report_path

    def as_dict(self) -> dict[str, Any]:
        """Returns one machine-readable document."""
        from rewardsmith.runs.report_text import summary_json

        return summary_json(self.state) | {"path": str(self.run), "report": str(self.report)}

    def as_text(self) -> str:
        """Returns the summary for a terminal."""
        from rewardsmith.runs.report_text import summary_text

        return summary_text(self.state) + f"\n\nreport: {self.report}"


def design(config: RunConfig, *, view: View, make_crew: MakeCrew = assemble) -> DesignResult:
    """Starts a run, or goes on with the one that the same configuration started before.

    Raises:
        RewardsmithError: see ``errors.py``; what was paid for and trained is kept.
    """
    path = (config.out or Path("results") / run_name(config)).resolve()
    if (path / "run.json").exists():
        store = RunStore.open(path)
        _same_run(store, config)
    else:
        store = RunStore.create(path, _head(config), task_of(config))
    return work(store, config, view=view, make_crew=make_crew)


def resume(run: Path, *, view: View, make_crew: MakeCrew = assemble) -> DesignResult:
    """Goes on with a run; a finished one is only reported again."""
    store = RunStore.open(run.resolve())
    return work(store, config_of(store), view=view, make_crew=make_crew)


def work(
    store: RunStore, config: RunConfig, *, view: View, make_crew: MakeCrew = assemble
) -> DesignResult:
    """Does what is left of a run and writes its report, whatever it ended with."""
    with ExitStack() as stack:
        stack.enter_context(store.working())
        stack.enter_context(view.showing() if hasattr(view, "showing") else ExitStack())
        if not store.state().finished:
            view("run_started", path=store.path, task=store.task(), estimate=estimate(config, store))
            crew = make_crew(store, config, view, stack)
            try:
                crew.agent.run()
            except BudgetExhausted:
                finish(store, config, view)
                raise
        report = finish(store, config, view)
        view("finished", path=report)
    return DesignResult(store.path, store.state())


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
        f"{key} was {known[key]!r}, now {value!r}" for key, value in ours.items() if value != known[key]
    ]
    raise ConfigError(
        f"{store.path} holds another run ({'; '.join(changed)}); "
        "choose another --out, or go on with it by `rewardsmith resume`"
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
