"""Checkpoints of lanes: kept after an update, gone on from before the next rollout, to the bit."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.trainers.checkpoints import load, save
from rewardsmith.runs.training.trainers.fast_lane import Learning
from rewardsmith.runs.training.trainers.fast_log import WINDOW
from rewardsmith.runs.training.trainers.fast_returns import EpisodeSums, ReturnScales
from rewardsmith.runs.training.trainers.fast_rollout import Rollouts, below, prefixed
from rewardsmith.runs.training.trainers.fast_update import Learner

TRAINER = "fast"
Kept = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Stacked:
    """The parts of a stack that hold something of every lane."""

    rollouts: Rollouts
    sums: EpisodeSums
    scales: ReturnScales | None


def keep(stack: Stacked, index: int, lane: Learning, steps: int) -> None:
    """Leaves the checkpoint of one lane, if its order asks for one.

    Raises:
        ConfigError: environments of this kind cannot be captured.
    """
    if lane.order.checkpoint is None:
        return
    arrays, envs = stack.rollouts.kept(index)
    whole = prefixed("rollouts", arrays)
    whole |= prefixed("learner", {k: np.asarray(v) for k, v in lane.learner._asdict().items()})
    whole |= prefixed("sums", stack.sums.kept(index))
    whole |= {} if stack.scales is None else prefixed("scales", stack.scales.kept(index))
    whole["recent"] = np.array(lane.recent, dtype=np.float64).reshape(-1, 2)
    whole |= prefixed("underway", lane.underway.kept())
    facts = {"steps": steps, "rng": lane.rng.bit_generator.state, "envs": envs, "jax": _jax()}
    save(lane.order.checkpoint, lane.order, TRAINER, whole, facts)


def go_on(stack: Stacked, index: int, lane: Learning) -> int:
    """Puts one lane to where its order's checkpoint stood; returns its env steps.

    Raises:
        TrainingError: the checkpoint is damaged, or of another version of JAX.
        ConfigError: it is another training's, or environments of this kind cannot be captured.
    """
    if lane.order.resume is None:
        return 0
    arrays, facts = load(lane.order.resume, lane.order, TRAINER)
    try:
        if facts["jax"] != _jax():
            raise ValueError(f"left by JAX {facts['jax']}, this is {_jax()}")
        _put_back(stack, index, lane, arrays, facts)
        return int(facts["steps"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrainingError(
            f"{lane.order.resume}: no checkpoint of this training: {error}"
        ) from error


def _put_back(
    stack: Stacked, index: int, lane: Learning, arrays: Kept, facts: Mapping[str, Any]
) -> None:
    found = below("learner", arrays)
    for name, fresh in lane.learner._asdict().items():
        if found[name].shape != np.shape(fresh) or found[name].dtype != fresh.dtype:
            raise ValueError(f"{name} is {found[name].dtype}{list(found[name].shape)}")
    lane.learner = Learner(**found)
    lane.rng.bit_generator.state = facts["rng"]
    recent = ((float(total), int(length)) for total, length in arrays["recent"])
    lane.recent = deque(recent, maxlen=WINDOW)
    stack.rollouts.put_back(index, below("rollouts", arrays), facts["envs"])
    stack.sums.put_back(index, below("sums", arrays))
    if stack.scales is not None:
        stack.scales.put_back(index, below("scales", arrays))
    lane.remember(below("underway", arrays), int(lane.order.hyperparams["n_envs"]))


def all_on(stack: Stacked, lanes: list[Learning]) -> int:
    """Puts every lane to where its checkpoint stood; returns the env steps, equal for all.

    Raises:
        TrainingError: as `go_on`.
        ConfigError: as `go_on`, or the lanes do not stand at the same step.
    """
    steps = {go_on(stack, index, lane) for index, lane in enumerate(lanes)}
    if len(steps) > 1:
        raise ConfigError(
            f"a stack of trainings: the checkpoints stand at {sorted(steps)} env steps; train "
            "those of one rung together"
        )
    return steps.pop()


def _jax() -> str:
    import jax

    return str(jax.__version__)
