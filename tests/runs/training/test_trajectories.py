import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardsmith.envs import toy
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.errors import StoreError
from rewardsmith.runs.training import trajectories
from rewardsmith.runs.training.trajectories import load_episodes, save_arrays, save_episodes

SPEC = toy.tasks()[0].env
Arrays = dict[str, npt.NDArray[Any]]


def made(lengths: list[int], seed: int, *, discrete: bool = False, dense: bool = False) -> Any:
    """Returns episodes of random numbers, one of each length, as the collector would build them."""
    rng = np.random.default_rng(seed)
    episodes = []
    for number, length in enumerate(lengths):
        states = {"x": rng.normal(size=length + 1), "v": rng.normal(size=(length + 1, 2, 3))}
        terminated = np.zeros(length, dtype=bool)
        terminated[-1] = bool(rng.integers(2))
        truncated = np.zeros(length, dtype=bool)
        truncated[-1] = not terminated[-1]
        action = rng.integers(4, size=length) if discrete else rng.normal(size=(length, 2))
        steps = Steps(
            num_envs=1,
            after={name: values[1:] for name, values in states.items()},
            before={name: values[:-1] for name, values in states.items()},
            action=action,
            terminated=terminated,
            truncated=truncated,
            starts=np.arange(length) == 0,
            native_reward=rng.normal(size=length),
        )
        snapshots = {t: rng.normal(size=7) for t in range(0, length, 3)} if dense else {}
        episodes.append(Episode(10**9 + number, 0.02, steps, snapshots))
    return tuple(episodes)


def assert_same(first: Episode, second: Episode) -> None:
    assert (first.seed, first.dt, first.length) == (second.seed, second.dt, second.length)
    for part in ("after", "before"):
        ours, theirs = getattr(first.steps, part), getattr(second.steps, part)
        assert set(ours) == set(theirs)
        for name, values in ours.items():
            assert np.array_equal(values, theirs[name]), (part, name)
    for name in ("action", "terminated", "truncated", "starts", "native_reward"):
        ours, theirs = getattr(first.steps, name), getattr(second.steps, name)
        assert np.array_equal(ours, theirs), name
        assert ours.dtype == theirs.dtype, name
    assert set(first.snapshots) == set(second.snapshots)
    for step, state in first.snapshots.items():
        assert np.array_equal(state, second.snapshots[step])


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    discrete=st.booleans(),
    dense=st.booleans(),
)
def test_any_episodes_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    seed: int,
    discrete: bool,
    dense: bool,
) -> None:
    path = tmp_path_factory.mktemp("t") / "trajectories.npz"
    episodes = made(lengths, seed, discrete=discrete, dense=dense)
    save_episodes(path, episodes)
    again = load_episodes(path)
    assert len(again) == len(episodes)
    for old, new in zip(episodes, again, strict=True):
        assert_same(old, new)


def test_played_episodes_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "trajectories.npz"
    for task in toy.tasks():
        episodes = rollout(task.env, random_act(task.env, 1), (3, 4), max_steps=7)
        save_episodes(path, episodes)
        for old, new in zip(episodes, load_episodes(path), strict=True):
            assert_same(old, new)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound file with three episodes."""
    path = tmp_path_factory.mktemp("sound") / "trajectories.npz"
    save_episodes(path, made([4, 1, 6], 0, dense=True))
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.0, 0.999))
def test_a_file_cut_off_anywhere_is_refused(
    stored: bytes, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.npz"
    path.write_bytes(stored[: int(share * len(stored))])
    with pytest.raises(StoreError, match="no readable trajectories"):
        load_episodes(path)


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0.0, 0.9999), mask=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_no_number(
    stored: bytes, tmp_path_factory: pytest.TempPathFactory, place: float, mask: int
) -> None:
    content = bytearray(stored)
    content[int(place * len(content))] ^= mask
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    path.write_bytes(content)
    try:
        found = load_episodes(path)
    except StoreError:
        return
    for old, new in zip(made([4, 1, 6], 0, dense=True), found, strict=True):
        assert_same(old, new)


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.npz"
    for head in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00"):
        path.write_bytes(head + content)
        with pytest.raises(StoreError):
            load_episodes(path)


def arrays_of(content: bytes) -> Arrays:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def rows_of(arrays: Arrays) -> int:
    return len(arrays["episode"])


HOSTILE: dict[str, Callable[[Arrays], Arrays]] = {
    "no seeds": lambda a: {k: v for k, v in a.items() if k != "seed"},
    "no owner": lambda a: {k: v for k, v in a.items() if k != "episode"},
    "no action": lambda a: {k: v for k, v in a.items() if k != "action"},
    "no dt": lambda a: {k: v for k, v in a.items() if k != "dt"},
    "no reset state": lambda a: {k: v for k, v in a.items() if k != "first/x"},
    "reset state alone": lambda a: {k: v for k, v in a.items() if k != "after/x"},
    "an extra array": lambda a: a | {"extra": np.zeros(3)},
    "an extra path": lambda a: a | {"../up": np.zeros(3)},
    "half of the snapshots": lambda a: {k: v for k, v in a.items() if k != "snapshot/step"},
    "one seed for all": lambda a: a | {"seed": np.array(7)},
    "too many seeds": lambda a: a | {"seed": np.arange(4)},
    "too few seeds": lambda a: a | {"seed": np.arange(2)},
    "seeds of text": lambda a: a | {"seed": np.array(["a", "b", "c"])},
    "seeds with a fraction": lambda a: a | {"seed": np.array([0.5, 1.0, 2.0])},
    "an owner beyond": lambda a: a | {"episode": np.full(rows_of(a), 3)},
    "an owner below": lambda a: a | {"episode": np.full(rows_of(a), -1)},
    "owners of truth": lambda a: a | {"episode": np.zeros(rows_of(a), dtype=bool)},
    "a short column": lambda a: a | {"after/x": a["after/x"][:-1]},
    "a long column": lambda a: a | {"native_reward": np.zeros(rows_of(a) + 1)},
    "a scalar column": lambda a: a | {"after/x": np.array(1.0)},
    "a column of another shape": lambda a: a | {"after/v": a["after/v"][:, :1]},
    "complex numbers": lambda a: a | {"after/x": a["after/x"].astype(complex)},
    "truth as numbers": lambda a: a | {"terminated": np.zeros(rows_of(a))},
    "a list of dt": lambda a: a | {"dt": np.array([0.1, 0.2])},
    "a text of dt": lambda a: a | {"dt": np.array("0.1")},
    "snapshots without state": lambda a: a | {"snapshot/state": np.zeros((1, 7))},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_arrays_that_no_run_has_written_are_refused(
    case: str, stored: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.npz"
    save_arrays(path, HOSTILE[case](arrays_of(stored)))
    with pytest.raises(StoreError, match="no readable trajectories"):
        load_episodes(path)


def test_pickled_objects_are_never_loaded(stored: bytes, tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> Any:
            return (exit, (66,))

    path = tmp_path / "pickle.npz"
    objects: Any = np.array([Boom(), Boom(), Boom()], dtype=object)
    np.savez(path, **(arrays_of(stored) | {"seed": objects}))
    with pytest.raises(StoreError, match="allow_pickle"):
        load_episodes(path)


def test_an_archive_that_unpacks_to_more_than_memory_is_not_unpacked(
    stored: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.npz"
    bomb = arrays_of(stored) | {"after/x": np.zeros(2_000_000)}
    np.savez_compressed(path, **bomb)  # type: ignore[arg-type]
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(trajectories, "MOST_BYTES", 1_000_000)
    with pytest.raises(StoreError, match=r"16,\d+,\d+ bytes unpacked, at most 1,000,000"):
        load_episodes(path)


def test_a_header_that_promises_more_than_there_is_is_refused(
    stored: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "lying.npz"
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    )
    with zipfile.ZipFile(io.BytesIO(stored)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, member.getvalue() if name == "after/x.npy" else old.read(name))
    with pytest.raises(StoreError):
        load_episodes(path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no readable trajectories"):
        load_episodes(tmp_path)


def test_writing_replaces_the_old_file_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "trajectories.npz"
    save_episodes(path, made([3], 1))
    save_episodes(path, made([2, 5], 2))
    assert [e.length for e in load_episodes(path)] == [2, 5]
    assert [p.name for p in tmp_path.iterdir()] == ["trajectories.npz"]
