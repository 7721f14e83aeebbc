"""A simulator's full state as one vector, so that an episode can be gone on with from any step."""

from typing import Any

import numpy as np

from rewardsmith.envs.task import FloatArray
from rewardsmith.errors import ConfigError


def capture(env: Any) -> FloatArray | None:
    """Returns the state before the next step: (n,) float64, or None if none can be restored.

    MuJoCo only: physics state and the solver's warm start, so that the continuation is the same to
    the bit, then the steps already counted by the time limit, then the recorder's row, whose
    fields may be means over the step before and so no function of the state.
    """
    simulation = _simulation(env)
    if simulation is None:
        return None
    import mujoco

    model, data = simulation
    state = np.empty(mujoco.mj_stateSize(model, _parts()))
    mujoco.mj_getState(model, data, state, _parts())
    limit = _time_limit(env)
    elapsed = -1.0 if limit is None else float(limit._elapsed_steps or 0)
    return np.concatenate([state, [elapsed], _last_row(env)])


def restore(env: Any, state: FloatArray) -> None:
    """Puts ``env`` back to where ``capture`` was called; the next step continues from there.

    Args:
        env: an environment of the same kind, which has been reset.
        state: what ``capture`` returned.

    Raises:
        ConfigError: the simulator cannot be restored, or the state is another model's.
    """
    simulation = _simulation(env)
    if simulation is None:
        raise ConfigError(f"{type(env.unwrapped).__name__} has no state that can be restored")
    import mujoco

    model, data = simulation
    size = mujoco.mj_stateSize(model, _parts())
    wanted = size + 1 + len(_last_row(env))
    if state.shape != (wanted,):
        raise ConfigError(f"a snapshot of shape {state.shape} was given, {(wanted,)} is wanted")
    mujoco.mj_setState(model, data, state[:size], _parts())
    mujoco.mj_forward(model, data)
    # mj_forward moved the warm start on; with it the continuation differs in the last bits.
    mujoco.mj_setState(model, data, state[:size], _parts())
    limit = _time_limit(env)
    if limit is not None and state[size] >= 0:
        limit._elapsed_steps = int(state[size])
    if hasattr(env, "restart_from"):
        env.restart_from(state[size + 1 :])


def _last_row(env: Any) -> FloatArray:
    row: FloatArray | None = getattr(env, "last_row", None)
    return np.empty(0) if row is None else row


def _parts() -> int:
    import mujoco

    return int(mujoco.mjtState.mjSTATE_FULLPHYSICS) | int(mujoco.mjtState.mjSTATE_WARMSTART)


def _simulation(env: Any) -> tuple[Any, Any] | None:
    bare = env.unwrapped
    model, data = getattr(bare, "model", None), getattr(bare, "data", None)
    if type(model).__name__ != "MjModel" or type(data).__name__ != "MjData":
        return None
    return model, data


def _time_limit(env: Any) -> Any:
    from gymnasium.wrappers import TimeLimit

    while hasattr(env, "env"):
        if isinstance(env, TimeLimit):
            return env
        env = env.env
    return None
