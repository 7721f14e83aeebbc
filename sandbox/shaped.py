"""A program's reward as its shaping makes it: operators over what the worker answered.

It stands outside the worker and outside the audits: those compare what the program itself said.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.sandbox import transforms
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource
from rewardsmith.sandbox.shaping import Reference, Shaping
from rewardsmith.sandbox.subgoals import SubgoalSource, as_program, reached

PAID = "subgoals"  # the component that holds what subgoals paid
_FLAT = 1e-9  # a deviation below this part of the mean is rounding


class ShapedReward:
    """A reward source whose total is shaped; implements ``RewardSource``.

    The components stay as the program gave them. A potential is asked for on both sides of a step:
    the same program on the step, and on a step that stays where this one began. That needs nothing
    remembered from call to call, so rows may come in any order, cut in any way; it costs a second
    row for each, and a program whose potential depends on more than the state is refused before
    training (`rewardsmith.sandbox.shaped_check`).

    Args:
        source: the program's rewards.
        shaping: what to make of them, its references fixed.
        gamma: the discount that the trainer learns with.
        subgoals: the program's subgoals, 0 or 1 a component; wanted where the shaping pays them.
    """

    def __init__(
        self,
        source: RewardSource,
        shaping: Shaping,
        *,
        gamma: float,
        subgoals: RewardSource | None = None,
    ) -> None:
        if shaping.subgoals and subgoals is None:
            raise ValueError("a shaping that pays subgoals needs their source")
        self._source = source
        self._shaping = shaping
        self._gamma = gamma
        self._subgoals = subgoals
        self.shut: frozenset[str] = frozenset()  # gated components that do not count now

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the shaped total beside the program's own components, or what it did wrong."""
        if steps.rows == 0:
            return self._source.rewards(steps, carry=carry)
        shaping = self._shaping
        asked = both_sides(steps) if shaping.potentials else steps
        batch = self._source.rewards(asked, carry=carry)
        if isinstance(batch, Failure):
            return batch
        answer = _first(batch, steps.rows)
        total = combined(shaping, answer, self.shut)
        if isinstance(total, Failure):
            return total
        for name in shaping.potentials:
            total = total + self._paid(batch.components[name], steps)
        if self._subgoals is None or not shaping.subgoals:
            return RewardBatch(total, answer.components)
        goals = self._subgoals.rewards(both_sides(steps))
        if isinstance(goals, Failure):
            return goals
        paid = self._paid(shaping.subgoals * reached(goals), steps)
        return RewardBatch(total + paid, {**answer.components, PAID: paid})

    def close(self) -> None:
        """Closes the workers."""
        self._source.close()
        if self._subgoals is not None:
            self._subgoals.close()

    def _paid(self, potential: FloatArray, steps: Steps) -> FloatArray:
        after, before = np.split(potential, 2)
        return transforms.potential_form(after, before, steps.terminated, self._gamma)


def shaped(
    program: str,
    spec: EnvSpec,
    shaping: Shaping,
    *,
    gamma: float,
    opened: Callable[[str], RewardSource],
) -> ShapedReward | Failure:
    """Returns the rewards of a program as ``shaping`` makes them; a failure if it has no subgoals.

    Args:
        program: source text.
        spec: the environment whose fields it may ask for.
        shaping: what to make of its answers, the references fixed.
        gamma: the discount that the trainer learns with.
        opened: starts the worker of a program, without any shaping.
    """
    goals = as_program(program, spec) if shaping.subgoals else None
    if isinstance(goals, Failure):
        return goals
    subgoals = None if goals is None else SubgoalSource(opened(goals))
    return ShapedReward(opened(program), shaping, gamma=gamma, subgoals=subgoals)


def both_sides(steps: Steps) -> Steps:
    """Returns the steps, and after them as many that stay in the states in which these began."""
    stay = replace(steps, after=steps.before, terminated=np.zeros(steps.rows, dtype=np.bool_))
    return joined(steps, stay)


def joined(first: Steps, second: Steps) -> Steps:
    """Returns the steps of the first and then those of the second, of the same environments."""
    names = ("action", "terminated", "truncated", "starts", "native_reward")
    parts = (first, second)
    return Steps(
        num_envs=second.num_envs,
        after={n: np.concatenate([part.after[n] for part in parts]) for n in second.after},
        before={n: np.concatenate([part.before[n] for part in parts]) for n in second.before},
        **{n: np.concatenate([getattr(part, n) for part in parts]) for n in names},
    )


def _first(batch: RewardBatch, rows: int) -> RewardBatch:
    if len(batch.total) == rows:
        return batch
    return RewardBatch(
        batch.total[:rows], {name: column[:rows] for name, column in batch.components.items()}
    )


def combined(
    shaping: Shaping, batch: RewardBatch, shut: frozenset[str] = frozenset()
) -> FloatArray | Failure:
    """Returns the components of ``batch`` combined and squashed, (rows,), without potentials.

    Args:
        shaping: the choice, its references fixed.
        batch: what the program answered.
        shut: gated components to leave out.
    """
    missing = [name for name in shaping.components if name not in batch.components]
    if missing:
        return _contract(
            f"{shaping.text} speaks of the component {missing[0]!r}, and the program "
            f"returns {', '.join(batch.components) or 'none'}; return it, by that name"
        )
    if shaping.squash == "sign":
        return transforms.signs(batch.components[shaping.sparse], batch.components[shaping.dense])
    total = _together(shaping, batch, shut)
    return total if isinstance(total, Failure) else _squashed(shaping, total)


def _together(shaping: Shaping, batch: RewardBatch, shut: frozenset[str]) -> FloatArray | Failure:
    if shaping.combine == "total":
        return batch.total
    aside = {*shut, *shaping.potentials}
    kept = {name: column for name, column in batch.components.items() if name not in aside}
    if not kept:
        return _contract(f"combine={shaping.combine} has no component left to combine; return one")
    if shaping.combine in ("geomean", "harmonic") and not shaping.signed:
        for name, column in kept.items():
            if (column < 0).any():
                text = (
                    f"combine={shaping.combine} wants components of 0 or more, and {name!r} is "
                    f"{column.min():.6g}; write it as a score that is 0 at its worst, e.g. "
                    "np.exp(-x) of a cost x"
                )
                return Failure(kind="bad_output", text=f"The shaping {text}")
    new = [name for name in kept if name not in shaping.references]
    if new and shaping.combine == "logsigmoid":
        return _contract(f"has no reference for {new[0]!r}, a component that was not there before")
    return _operated(shaping, kept)


def _operated(shaping: Shaping, kept: Mapping[str, FloatArray]) -> FloatArray:
    parts = np.stack(list(kept.values()))
    match shaping.combine:
        case "geomean":
            return transforms.geomean(parts, signed=shaping.signed)
        case "logsigmoid":
            known = [shaping.references[name] for name in kept]
            means, scales = ([item.mean for item in known], [item.scale for item in known])
            return transforms.logsigmoid(parts, np.array(means), np.array(scales))
        case "softmin":
            return transforms.softmin(parts, shaping.temperature)
        case "harmonic":
            return transforms.harmonic(parts)
        case _:
            return transforms.summed(parts)


def _squashed(shaping: Shaping, total: FloatArray) -> FloatArray:
    if shaping.squash == "clip":
        return np.clip(total, shaping.low, shaping.high)
    if shaping.squash == "par":
        known = shaping.total_reference
        if known is None:
            raise ValueError("squash=par needs its reference; see referenced")
        return transforms.centred_sigmoid(total, known.mean, known.scale, shaping.steepness)
    return total


def _contract(text: str) -> Failure:
    return Failure(kind="contract", text=f"The shaping {text}")


def referenced(shaping: Shaping, batch: RewardBatch) -> Shaping | Failure:
    """Returns the shaping with its references fixed, from a baseline policy's steps.

    Args:
        shaping: the choice.
        batch: what the program answers on these steps.
    """
    if shaping.combine == "logsigmoid":
        known = {name: reference(column) for name, column in batch.components.items()}
        shaping = shaping.model_copy(update={"references": known})
    if shaping.squash == "par":
        total = _together(shaping, batch, frozenset())
        if isinstance(total, Failure):
            return total
        shaping = shaping.model_copy(update={"total_reference": reference(total)})
    return shaping


def reference(column: FloatArray) -> Reference:
    """Returns mean and deviation of a column; a column that does not vary is its own measure: 1."""
    mean, scale = float(column.mean()), float(column.std())
    return Reference(mean=mean, scale=scale if scale > _FLAT * max(1.0, abs(mean)) else 1.0)
