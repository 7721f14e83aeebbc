"""Whole episodes as one ``.npz`` of plain arrays, written and read without pickle.

Names in the file: ``after/<field>`` (rows, *shape) of all episodes one after the other,
``first/<field>`` (episodes, *shape) their reset states, ``action``, ``terminated``, ``truncated``,
``native_reward`` (rows, ...), ``episode`` (rows,) the index of each row's episode, ``seed``
(episodes,), ``dt`` (), and where the simulator can be restored ``snapshot/state`` (n, size),
``snapshot/episode`` (n,), ``snapshot/step`` (n,).
"""

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.errors import StoreError

Arrays = Mapping[str, npt.NDArray[Any]]
_PLAIN = ("action", "terminated", "truncated", "native_reward")


def save_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    """Writes the episodes (at least one) in place of ``path``, whole or not at all."""
    save_arrays(path, _arrays(episodes))


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Writes named arrays, compressed, in place of ``path``, whole or not at all."""
    part = path.with_name(path.name + ".tmp")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load_episodes(path: Path) -> tuple[Episode, ...]:
    """Returns the stored episodes, bit for bit.

    Raises:
        StoreError: the file is missing, damaged, or not such a file.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return tuple(_episode(arrays, i) for i in range(len(arrays["seed"])))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path}: no readable trajectories: {error}") from error


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
