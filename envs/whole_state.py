"""All on which an environment's future depends, random draws included: a training goes on from it.

`snapshots` restores physics for looking at an episode again. Here nothing may differ in a later
step: also what environments read of the simulator before they step it, the generator of their
resets and the clock of the time limit are kept.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from rewardsmith.envs.recorder import Recorder
from rewardsmith.errors import ConfigError, TrainingError

Arrays = dict[str, npt.NDArray[Any]]
# Wrappers whose only state is known here. Anybody else's may hold what nobody can ask for.
_PLAIN = (Recorder, gymnasium.wrappers.FlattenObservation, gymnasium.wrappers.TimeLimit,
          gymnasium.wrappers.OrderEnforcing)  # fmt: skip
# What environments may read of MjData: places, velocities, inertias and forces, sensors.
_READ = ("x", "geom_", "site_", "cam_", "subtree_", "cinert", "cvel", "cacc", "cfrc_", "qfrc_",
         "ten_length", "ten_velocity", "actuator_force", "actuator_length", "actuator_velocity",
         "sensordata")  # fmt: skip


def kept(env: gymnasium.Env[Any, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Returns the state between two steps as arrays and as what JSON holds exactly.

    Raises:
        ConfigError: this environment, or a wrapper around it, cannot be captured.
    """
    recorder, limit = _wrappers(env)
    if recorder.last_row is None:
        raise ConfigError(f"{recorder.spec_id}: nothing to keep before the first reset")
    arrays = _simulator(env.unwrapped) | {"row": recorder.last_row}
    facts = {
        "rng": env.unwrapped.np_random.bit_generator.state,
        "starts": recorder.starts,
        "elapsed": None if limit is None else int(limit._elapsed_steps or 0),
    }
    return arrays, facts


def put_back(
    env: gymnasium.Env[Any, Any], arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
) -> None:
    """Puts an environment of the same kind, which has been reset, back to where `kept` was called.

    Raises:
        ConfigError: this environment, or a wrapper around it, cannot be captured.
        TrainingError: the state is not one of this environment.
    """
    recorder, limit = _wrappers(env)
    wanted, _ = kept(env)
    try:
        for name, array in wanted.items():
            if arrays[name].shape != array.shape:
                raise ValueError(f"{name} is {arrays[name].shape}, {array.shape} is wanted")
        _restore(env.unwrapped, arrays)
        env.unwrapped.np_random.bit_generator.state = facts["rng"]
        recorder.restart_from(arrays["row"], starts=bool(facts["starts"]))
        if limit is not None:
            limit._elapsed_steps = int(facts["elapsed"])
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{recorder.spec_id}: not a state of this kind: {error}") from error


def _wrappers(env: Any) -> tuple[Recorder, Any]:
    recorder, limit = None, None
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, _PLAIN):
            raise _refusal(f"the wrapper {type(env).__name__} around {_name(env)}")
        recorder = env if isinstance(env, Recorder) else recorder
        limit = env if isinstance(env, gymnasium.wrappers.TimeLimit) else limit
        env = env.env
    if recorder is None:
        raise _refusal(f"{_name(env)} without a recorder")
    return recorder, limit


def _name(env: gymnasium.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _refusal(what: str) -> ConfigError:
    return ConfigError(
        f"{what} cannot be captured, so no training can go on from a checkpoint there to the bit; "
        "train in one go (without rungs)"
    )


def _simulator(bare: Any) -> Arrays:
    """Returns what the environment itself consists of."""
    module = type(bare).__module__
    if hasattr(bare, "capture_state") and hasattr(bare, "restore_state"):
        return {"state": np.asarray(bare.capture_state())}
    if module.startswith("gymnasium.envs.mujoco.") and type(bare.data).__name__ == "MjData":
        return _mujoco(bare.model, bare.data)
    if module.startswith("gymnasium.envs.classic_control."):
        return {"state": np.asarray(bare.state)}
    raise _refusal(f"the environment {_name(bare)}")


def _restore(bare: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    if hasattr(bare, "restore_state"):
        bare.restore_state(arrays["state"])
    elif type(bare).__module__.startswith("gymnasium.envs.mujoco."):
        _restore_mujoco(bare.model, bare.data, arrays)
    else:
        bare.state = arrays["state"]


def _mujoco(model: Any, data: Any) -> Arrays:
    import mujoco

    whole = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    state = np.empty(mujoco.mj_stateSize(model, whole))
    mujoco.mj_getState(model, data, state, whole)
    return {"state": state} | {name: array.copy() for name, array in _derived(data).items()}


def _derived(data: Any) -> Arrays:
    """Returns the arrays that a step computes and whose sizes the model fixes.

    After a step they lag behind the state by one substep, and environments read some of them (the
    place of a torso, the centre of mass) before the next; computed afresh they would be ahead.
    """
    found: Arrays = {}
    for name in dir(data):
        if name.startswith(_READ):
            array = getattr(data, name)
            if isinstance(array, np.ndarray) and array.dtype == np.float64 and array.size:
                found[name] = array
    return found


def _restore_mujoco(model: Any, data: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    import mujoco

    whole = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    mujoco.mj_setState(model, data, arrays["state"], whole)
    mujoco.mj_forward(model, data)
    for name, array in _derived(data).items():
        array[...] = arrays[name]
    mujoco.mj_setState(model, data, arrays["state"], whole)
