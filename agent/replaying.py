"""Drives a recorded run again without a model, and compares every decision with the record."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rewardsmith.agent.assembly import assemble
from rewardsmith.agent.session import config_of
from rewardsmith.errors import StoreError
from rewardsmith.runs.executors import ProgressWatch
from rewardsmith.runs.records import Candidate, RunState, TrainingReport, Unit
from rewardsmith.runs.store import RunStore

View = Callable[..., None]
# A replay spends nothing, so no limit of the run may end it.
UNLIMITED = dict.fromkeys(("max_usd", "max_tokens", "max_steps", "max_time_s"))


class StoredReports:
    """An executor that trains nothing: it answers with the reports that a run has stored."""

    def __init__(self, state: RunState) -> None:
        groups = [(*c.reports, *c.rechecks, *c.rungs) for c in state.candidates]
        groups += [arm.reports for arm in state.arms]
        self._reports = {report.unit: report for group in groups for report in group}

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields each unit with its stored report.

        Raises:
            StoreError: the run holds no report of that unit: the decisions have parted before.
        """
        for unit, _ in units:
            if unit.id not in self._reports:
                raise StoreError(f"the recorded run never trained {unit.id}: decisions differ")
            yield unit, self._reports[unit.id]


def replay(run: Path, *, out: Path | None, retrain: bool, view: View) -> dict[str, Any]:
    """Replays a run into ``out`` (a temporary folder if None) and returns what differs.

    With ``retrain`` every unit is trained again, and the weights are compared as well; without it
    the stored reports are used. No model is called either way.

    Raises:
        ModelError: kind ``replay_miss``: a question that the record does not answer came up.
    """
    source = RunStore.open(run.resolve())
    with ExitStack() as stack:  # of the temporary folder
        if out is None:
            out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replay-")))
        target = _copy_head(source, out.resolve() / "run" if out.exists() else out.resolve())
        config = config_of(source).model_copy(update={"pause_after": False} | UNLIMITED)
        executor = None if retrain else StoredReports(source.state())
        watch = _feeding(source, target, view)
        assemble(target, config, watch, recorded=source, executor=executor).agent.run()
        found = differences(source, target, weights=retrain)
    return {"run": str(source.path), "retrained": retrain, "differences": found}


def differences(one: RunStore, other: RunStore, *, weights: bool = False) -> list[str]:
    """Returns in words where two runs decided differently; empty if nowhere."""
    before, after = decisions(one.state()), decisions(other.state())
    found = [
        f"{key}: {before.get(key)!r} became {after.get(key)!r}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    return found + (_weight_differences(one, other) if weights else [])


def decisions(state: RunState) -> dict[str, Any]:
    """Returns everything that a run decided, without times and without measured speeds."""
    facts: dict[str, Any] = {"best": state.best}
    for item in state.generations:
        facts[f"generation {item.number}"] = (item.candidates, item.best)
    for candidate in state.candidates:
        facts[candidate.id] = _decided(candidate)
    for arm in state.arms:
        facts[f"final {arm.name}"] = (arm.candidate, [_measured(r) for r in arm.reports])
    return facts


def _decided(item: Candidate) -> dict[str, Any]:
    kept = item.model_dump(mode="json", exclude={"reports", "rechecks", "rungs"})
    return kept | {
        "reports": [_measured(report) for report in item.reports],
        "rechecks": [_measured(report) for report in item.rechecks],
        "rungs": [_measured(report) for report in item.rungs],
    }


def _measured(report: TrainingReport) -> dict[str, Any]:
    kept = report.model_dump(
        mode="json",
        exclude={"wall_s", "cpu_s", "reward_wall_s", "reward_calls", "versions"},
    )
    for point in kept["curve"]:
        point.pop("steps_per_s", None)
    return kept


def _weight_differences(one: RunStore, other: RunStore) -> list[str]:
    found = []
    for path in sorted((one.path / "jobs").glob("*/policy.safetensors")):
        twin = other.job_path(path.parent.name) / path.name
        if not twin.exists() or _digest(path) != _digest(twin):
            found.append(f"weights of {path.parent.name} differ")
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _copy_head(source: RunStore, path: Path) -> RunStore:
    path.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source.head_path, path / source.head_path.name)
    return RunStore.open(path)


def _feeding(source: RunStore, target: RunStore, view: View) -> View:
    """Returns a view that gives each generation the feedback that it saw in the recorded run."""
    events = source.journal.read()
    said = {e.data["feedback"]["id"]: e.data for e in events if e.kind == "feedback"}
    seen = {
        e.data["generation"]: e.data.get("feedback", []) for e in events if e.kind == "proposed"
    }

    def watch(kind: str, **facts: Any) -> None:
        if kind == "generation_started":
            known = {item.id for item in target.state().feedback}
            for name in seen.get(facts["number"], []):
                if name not in known:
                    target.append("feedback", said[name])
        view(kind, **facts)

    return watch
