"""The steps on which a program is tried before anything trains: recorded, perturbed and extreme."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray

# A prime: no vector field has this many entries by chance, so a lost axis cannot pass unseen.
PROBE_ROWS = 61
_RECORDED = 37
_MOST_STATISTICS = 2048
_SEED = 20240229  # the same probes for every program


def recorded(steps: Steps) -> Steps:
    """Up to 2,048 recorded rows, spread evenly, for statistics."""
    return steps.take(_spread(steps.rows, min(steps.rows, _MOST_STATISTICS)))


def _spread(rows: int, count: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, rows - 1, count).round().astype(np.int64)


def probes(steps: Steps, spec: EnvSpec) -> Steps:
    """Sixty-one rows: 37 recorded, 18 moved, zeros, tenfold values, bounds of the action."""
    base = steps.take(_spread(steps.rows, PROBE_ROWS))
    random = np.random.default_rng(_SEED)
    factors, shifts = _moves(random)
    terminated = base.terminated.copy()
    terminated[1::7] = True
    terminated[0] = False
    return Steps(
        num_envs=PROBE_ROWS,
        after=_moved(base.after, factors, shifts, random),
        before=_moved(base.before, factors, shifts, random),
        action=_actions(base.action, spec),
        terminated=terminated,
        truncated=base.truncated,
        starts=base.starts,
        native_reward=base.native_reward,
    )


def _moves(random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A factor and the size of a random shift for every row: recorded rows stay as they are."""
    factors, shifts = np.ones(PROBE_ROWS), np.zeros(PROBE_ROWS)
    shifts[_RECORDED : _RECORDED + 18] = random.uniform(0.05, 1.0, size=18)
    factors[_RECORDED + 18 :] = [0.0, 0.0, 10.0, -10.0, 10.0, -1.0]
    return factors, shifts


def _moved(
    columns: Mapping[str, FloatArray],
    factors: FloatArray,
    shifts: FloatArray,
    random: np.random.Generator,
) -> dict[str, FloatArray]:
    moved = {}
    for name, column in columns.items():
        wide = (-1, *(1,) * (column.ndim - 1))
        scale = max(float(np.std(column)), 1e-3)
        noise = random.normal(size=column.shape) * shifts.reshape(wide) * scale
        moved[name] = np.ascontiguousarray(column * factors.reshape(wide) + noise)
    return moved


def _actions(action: npt.NDArray[np.generic], spec: EnvSpec) -> npt.NDArray[np.generic]:
    changed = action.copy()
    if spec.action.count is not None:
        changed[_RECORDED:] = np.arange(PROBE_ROWS - _RECORDED) % spec.action.count
        return changed
    for row, bound in ((-2, spec.action.high), (-1, spec.action.low)):
        limits = np.nan_to_num(np.asarray(bound, dtype=np.float64), posinf=1.0, neginf=-1.0)
        changed[row] = limits.reshape(action.shape[1:])
    changed[-3] = 0
    return changed


def sequences(steps: Steps, envs: int = 11, length: int = 16) -> Steps:
    """Recorded pieces of ``length`` steps side by side as ``envs`` environments, in order of time.

    Every piece begins as an episode; where the record is short, pieces overlap.
    """
    per_env = steps.rows // steps.num_envs
    length = min(length, per_env)
    offsets = _spread(max(per_env - length + 1, 1), envs)
    lanes = np.arange(envs) % steps.num_envs
    index = (
        (offsets[None, :] + np.arange(length)[:, None]) * steps.num_envs + lanes[None, :]
    ).ravel()
    starts = steps.starts[index].copy()
    starts[:envs] = True
    taken = steps.take(index)
    return replaced(taken, envs, starts)


def replaced(steps: Steps, num_envs: int, starts: npt.NDArray[np.bool_]) -> Steps:
    """The same rows, read as ``num_envs`` environments that begin where ``starts`` says."""
    return Steps(
        num_envs=num_envs,
        after=steps.after,
        before=steps.before,
        action=steps.action,
        terminated=steps.terminated,
        truncated=steps.truncated,
        starts=starts,
        native_reward=steps.native_reward,
    )
