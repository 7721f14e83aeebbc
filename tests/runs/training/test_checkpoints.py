from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.trainers import Order
from rewardsmith.runs.training.trainers.checkpoints import ARRAYS, FACTS, last_step, load, save

ORDER = Order(toy.tasks()[0].env, {"rate": 0.1, "net": (3, 4)}, seed=5, steps=100)
KINDS: tuple[Any, ...] = (np.float64, np.float32, np.int64, np.uint8, np.uint32, np.bool_)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_and_facts_come_back_to_the_bit(kind: Any, tmp_path: Path) -> None:
    array = np.frombuffer(np.random.default_rng(0).bytes(48), np.uint8) % 2
    arrays = {"a": array.astype(kind).reshape(2, 24)[:, ::2], "none": np.empty((0, 3), kind),
              "one": np.array(1, kind)}  # fmt: skip
    facts = {"rng": np.random.default_rng(1).bit_generator.state, "rate": 0.1 + 0.2, "n": 2**127}
    save(tmp_path, ORDER, "mine", arrays, facts)
    found, told = load(tmp_path, ORDER, "mine")
    assert told == facts
    assert found.keys() == arrays.keys()
    for name, wanted in arrays.items():
        assert found[name].dtype == wanted.dtype
        assert np.array_equal(found[name], wanted)


@pytest.mark.parametrize(
    "change",
    [{"seed": 6}, {"steps": 101}, {"hyperparams": {"rate": 0.2}}, {"env": toy.tasks()[1].env}],
)
def test_the_checkpoint_of_another_training_is_refused(
    change: dict[str, Any], tmp_path: Path
) -> None:
    save(tmp_path, ORDER, "mine", {}, {})
    with pytest.raises(ConfigError, match="of another training, which differs in"):
        load(tmp_path, replace(ORDER, **change), "mine")
    with pytest.raises(ConfigError, match="differs in trainer"):
        load(tmp_path, ORDER, "theirs")


def test_where_a_training_stops_and_where_it_leaves_files_is_not_what_it_is(tmp_path: Path) -> None:
    save(tmp_path, replace(ORDER, stop=10, checkpoint=tmp_path), "mine", {}, {})
    assert load(tmp_path, replace(ORDER, resume=tmp_path, logs=tmp_path), "mine") == ({}, {})


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\x80\x04}.", b"null"])
def test_a_damaged_checkpoint_is_an_error_and_runs_nothing(
    name: str, content: bytes, tmp_path: Path
) -> None:
    save(tmp_path, ORDER, "mine", {"a": np.zeros(3)}, {})
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match="no readable checkpoint"):
        load(tmp_path, ORDER, "mine")


def test_a_missing_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no readable checkpoint"):
        load(tmp_path / "gone", ORDER, "mine")


def test_an_order_ends_at_its_rung_and_never_after_its_steps() -> None:
    assert last_step(ORDER) == 100
    assert last_step(replace(ORDER, stop=40)) == 40
    assert last_step(replace(ORDER, stop=400)) == 100
