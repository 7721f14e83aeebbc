"""One job as a child process: started, watched, limited in time, ended with all it started."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardsmith.errors import ConfigError, RewardsmithError, SandboxUnavailable, TrainingError
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.lifetime import job_environment

_POLL_S = 0.02
_PROGRESS_EVERY_S = 0.5
_GRACE_S = 3.0
_TAIL_BYTES = 2_000
# A repeat cannot mend these.
_LASTING: dict[str, type[RewardsmithError]] = {
    "ConfigError": ConfigError,
    "SandboxUnavailable": SandboxUnavailable,
}


@dataclass(frozen=True)
class Rules:
    """What holds for every job of an executor."""

    wall_s: float | None = None
    attempts: int = 2
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "rewardsmith.runs.training.job")
    stack: tuple[str, ...] = (sys.executable, "-P", "-m", "rewardsmith.runs.training.stack")


class Cancelled(Exception):
    """The executor is being left; this job was ended before it was done."""


def run_unit(
    unit: Unit,
    folder: Path,
    rules: Rules,
    *,
    core: int | None = None,
    cancel: threading.Event,
    watch: Callable[[dict[str, Any]], None],
) -> TrainingReport:
    """Returns the unit's report, from the folder if it is there, else from a child process.

    Raises:
        Cancelled: ``cancel`` was set.
        RewardsmithError: the job ended without a report, as often as it may be tried.
    """
    known = files.finished(folder, unit)
    if known is not None:
        return known
    files.write_unit(folder, unit)
    for attempt in range(1, rules.attempts + 1):
        code = _attempt(folder, rules, core, cancel, watch)
        report = files.finished(folder, unit)
        if report is not None:
            return report
        error = _why(unit, folder, code)
        if attempt == rules.attempts or not isinstance(error, TrainingError) or code is None:
            raise error
    raise AssertionError("unreachable: attempts is at least 1")


def _attempt(
    folder: Path,
    rules: Rules,
    core: int | None,
    cancel: threading.Event,
    watch: Callable[[dict[str, Any]], None],
) -> int | None:
    """Returns the exit code of one process, None if it was stopped at the wall limit."""
    look = Progress(folder, watch)
    return run_process((folder,), rules.command, rules.wall_s, core=core, cancel=cancel, look=look)


def run_process(
    folders: Sequence[Path],
    command: Sequence[str],
    wall_s: float | None,
    *,
    core: int | None,
    cancel: threading.Event,
    look: Callable[[], None],
) -> int | None:
    """Runs ``command`` on the folders; what it says goes to the first one's log.

    Args:
        folders: of the units, which lie written in them.
        command: what to run; the folders are its last arguments.
        wall_s: the longest that it may take, None for no limit.
        core: the core to keep it on, None for any.
        cancel: ends it when set.
        look: called twice a second while it runs.

    Returns:
        The exit code, None if it was stopped at the wall limit.

    Raises:
        Cancelled: ``cancel`` was set.
    """
    for stale in (folder / name for folder in folders for name in (files.ERROR, files.PROGRESS)):
        stale.unlink(missing_ok=True)  # of an attempt before this one
    with (folders[0] / files.LOG).open("ab") as log:
        process = subprocess.Popen(
            [*command, *(str(folder.resolve()) for folder in folders)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=job_environment(os.environ),
            start_new_session=True,
        )
    try:
        _pin(process.pid, core)
        return _wait(process, wall_s, cancel, look)
    finally:
        end_group(process)


class Progress:
    """Tells ``watch`` of a folder's ``progress.json`` whenever it has changed."""

    def __init__(self, folder: Path, watch: Callable[[dict[str, Any]], None]) -> None:
        self._path, self._watch = folder / files.PROGRESS, watch
        self._last: dict[str, Any] | None = None

    def __call__(self) -> None:
        """Looks once."""
        state = files.read_json(self._path)
        if state is not None and state != self._last:
            self._last = state
            self._watch(state)


def _pin(pid: int, core: int | None) -> None:
    if core is not None and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(pid, {core})
        except ProcessLookupError:
            return  # it has ended already; its exit code says why


def _wait(
    process: subprocess.Popen[bytes],
    wall_s: float | None,
    cancel: threading.Event,
    look: Callable[[], None],
) -> int | None:
    start = shown = time.monotonic()
    while (code := process.poll()) is None:
        if cancel.wait(_POLL_S):
            raise Cancelled
        now = time.monotonic()
        if wall_s is not None and now - start > wall_s:
            return None
        if now - shown >= _PROGRESS_EVERY_S:
            shown = now
            look()
    return code


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a child and every process of its group: asked first, killed after a short grace."""
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    # The leader may be gone and others of its group not; the group's number is still theirs then.
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left


def _why(unit: Unit, folder: Path, code: int | None) -> RewardsmithError:
    """Returns the error of a job that ended without a report."""
    told = files.read_json(folder / files.ERROR)
    log = folder / files.LOG
    if code is None:
        return TrainingError(f"{unit.id}: stopped at the wall time limit; see {log}")
    if told is not None:
        return error_of(unit, told)
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    return TrainingError(
        f"{unit.id}: ended with {ended} and no report; {log} ends with:\n{tail(log)}"
    )


def error_of(unit: Unit, told: Mapping[str, Any]) -> RewardsmithError:
    """Returns the error that a job told of in ``error.json``."""
    kind = _LASTING.get(str(told.get("error")), TrainingError)
    return kind(f"{unit.id}: {told.get('text')}")


def unreported(unit: Unit, folder: Path) -> RewardsmithError:
    """Returns the error of a job elsewhere that ended without a report, by what it has left."""
    told = files.read_json(folder / files.ERROR)
    if told is not None:
        return error_of(unit, told)
    end = tail(folder / files.LOG)
    return TrainingError(f"{unit.id}: came back without a report; its log ends with:\n{end}")


def failed(lost: Sequence[BaseException]) -> BaseException:
    """Returns one error for all lost units, not a `TrainingError` if one is not."""
    others = [error for error in lost if not isinstance(error, TrainingError)]
    if others:
        return others[0]
    text = "\n".join(str(error) for error in lost)
    return TrainingError(f"{len(lost)} unit(s) came to no report:\n{text}")


def tail(path: Path) -> str:
    """Returns the last lines of a text file, some 2,000 characters."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"(unreadable: {error})"
    return content[-_TAIL_BYTES:].decode("utf-8", "replace").strip() or "(nothing)"
