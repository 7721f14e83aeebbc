"""Has policies judged by processes that were never told a reward, as those that train are."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from rewardsmith.errors import TrainingError
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.judging import Judgement, Judging
from rewardsmith.runs.training.lifetime import job_environment
from rewardsmith.runs.whole import write_whole


def judged(unit: Unit, folder: Path) -> Judgement:
    """Returns what a fresh process says of the policy in the unit's folder; stores its episodes.

    Raises:
        TrainingError: the policy could not be judged.
    """
    _order(unit, folder)
    code = _ended([folder])
    if code != 0:
        error = files.read_json(folder / files.ERROR) or {}
        raise TrainingError(
            f"{unit.id}: judging ended with {code}: {error.get('text', 'no word of why')}"
        )
    return Judgement.model_validate_json((folder / files.EVALUATION).read_bytes())


def judged_together(jobs: Sequence[tuple[Unit, Path]]) -> dict[str, Judgement]:
    """Returns what one fresh process says of the policies of several units, by the units' ids.

    It starts once for all of them. A unit that is missing in the answer, for whatever reason, is
    for `judged` to judge alone, and to tell of what is wrong.
    """
    for unit, folder in jobs:
        _order(unit, folder)
    _ended([folder for _, folder in jobs])
    found: dict[str, Judgement] = {}
    for unit, folder in jobs:
        with contextlib.suppress(OSError, ValidationError):
            content = (folder / files.EVALUATION).read_bytes()
            found[unit.id] = Judgement.model_validate_json(content)
    return found


def _order(unit: Unit, folder: Path) -> None:
    judging = Judging(
        task=unit.task,
        eval_seeds=unit.eval_seeds,
        random_seed=unit.seed if unit.steps == 0 else None,
    )
    (folder / files.EVALUATION).unlink(missing_ok=True)  # of an attempt before this one
    write_whole(folder / files.JUDGING, judging.model_dump_json().encode())


def _ended(folders: Sequence[Path]) -> int:
    """Returns the exit code of a process that judged the folders."""
    names = [str(folder) for folder in folders]
    command = [sys.executable, "-P", "-m", "rewardsmith.runs.training.evaluate", *names]
    with _child(command) as process:
        return process.wait()


@contextlib.contextmanager
def _child(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, env=job_environment(os.environ), stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
