"""Where a training stood, as files that run nothing: named arrays and a JSON object beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.trainers import Order
from rewardsmith.runs.whole import write_whole

Arrays = Mapping[str, npt.NDArray[Any]]
ARRAYS = "state.safetensors"
FACTS = "state.json"
MOST_BYTES = 1 << 33  # of both; a replay buffer is the largest part
VERSION = 1


def save(
    folder: Path, order: Order, trainer: str, arrays: Arrays, facts: Mapping[str, Any]
) -> None:
    """Writes a checkpoint into ``folder``; ``facts`` is anything that JSON holds exactly."""
    from safetensors.numpy import save as packed

    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_whole(folder / ARRAYS, packed(whole))
    head = {"version": VERSION, "of": _made_for(order, trainer), "facts": facts}
    write_whole(folder / FACTS, json.dumps(head, allow_nan=False).encode())


def load(folder: Path, order: Order, trainer: str) -> tuple[dict[str, npt.NDArray[Any]], Any]:
    """Returns the arrays and the facts of a checkpoint that the same training has left.

    Raises:
        TrainingError: it is missing or damaged.
        ConfigError: another training has left it; to go on from it would be neither.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpacked

    try:
        head = json.loads(_content(folder / FACTS))
        version, found, facts = head["version"], head["of"], head["facts"]
        arrays = unpacked(_content(folder / ARRAYS))
    # A type that NumPy has no word for is a KeyError of safetensors.
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise TrainingError(f"{folder}: no readable checkpoint: {error}") from error
    wanted = _made_for(order, trainer)
    if version != VERSION or found != wanted:
        odd = [name for name in wanted if found.get(name) != wanted[name]]
        raise ConfigError(
            f"{folder}: the checkpoint (form {version}) is of another training, which differs in "
            f"{', '.join(odd) or 'its form'}; go on with the training that left it"
        )
    return arrays, facts


def _made_for(order: Order, trainer: str) -> dict[str, Any]:
    """Returns all that must be the same for a training to go on to the bit, as JSON knows it."""
    asked = {
        "trainer": trainer,
        "env": order.env.id,
        "kwargs": dict(order.env.kwargs),
        "hyperparams": dict(order.hyperparams),
        "seed": order.seed,
        "steps": order.steps,
    }
    plain: dict[str, Any] = json.loads(json.dumps(asked, default=str))
    return plain


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path.name} has {size:,} bytes, at most {MOST_BYTES:,} are wanted")
    return path.read_bytes()


def last_step(order: Order) -> int:
    """Returns the env steps, counted from the start, after which this order ends."""
    return order.steps if order.stop is None else min(order.stop, order.steps)
