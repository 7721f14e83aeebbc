"""Units on their way to another machine and their results on their way back, as strings of bytes.

What comes back was made next to a program that nobody trusts. So it is not unpacked by any library:
a list of names and sizes, then the contents; only known names of sensible sizes are taken, and what
they hold is read as the records that it has to be before a report says that the unit is done.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rewardsmith.errors import ConfigError, RewardsmithError, TrainingError
from rewardsmith.runs.executors.child import unreported
from rewardsmith.runs.records import CurvePoint, TrainingReport, Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.policy import SPEC_FILE, WEIGHTS_FILE, load_policy
from rewardsmith.runs.training.trajectories import load_episodes
from rewardsmith.runs.whole import write_whole

_MIB = 1 << 20
_HEAD_BYTES = 64 * 1024
_LENGTH_BYTES = 8
_PARCEL = 8192 * _MIB
_CHECKPOINT = r"checkpoint/[a-z][a-z0-9_]{0,40}\.(json|npz|safetensors)"
# What a job may leave, and how much of it.
RESULTS: Mapping[str, int] = {
    re.escape(files.REPORT): 16 * _MIB,
    re.escape(files.ERROR): _MIB,
    re.escape(files.LOG): _MIB,
    re.escape(files.CURVE): 16 * _MIB,
    re.escape(files.JUDGING): 16 * _MIB,
    re.escape(files.EVALUATION): 16 * _MIB,
    re.escape(files.TRAJECTORIES): 256 * _MIB,
    re.escape(SPEC_FILE): 16 * _MIB,
    re.escape(WEIGHTS_FILE): 256 * _MIB,
    _CHECKPOINT: 4096 * _MIB,
}
# What a unit takes along: itself, a fitness of the user's own, and the unit that it goes on from.
FITNESS = "fitness.py"
ORDERS: Mapping[str, int] = {
    re.escape(files.UNIT): 16 * _MIB,
    re.escape(FITNESS): 16 * _MIB,
    **{f"parent/{name}": size for name, size in RESULTS.items() if "log" not in name},
    f"parent/{re.escape(files.UNIT)}": 16 * _MIB,
}


def pack(contents: Mapping[str, bytes]) -> bytes:
    """Returns the files as one string of bytes."""
    listed = [[name, len(content)] for name, content in contents.items()]
    head = json.dumps(listed).encode()
    return b"".join([len(head).to_bytes(_LENGTH_BYTES, "big"), head, *contents.values()])


def unpack(parcel: object, allowed: Mapping[str, int]) -> dict[str, bytes]:
    """Returns the files of a parcel by name.

    Args:
        parcel: what came, from wherever.
        allowed: patterns of whole names, each with the most bytes that such a file may have.

    Raises:
        ValueError: it is no parcel, or holds something that is not allowed.
    """
    if not isinstance(parcel, bytes):
        raise ValueError(f"bytes were expected, {type(parcel).__name__} came")
    start = _LENGTH_BYTES + int.from_bytes(parcel[:_LENGTH_BYTES], "big")
    if len(parcel) < _LENGTH_BYTES or start > min(len(parcel), _LENGTH_BYTES + _HEAD_BYTES):
        raise ValueError("no list of files")
    try:
        listed = json.loads(parcel[_LENGTH_BYTES:start])
        rows = [(name, size) for name, size in listed]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"no list of files: {error}") from error
    found: dict[str, bytes] = {}
    for name, size in rows:
        if type(name) is not str or type(size) is not int or name in found:
            raise ValueError(f"{str(name)[:60]!r}: a new name and a size were expected")
        if not 0 <= size <= _most(name, allowed):
            raise ValueError(f"{name[:60]!r} with {size:,} bytes is not expected here")
        found[name] = parcel[start : start + size]
        start += size
    if start != len(parcel):
        raise ValueError(f"{start:,} bytes were announced, {len(parcel):,} came")
    return found


def bundle(parcels: Sequence[bytes]) -> bytes:
    """Returns several parcels as one string of bytes."""
    return pack({str(i): parcel for i, parcel in enumerate(parcels)})


def unbundle(content: object) -> list[bytes]:
    """Returns the parcels of a bundle, in their order.

    Raises:
        ValueError: it is no bundle.
    """
    found = unpack(content, {r"\d{1,4}": _PARCEL})
    if list(found) != [str(i) for i in range(len(found))]:
        raise ValueError("parcels are missing, or not in their order")
    return list(found.values())


def _most(name: str, allowed: Mapping[str, int]) -> int:
    return max((size for rule, size in allowed.items() if re.fullmatch(rule, name)), default=-1)


def order_parcel(unit: Unit, folder: Path) -> bytes:
    """Returns all that a machine which shares no folder with this one needs for the unit.

    Raises:
        ConfigError: the fitness is a file that cannot be read.
        TrainingError: the unit that it goes on from is not there.
    """
    contents = {files.UNIT: unit.model_dump_json().encode()}
    path = _fitness_file(unit)
    if path is not None:
        try:
            contents[FITNESS] = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error})") from error
    checkpoint = files.checkpoint_of(folder, unit)
    if checkpoint is not None:
        parent = checkpoint.parent
        for name in (files.UNIT, files.REPORT):
            contents[f"parent/{name}"] = (parent / name).read_bytes()
        for item in sorted(checkpoint.iterdir()):
            contents[f"parent/checkpoint/{item.name}"] = item.read_bytes()
    return pack(contents)


def lay_out(parcel: bytes, place: Path) -> tuple[Unit, Path]:
    """Makes the unit's folder in ``place``, and beside it that of the unit that it goes on from.

    Raises:
        ValueError: the parcel is not one of `order_parcel`.
    """
    contents = unpack(parcel, ORDERS)
    unit = Unit.model_validate_json(contents.pop(files.UNIT, b""))
    folder, parent = place / "unit", place / "parent"
    place.mkdir(exist_ok=True)
    if FITNESS in contents:
        place.joinpath(FITNESS).write_bytes(contents.pop(FITNESS))
        unit = _with_fitness(unit, place / FITNESS)
    if unit.resume is not None:
        unit = unit.model_copy(update={"resume": unit.resume.model_copy(update={"unit": "parent"})})
    for name, content in contents.items():
        path = parent / name.removeprefix("parent/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    files.write_unit(folder, unit)
    return unit, folder


def _fitness_file(unit: Unit) -> Path | None:
    name = unit.task.fitness.partition(":")[0]
    return Path(name) if name.endswith(".py") else None


def _with_fitness(unit: Unit, path: Path) -> Unit:
    _, colon, function = unit.task.fitness.partition(":")
    task = replace(unit.task, fitness=f"{path}{colon}{function}")
    return unit.model_copy(update={"task": task})


def result_parcel(folder: Path) -> bytes:
    """Returns what a job has left in its folder; of its log, the end."""
    contents = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and _most(name, RESULTS) >= 0:
            most = _most(name, RESULTS)
            contents[name] = path.read_bytes()[-most:]
    return pack(contents)


def take_in(unit: Unit, folder: Path, parcel: object) -> TrainingReport:
    """Puts the results into the unit's folder, once they are sure to be what they have to be.

    Raises:
        TrainingError: the job has left no report, or something that no job leaves.
        ConfigError, SandboxUnavailable: the job has said so, and a repeat cannot mend it.
    """
    try:
        contents = unpack(parcel, RESULTS)
    except ValueError as error:
        raise TrainingError(f"{unit.id}: what came back is no result: {error}") from error
    files.clear(folder)
    content = contents.pop(files.REPORT, None)
    _write(folder, contents)
    if content is None:
        raise unreported(unit, folder)
    report = files.report_in(content, unit)
    try:
        if report is None:
            raise ValueError("no report of this unit")
        _check(unit, folder, report, contents)
    except (ValueError, RewardsmithError) as error:
        files.clear(folder)
        raise TrainingError(f"{unit.id}: what came back is no result: {error}") from error
    write_whole(folder / files.REPORT, content)
    return report


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def _check(unit: Unit, folder: Path, report: TrainingReport, names: Iterable[str]) -> None:
    """Raises ValueError or an error of ours where a file is not what its name says."""
    if files.CURVE in names:
        for line in (folder / files.CURVE).read_bytes().splitlines():
            CurvePoint.model_validate_json(line)
    if report.failure is not None:
        return
    load_episodes(folder / files.TRAJECTORIES)
    if unit.steps > 0:
        load_policy(folder)
    if unit.checkpoint and not (folder / files.CHECKPOINT).is_dir():
        raise ValueError("the checkpoint is missing")
