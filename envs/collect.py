"""Recorded episodes: a policy's rollouts, and the columns that trainers and fitness read."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.columns import layout, nonfinite
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import BoolArray, EnvSpec, FloatArray
from rewardsmith.errors import TrainingError

if TYPE_CHECKING:
    from rewardsmith.envs.recorder import Recorder, Row

Act = Callable[[Any], Any]


def steps_of(  # noqa: PLR0913  (the parts of a step; all but the first three by name)
    rows: Sequence["Row"],
    num_envs: int,
    spec: EnvSpec,
    *,
    action: npt.ArrayLike,
    terminated: npt.ArrayLike,
    truncated: npt.ArrayLike,
    hidden: bool = True,
) -> Steps:
    """Builds the columns of recorded steps.

    Args:
        rows: T * num_envs rows, time-major (row ``t * num_envs + i`` is step t of environment i).
        num_envs: N, environments side by side.
        spec: the card by which the rows were recorded.
        action: (rows, *action shape), what ``env.step`` received.
        terminated: (rows,) whether the task ended the episode there.
        truncated: (rows,) whether the time limit did.
        hidden: whether the hidden fields are among the columns.

    Raises:
        TrainingError: a field is NaN or infinite (the simulation blew up, or the card is wrong).
    """
    width = layout(spec).width
    return steps_of_columns(
        np.array([r.before for r in rows]).reshape(len(rows), width),
        np.array([r.after for r in rows]).reshape(len(rows), width),
        num_envs,
        spec,
        action=action,
        terminated=terminated,
        truncated=truncated,
        starts=[r.starts for r in rows],
        native_reward=[r.native_reward for r in rows],
        hidden=hidden,
    )


def steps_of_columns(  # noqa: PLR0913  (the parts of a step; all but the first four by name)
    before: FloatArray,
    after: FloatArray,
    num_envs: int,
    spec: EnvSpec,
    *,
    action: npt.ArrayLike,
    terminated: npt.ArrayLike,
    truncated: npt.ArrayLike,
    starts: npt.ArrayLike,
    native_reward: npt.ArrayLike,
    hidden: bool = True,
) -> Steps:
    """Builds the columns of steps whose flat card rows (rows, width) are given; see `steps_of`.

    Raises:
        TrainingError: a field is NaN or infinite (the simulation blew up, or the card is wrong).
    """
    places = layout(spec)
    for flat in (before, after):
        if not np.isfinite(flat).all():
            bad = ", ".join(nonfinite(flat, places))
            raise TrainingError(f"{spec.id}: NaN or infinity in the field(s) {bad}")
    return Steps(
        num_envs=num_envs,
        after=places.split(after, hidden=hidden),
        before=places.split(before, hidden=hidden),
        action=_actions(action, len(after), spec),
        terminated=np.asarray(terminated, dtype=np.bool_).reshape(-1),
        truncated=np.asarray(truncated, dtype=np.bool_).reshape(-1),
        starts=np.asarray(starts, dtype=np.bool_).reshape(-1),
        native_reward=np.asarray(native_reward, dtype=np.float64).reshape(-1),
    )


def _actions(action: npt.ArrayLike, rows: int, spec: EnvSpec) -> npt.NDArray[Any]:
    kind = np.int64 if spec.action.count is not None else np.float64
    return np.ascontiguousarray(np.asarray(action, dtype=kind).reshape(rows, *spec.action.shape))


def rollout(
    spec: EnvSpec,
    act: Act,
    seeds: Iterable[int],
    *,
    snapshot_every: int | None = None,
    max_steps: int | None = None,
) -> tuple[Episode, ...]:
    """Plays one episode per seed.

    Args:
        spec: the environment and its card.
        act: observation -> action, as ``env.step`` takes it.
        seeds: reset seeds, one per episode.
        snapshot_every: save the simulator's full state before every n-th step, where it can be.
        max_steps: cut episodes there (marked as truncated), besides the task's own time limit.

    Raises:
        ConfigError: the environment cannot be made, or its card does not fit it.
        TrainingError: a field became NaN or infinite.
    """
    from rewardsmith.envs.recorder import make_env

    env = make_env(spec)
    try:
        return tuple(_episode(env, spec, act, seed, snapshot_every, max_steps) for seed in seeds)
    finally:
        env.close()


def _episode(
    env: "Recorder",
    spec: EnvSpec,
    act: Act,
    seed: int,
    snapshot_every: int | None,
    max_steps: int | None,
) -> Episode:
    from rewardsmith.envs.snapshots import capture

    obs, _ = env.reset(seed=seed)
    rows: list[Row] = []
    actions: list[Any] = []
    snapshots: dict[int, FloatArray] = {}
    terminated = truncated = False
    while not (terminated or truncated):
        if snapshot_every and len(rows) % snapshot_every == 0:
            state = capture(env)
            if state is not None:
                snapshots[len(rows)] = state
        action = act(obs)
        obs, _, terminated, truncated, info = env.step(action)
        rows.append(info["rewardsmith"])
        # Copied: policies may reuse the array they answer with.
        actions.append(np.array(action))
        truncated = truncated or len(rows) == max_steps
    last = np.arange(len(rows)) == len(rows) - 1
    steps = steps_of(
        rows,
        1,
        spec,
        action=np.array(actions),
        terminated=last & terminated,
        truncated=last & truncated,
    )
    return Episode(seed, spec.dt, steps, snapshots)


def concat(episodes: Sequence[Episode]) -> Steps:
    """Returns the steps of all episodes, one after the other, as one environment's.

    Episodes still begin where ``starts`` says so; there must be at least one.
    """
    parts = [e.steps for e in episodes]
    names = parts[0].after.keys()
    return Steps(
        num_envs=1,
        after={n: np.concatenate([p.after[n] for p in parts]) for n in names},
        before={n: np.concatenate([p.before[n] for p in parts]) for n in names},
        action=np.concatenate([p.action for p in parts]),
        terminated=_joined(parts, "terminated"),
        truncated=_joined(parts, "truncated"),
        starts=_joined(parts, "starts"),
        native_reward=np.concatenate([p.native_reward for p in parts]),
    )


def _joined(parts: Sequence[Steps], name: str) -> BoolArray:
    joined: BoolArray = np.concatenate([getattr(p, name) for p in parts])
    return joined


def random_act(spec: EnvSpec, seed: int) -> Act:
    """Returns a policy that draws actions uniformly from the action space, the same for a seed."""
    generator = np.random.default_rng(seed)
    if spec.action.count is not None:
        count = spec.action.count
        return lambda obs: int(generator.integers(count))
    low, high = (np.reshape(b, spec.action.shape) for b in (spec.action.low, spec.action.high))
    return lambda obs: generator.uniform(low, high).astype(np.float32)
