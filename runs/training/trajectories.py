"""Whole episodes as one ``.npz`` of plain arrays, written and read without pickle.

Names in the file: ``after/<field>`` (rows, *shape) of all episodes one after the other,
``first/<field>`` (episodes, *shape) their reset states, ``action``, ``terminated``, ``truncated``,
``native_reward`` (rows, ...), ``episode`` (rows,) the index of each row's episode, ``seed``
(episodes,), ``dt`` (), and where the simulator can be restored ``snapshot/state`` (n, size),
``snapshot/episode`` (n,), ``snapshot/step`` (n,).
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.errors import StoreError
from rewardsmith.runs.whole import whole_file

Arrays = Mapping[str, npt.NDArray[Any]]
_PLAIN = ("action", "terminated", "truncated", "native_reward")
_SNAPSHOT = ("snapshot/episode", "snapshot/step", "snapshot/state")
_KINDS = {"terminated": "b", "truncated": "b", "native_reward": "f", "action": "if", "dt": "f",
          "episode": "i", "seed": "i", "snapshot/episode": "i", "snapshot/step": "i"}  # fmt: skip
MOST_BYTES = 1 << 30  # unpacked; a packed file of a megabyte can hold a gigabyte of zeros


def save_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    """Writes the episodes (at least one) in place of ``path``, whole or not at all."""
    save_arrays(path, _arrays(episodes))


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Writes named arrays in place of ``path``, whole or not at all.

    As they are: states of a simulator pack to three quarters, and that takes thirty times as long.
    """
    with whole_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_episodes(path: Path) -> tuple[Episode, ...]:
    """Returns the stored episodes, bit for bit.

    Raises:
        StoreError: the file is missing, damaged, or not such a file.
    """
    try:
        arrays = _unpacked(path)
        _check(arrays)
        return tuple(_episode(arrays, i) for i in range(len(arrays["seed"])))
    except _DAMAGE as error:
        raise StoreError(f"{path}: no readable trajectories: {error}") from error


# What zipfile, zlib and NumPy's reader raise on bytes that are no such file.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, MemoryError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip


def _unpacked(path: Path) -> Arrays:
    with path.open("rb") as raw:
        with zipfile.ZipFile(raw) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"{size:,} bytes unpacked, at most {MOST_BYTES:,} are wanted")
        raw.seek(0)
        with np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


def _check(arrays: Arrays) -> None:
    """Raises ValueError where names, kinds or lengths are not those of `save_episodes`."""
    for name in ("episode", "seed", "dt", *_PLAIN):
        if name not in arrays:
            raise ValueError(f"the array {name!r} is missing")
    fields = {name.removeprefix("after/") for name in arrays if name.startswith("after/")}
    snapshots = _SNAPSHOT if "snapshot/state" in arrays else ()
    known = {"episode", "seed", "dt", *_PLAIN, *snapshots}
    known |= {f"{part}/{name}" for part in ("after", "first") for name in fields}
    if set(arrays) != known:
        odd = ", ".join(sorted(set(arrays) ^ known))
        raise ValueError(f"unknown or missing arrays: {odd}")
    for name, array in arrays.items():
        kinds, length = _KINDS.get(name, "f"), _length(name, arrays)
        if array.dtype.kind not in kinds or (length is not None and array.shape[:1] != (length,)):
            raise ValueError(f"{name} is {array.dtype}{list(array.shape)}, of another form")
    _check_episodes(arrays)


def _length(name: str, arrays: Arrays) -> int | None:
    if name == "dt":
        return None
    whole = {"seed": "seed", "snapshot": "snapshot/step", "first": "seed"}
    return int(arrays[whole.get(name.split("/")[0], "episode")].size)


def _check_episodes(arrays: Arrays) -> None:
    count, owner = len(arrays["seed"]), arrays["episode"]
    if arrays["dt"].shape != () or not np.array_equal(np.unique(owner), np.arange(count)):
        raise ValueError(f"{count} seeds, and rows of the episodes {np.unique(owner).tolist()[:9]}")
    for name, values in arrays.items():
        if name.startswith("after/"):
            first = arrays[f"first/{name.removeprefix('after/')}"]
            if first.shape[1:] != values.shape[1:]:
                raise ValueError(f"{name} and its reset states differ in shape")


def _arrays(episodes: Sequence[Episode]) -> dict[str, npt.NDArray[Any]]:
    steps = concat(episodes)
    arrays: dict[str, npt.NDArray[Any]] = {name: getattr(steps, name) for name in _PLAIN}
    arrays |= {f"after/{name}": values for name, values in steps.after.items()}
    # The state before a step is the one after the step before it: only the first is stored.
    arrays |= {f"first/{name}": values[steps.starts] for name, values in steps.before.items()}
    arrays["episode"] = np.repeat(np.arange(len(episodes)), [e.length for e in episodes])
    arrays["seed"] = np.array([e.seed for e in episodes], dtype=np.int64)
    arrays["dt"] = np.array(episodes[0].dt)
    return arrays | _snapshots(episodes)


def _snapshots(episodes: Sequence[Episode]) -> dict[str, npt.NDArray[Any]]:
    found = [(i, t, s) for i, e in enumerate(episodes) for t, s in sorted(e.snapshots.items())]
    if not found:
        return {}
    return {
        "snapshot/episode": np.array([i for i, _, _ in found]),
        "snapshot/step": np.array([t for _, t, _ in found]),
        "snapshot/state": np.stack([s for _, _, s in found]),
    }


def _episode(arrays: Arrays, index: int) -> Episode:
    rows = np.flatnonzero(arrays["episode"] == index)
    after = {k.removeprefix("after/"): v[rows] for k, v in arrays.items() if k.startswith("after/")}
    before = {
        name: np.concatenate([arrays[f"first/{name}"][index : index + 1], values[:-1]])
        for name, values in after.items()
    }
    snapshots: dict[int, Any] = {}
    if "snapshot/episode" in arrays:
        for n in np.flatnonzero(arrays["snapshot/episode"] == index):
            snapshots[int(arrays["snapshot/step"][n])] = arrays["snapshot/state"][n]
    steps = Steps(
        num_envs=1,
        after=after,
        before=before,
        starts=np.arange(len(rows)) == 0,
        **{name: arrays[name][rows] for name in _PLAIN},
    )
    return Episode(int(arrays["seed"][index]), float(arrays["dt"]), steps, snapshots)
