"""What lies in a job's folder."""

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rewardsmith.errors import RewardsmithError, TrainingError
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.runs.whole import write_whole

UNIT = "unit.json"
PROGRESS = "progress.json"
CURVE = "curve.jsonl"
TENSORBOARD = "tensorboard"
LOG = "log.txt"
JUDGING = "judging.json"
EVALUATION = "evaluation.json"
TRAJECTORIES = "trajectories.npz"
ERROR = "error.json"
CHECKPOINT = "checkpoint"  # a folder
REPORT = "report.json"  # the last to appear: with it the job is done
_SMALL_BYTES = 1 << 20


def write_unit(folder: Path, unit: Unit) -> None:
    """Makes the job's folder with its ``unit.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / UNIT, unit.model_dump_json(indent=1).encode())


def read_unit(folder: Path) -> Unit:
    """Returns the unit of a job's folder.

    Raises:
        TrainingError: there is none, or it cannot be read.
    """
    try:
        return Unit.model_validate_json((folder / UNIT).read_bytes())
    except (OSError, ValidationError) as error:
        raise TrainingError(f"{folder}: no readable {UNIT}: {error}") from error


def finished(folder: Path, unit: Unit) -> TrainingReport | None:
    """Returns the report of a job that is done, None of one that is not.

    A report that cannot be read, or that stands beside a unit of other content, counts as none;
    the same content under another name counts, and the report is returned under the new name.
    """
    try:
        content = (folder / REPORT).read_bytes()
        stored = read_unit(folder)
    except (OSError, TrainingError):
        return None
    report = report_in(content, stored)
    if report is None or stored.key != unit.key:
        return None
    if unit.checkpoint and report.failure is None and not (folder / CHECKPOINT).is_dir():
        return None
    return report.model_copy(update={"unit": unit.id})


def report_in(content: bytes, unit: Unit) -> TrainingReport | None:
    """Returns the report that a job of ``unit`` has written, None for any other bytes."""
    try:
        report = TrainingReport.model_validate_json(content)
    except ValidationError:
        return None
    # A report that says neither or both is not one that a job has written.
    told = (report.failure is None) != (report.fitness is None)
    return report if told and report.unit == unit.id and report.seed == unit.seed else None


def checkpoint_of(folder: Path, unit: Unit) -> Path | None:
    """Returns the checkpoint from which ``unit``, whose folder is given, is to go on, if any.

    Raises:
        TrainingError: the unit beside it is missing, unfinished or of other content.
    """
    if unit.resume is None:
        return None
    parent = folder.resolve().parent / unit.resume.unit
    stored = read_unit(parent)
    if stored.key != unit.resume.key or finished(parent, stored) is None:
        raise TrainingError(
            f"{unit.id}: {parent} holds no finished unit of the content that it goes on from "
            f"({unit.resume.key[:12]}); train that one first"
        )
    return parent / CHECKPOINT


def clear(folder: Path) -> None:
    """Removes what a broken attempt left, so that a repeat starts from nothing but the unit."""
    for path in folder.iterdir():
        if path.name in (UNIT, LOG):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_error(folder: Path, error: RewardsmithError) -> None:
    """Leaves word of an error of ours for whoever started the process."""
    content = {"error": type(error).__name__, "text": str(error)}
    write_whole(folder / ERROR, json.dumps(content).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Returns a small JSON object, None while there is none."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_SMALL_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
