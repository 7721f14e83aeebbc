"""The laws of a reward over a batch, tried one after the other through a client.

A row's reward depends on that row alone: not on its neighbours, their order, the call, or (without
``memory``) on time. With ``memory``, it depends on the row's environment and its past only.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import FloatArray
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.probe_steps import replaced
from rewardsmith.sandbox.reductions import first_reduction
from rewardsmith.sandbox.reward import RewardBatch

TOLERANCE = 1e-9  # relative; NumPy's `@` and sums round differently for other batch sizes
_ALONE = 24  # rows that are also asked for alone


def _columns(batch: RewardBatch) -> dict[str, FloatArray]:
    return {"": batch.total, **batch.components}


def _called(name: str) -> str:
    return f"component {name!r}" if name else "the total reward"


@dataclass(frozen=True)
class Finding:
    """A broken law. ``perhaps_by_row``: it may be kept where environments come one at a time."""

    failure: Failure
    perhaps_by_row: bool = False


@dataclass(frozen=True)
class _Difference:
    name: str
    row: int
    here: float
    there: float


def _difference(one: RewardBatch, other: RewardBatch, *, exact: bool = False) -> _Difference | None:
    """The first column and row in which two answers differ, components before the total."""
    first, second = _columns(one), _columns(other)
    for name in [*one.components, ""]:
        if name not in second:
            return _Difference(name, 0, float(first[name][0]), float("nan"))
        here, there = first[name], second[name]
        scale = np.maximum(np.maximum(np.abs(here), np.abs(there)), 1.0)
        off = here != there if exact else np.abs(here - there) > TOLERANCE * scale
        if off.any():
            row = int(np.argmax(off))
            return _Difference(name, row, float(here[row]), float(there[row]))
    return None


def _picked(batch: RewardBatch, index: npt.NDArray[np.int64]) -> RewardBatch:
    return RewardBatch(
        batch.total[index], {name: column[index] for name, column in batch.components.items()}
    )


def broken_law(client: RewardClient, rows: Steps, source: str) -> Finding | None:
    """Returns the first law that a program without memory breaks on ``rows``."""
    whole = client.rewards(rows)
    if isinstance(whole, Failure):
        return Finding(on_extremes(whole))
    constants = client.constants
    again = client.rewards(rows)
    if isinstance(again, Failure):
        return Finding(again)
    if _difference(whole, again, exact=True) is not None:
        return Finding(_changes_between_calls(whole, again))
    order = np.random.default_rng(0).permutation(rows.rows)
    mixed = client.rewards(rows.take(order))
    if isinstance(mixed, Failure):
        return Finding(mixed)
    broken = _row_by_row(client, rows, whole, constants, source)
    if broken is None and (found := _difference(_picked(whole, order), mixed)) is not None:
        how = "when the environments are given in another order"
        return Finding(_depends_on_others(found, how, source))
    return broken


def _row_by_row(
    client: RewardClient, rows: Steps, whole: RewardBatch, constants: frozenset[str], source: str
) -> Finding | None:
    for row in np.linspace(0, rows.rows - 1, _ALONE).round().astype(np.int64):
        alone = client.rewards(rows.take(np.array([row])))
        if isinstance(alone, Failure):
            return Finding(alone)
        found = _difference(_picked(whole, np.array([row])), alone)
        if found is not None:
            return _not_alone(found, constants, source)
    return None


def _not_alone(found: _Difference, constants: frozenset[str], source: str) -> Finding:
    if found.name in constants:
        return Finding(_lost_axis(found, source), perhaps_by_row=True)
    return Finding(_depends_on_others(found, "when it is alone", source))


def on_extremes(failure: Failure) -> Failure:
    """Says of a failure that it came on values beyond the recorded ones."""
    if failure.kind != "bad_output":
        return failure
    text = f"On extreme but possible values (zeros, ten times what was recorded): {failure.text}"
    return Failure(kind="contract", text=text, line=failure.line)


def _changes_between_calls(one: RewardBatch, other: RewardBatch) -> Failure:
    found = _difference(one, other, exact=True)
    assert found is not None
    return Failure(
        kind="contract",
        text=(
            f"{_called(found.name)} is {found.here:.6g} in one call and {found.there:.6g} in "
            "the next "
            "with the same inputs. A reward depends on its parameters only: no counters, no "
            "module-level "
            "state, no randomness. For what must be remembered within an episode declare "
            "MEMORY and take "
            "`memory`."
        ),
    )


def _with_suspect(text: str, source: str) -> Failure:
    suspect = first_reduction(source)
    if suspect is None:
        return Failure(kind="contract", text=text)
    advice = (
        f"Look at line {suspect.line}: `{suspect.text}` takes all environments together. For a "
        "vector field write axis=-1; for a field with one number per environment leave the "
        "reduction out."
    )
    return Failure(kind="contract", text=f"{text} {advice}", line=suspect.line)


def _lost_axis(found: _Difference, source: str) -> Failure:
    text = (
        f"{_called(found.name)} is one number for all environments, and it changes with them "
        f"({found.here:.6g} for the batch, {found.there:.6g} for one alone). It must have "
        "shape (N,), one "
        "value per environment."
    )
    return _with_suspect(text, source)


def _depends_on_others(found: _Difference, how: str, source: str) -> Failure:
    text = (
        f"{_called(found.name)} of one environment depends on the others: it is "
        f"{found.here:.6g} in a "
        f"batch and {found.there:.6g} {how}. Every environment is rewarded by its own values "
        "only: no "
        "mean, maximum or sum over the first axis."
    )
    return _with_suspect(text, source)


def broken_law_with_memory(client: RewardClient, rows: Steps, source: str) -> Finding | None:
    """Returns the first law that a program with memory breaks on sequences in order of time."""
    whole = client.rewards(rows)
    if isinstance(whole, Failure):
        return Finding(whole)
    constants = client.constants
    again = client.rewards(rows)
    if isinstance(again, Failure):
        return Finding(again)
    if _difference(whole, again, exact=True) is not None:
        return Finding(_changes_between_calls(whole, again))
    envs, length = rows.num_envs, rows.rows // rows.num_envs
    half = (length // 2) * envs
    if half:
        failure = _in_two_halves(client, rows, whole, half)
        if failure is not None:
            return Finding(failure)
    return _lane_by_lane(client, rows, whole, constants, source)


def _lane_by_lane(
    client: RewardClient, rows: Steps, whole: RewardBatch, constants: frozenset[str], source: str
) -> Finding | None:
    envs, length = rows.num_envs, rows.rows // rows.num_envs
    for lane in range(0, envs, 3):
        index = np.arange(length) * envs + lane
        alone = client.rewards(replaced(rows.take(index), 1, rows.starts[index]))
        if isinstance(alone, Failure):
            return Finding(alone)
        found = _difference(_picked(whole, index), alone)
        if found is not None:
            return _not_alone(found, constants, source)
    return None


def _in_two_halves(
    client: RewardClient, rows: Steps, whole: RewardBatch, half: int
) -> Failure | None:
    """The past must not know the future, memory must carry on, and a start must forget."""
    index = np.arange(rows.rows)
    early, late = index[:half], index[half:]
    parts = [replaced(rows.take(part), rows.num_envs, rows.starts[part]) for part in (early, late)]
    restarted = rows.starts.copy()
    restarted[half : half + rows.num_envs] = True
    for what, steps, carry, wanted in (
        ("the first half of the steps is given alone", parts[0], True, _picked(whole, early)),
        ("the steps are given in two calls", parts[1], True, _picked(whole, late)),
    ):
        got = client.rewards(steps, carry=carry)
        if isinstance(got, Failure):
            return got
        if (found := _difference(wanted, got)) is not None:
            return _forgets(found, what)
    return _starts_afresh(client, replaced(rows, rows.num_envs, restarted), parts[1], late)


def _starts_afresh(
    client: RewardClient, restarted: Steps, late: Steps, index: npt.NDArray[np.int64]
) -> Failure | None:
    whole, fresh = client.rewards(restarted), client.rewards(late)
    if isinstance(whole, Failure) or isinstance(fresh, Failure):
        return (
            whole if isinstance(whole, Failure) else fresh if isinstance(fresh, Failure) else None
        )
    found = _difference(_picked(whole, index), fresh)
    return None if found is None else _forgets(found, "an episode starts anew")


def _forgets(found: _Difference, when: str) -> Failure:
    return Failure(
        kind="contract",
        text=(
            f"{_called(found.name)} changes from {found.here:.6g} to {found.there:.6g} when "
            f"{when}. "
            "Everything that is remembered must be in `memory`, and nothing outside it."
        ),
    )
