import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, SandboxUnavailable, TrainingError
from rewardsmith.runs.executors.shipping import (
    RESULTS,
    bundle,
    lay_out,
    order_parcel,
    pack,
    result_parcel,
    take_in,
    unbundle,
    unpack,
)
from rewardsmith.runs.records import Unit
from rewardsmith.runs.training import files
from rewardsmith.runs.training.job import run_job

TASK = toy.tasks()[0]
ANY: Mapping[str, int] = {r"[a-z/]{1,9}": 1000}


def unit(name: str = "u", **changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": name, "task": TASK, "program": None, "trainer": "toy",
        "hyperparams": {"population": 3, "episodes": 1}, "seed": 1, "steps": 100,
        "eval_seeds": (10**9,), "eval_points": 1,
    }  # fmt: skip
    return Unit(**(plain | changes))


NAMES = st.from_regex(r"[a-z]{1,9}", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=5))
def test_what_was_packed_is_unpacked(contents: dict[str, bytes]) -> None:
    assert unpack(pack(contents), ANY) == contents


@given(st.binary(max_size=200))
def test_any_bytes_are_files_or_refused(parcel: bytes) -> None:
    try:
        found = unpack(parcel, ANY)
    except ValueError:
        return
    assert pack(found)[8:] == parcel[8:] or found == {}


def parcel(listed: Any, content: bytes = b"") -> bytes:
    head = listed if isinstance(listed, bytes) else json.dumps(listed).encode()
    return len(head).to_bytes(8, "big") + head + content


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        "text",
        b"",
        b"\xff" * 40,
        (1 << 40).to_bytes(8, "big") + b"[]",
        parcel(b"[" * 60_000),
        parcel(b" " * 70_000 + b"[]"),
        parcel({"a": 1}),
        parcel([["a"]]),
        parcel([["a", 1, 2]], b"xx"),
        parcel([["a", "1"]], b"x"),
        parcel([["a", 1.0]], b"x"),
        parcel([["a", True]], b"x"),
        parcel([["a", -1]], b""),
        parcel([["a", 2]], b"x"),
        parcel([["a", 1]], b"xx"),
        parcel([["a", 1], ["a", 1]], b"xy"),
        parcel([["a", 1001]], b"x" * 1001),
        parcel([["A", 1]], b"x"),
        parcel([["../a", 1]], b"x"),
        parcel([["a\n", 1]], b"x"),
        parcel([[None, 1]], b"x"),
        parcel([3]),
    ],
)
def test_what_is_no_parcel_of_the_expected_files_is_refused(hostile: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (whatever is wrong, it is told as one kind)
        unpack(hostile, ANY)


@given(st.lists(st.binary(max_size=50), max_size=12))
def test_what_was_bundled_comes_apart_in_its_order(parcels: list[bytes]) -> None:
    assert unbundle(bundle(parcels)) == parcels


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        b"",
        pack({"1": b"x"}),
        pack({"1": b"x", "0": b"y"}),
        pack({"0": b"x", "2": b"y"}),
        pack({"00": b"x"}),
        pack({"0": b"x", "\u0661": b"y"}),
        pack({"unit.json": b"x"}),
        parcel([["0", 1], ["0", 1]], b"xy"),
    ],
)
def test_what_is_no_bundle_is_refused(hostile: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (whatever is wrong, it is told as one kind)
        unbundle(hostile)


@pytest.mark.parametrize(
    "name",
    ["unit.json", "reward.py", "/etc/passwd", "../report.json", "checkpoint/../report.json",
     "checkpoint/state.pkl", "checkpoint/.json", "checkpoint/a/b.json", "report.json.tmp",
     "policy.pt", "tensorboard/events", "reportXjson"],
)  # fmt: skip
def test_a_job_may_leave_nothing_but_what_jobs_leave(name: str) -> None:
    with pytest.raises(ValueError, match="is not expected here"):
        unpack(pack({name: b"x"}), RESULTS)


def done(folder: Path, work: Unit) -> bytes:
    files.write_unit(folder, work)
    run_job(folder)
    return result_parcel(folder)


def test_a_unit_sent_away_and_back_has_the_folder_of_one_done_here(tmp_path: Path) -> None:
    work = unit(stop=50, checkpoint=True)
    here, sent = tmp_path / "here", order_parcel(work, tmp_path / "back")
    (tmp_path / "far").mkdir()
    _, folder = lay_out(sent, tmp_path / "far")
    report = run_job(folder)
    files.write_unit(tmp_path / "back", work)
    assert take_in(work, tmp_path / "back", result_parcel(folder)) == report
    assert files.finished(tmp_path / "back", work) == report
    done(here, work)
    names = {p.relative_to(here) for p in here.rglob("*") if p.is_file()}
    back = {p.relative_to(tmp_path / "back") for p in (tmp_path / "back").rglob("*")}
    assert names - back <= {Path("progress.json")}


def test_a_promoted_unit_takes_along_what_it_goes_on_from(tmp_path: Path) -> None:
    low = unit("low", stop=50, checkpoint=True)
    done(tmp_path / "low", low)
    high = low.promoted("high")
    (tmp_path / "far").mkdir()
    _, folder = lay_out(order_parcel(high, tmp_path / "high"), tmp_path / "far")
    files.write_unit(tmp_path / "high", high)
    report = run_job(folder)
    assert run_job(tmp_path / "high").fitness == report.fitness
    files.clear(tmp_path / "high")
    assert take_in(high, tmp_path / "high", result_parcel(folder)).steps == report.steps
    with pytest.raises(TrainingError, match="no readable unit"):
        order_parcel(high, tmp_path / "elsewhere" / "high")


def test_a_fitness_of_ones_own_travels_as_its_text(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("def mine(episode):\n    return 3.0\n")
    work = unit(task=replace(TASK, fitness=f"{own}:mine"))
    sent = order_parcel(work, tmp_path / "u")
    own.unlink()
    (tmp_path / "far").mkdir()
    _, folder = lay_out(sent, tmp_path / "far")
    assert run_job(folder).fitness == 3.0
    with pytest.raises(ConfigError, match=r"own\.py: cannot be read"):
        order_parcel(work, tmp_path / "u")


def hostile(folder: Path, **changed: bytes | None) -> bytes:
    """The parcel of a job that was done, with some of its files changed or left out."""
    contents = unpack(done(folder, unit()), RESULTS)
    for name, content in changed.items():
        path = name.replace("__", ".")
        contents.pop(path, None)
        if content is not None:
            contents[path] = content
    return pack(contents)


@pytest.mark.parametrize(
    "changed",
    [
        {"report__json": b"{}"},
        {"report__json": b'{"unit": "other", "seed": 1, "steps": 9, "fitness": 1.0}'},
        {"report__json": b'{"unit": "u", "seed": 2, "steps": 9, "fitness": 1.0}'},
        {"report__json": b'{"unit": "u", "seed": 1, "steps": 9, "fitness": NaN}'},
        {"trajectories__npz": b"PK\x05\x06"},
        {"trajectories__npz": None},
        {"policy__safetensors": b"\x80\x04}."},
        {"policy__safetensors": None},
        {"policy__json": b"{}"},
        {"curve__jsonl": b'{"steps": 1}\n'},
    ],
)
def test_results_that_are_not_what_they_have_to_be_leave_no_report(
    changed: dict[str, bytes | None], tmp_path: Path
) -> None:
    sent, folder = hostile(tmp_path / "far", **changed), tmp_path / "u"
    files.write_unit(folder, unit())
    with pytest.raises(TrainingError, match="what came back is no result"):
        take_in(unit(), folder, sent)
    assert files.finished(folder, unit()) is None
    assert {path.name for path in folder.iterdir()} <= {files.UNIT, files.LOG}


@pytest.mark.parametrize(
    ("error", "kind"),
    [("ConfigError", ConfigError), ("SandboxUnavailable", SandboxUnavailable),
     ("TrainingError", TrainingError), ("Rude", TrainingError)],
)  # fmt: skip
def test_the_error_of_a_job_comes_back_in_its_own_kind(
    error: str, kind: type[Exception], tmp_path: Path
) -> None:
    files.write_unit(tmp_path, unit())
    told = json.dumps({"error": error, "text": "what and why"}).encode()
    with pytest.raises(kind, match="u: what and why"):
        take_in(unit(), tmp_path, pack({files.ERROR: told}))


def test_without_a_word_the_end_of_the_log_is_told(tmp_path: Path) -> None:
    files.write_unit(tmp_path, unit())
    with pytest.raises(TrainingError, match=r"(?s)without a report.*killed by the cold"):
        take_in(unit(), tmp_path, pack({files.LOG: b"killed by the cold"}))


def test_a_link_in_a_jobs_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    folder = tmp_path / "u"
    files.write_unit(folder, unit())
    (folder / files.CURVE).symlink_to(tmp_path / "secret")
    assert unpack(result_parcel(folder), RESULTS) == {}
