"""All of a Stable-Baselines3 training between an update and the next rollout, kept and put back.

Weights, optimisers, counters, random generators, environments, observation statistics, the replay
buffer, and with the callback's part (`Deferred.kept`) returns and the episodes under way.
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.save_util import recursive_getattr

from rewardsmith.envs.vector import Keepable
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.trainers import Order
from rewardsmith.runs.training.trainers.checkpoints import load, save
from rewardsmith.runs.training.trainers.deferred import Deferred

Arrays = dict[str, npt.NDArray[Any]]
_COUNTERS = ("num_timesteps", "_episode_num", "_n_updates", "_n_calls", "exploration_rate",
             "_current_progress_remaining")  # fmt: skip
_LAST = ("_last_obs", "_last_original_obs", "_last_episode_starts")
_ROWS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def keep(order: Order, trainer: str, model: BaseAlgorithm, callback: Deferred) -> None:
    """Leaves the checkpoint that the order asks for, if it does.

    Raises:
        ConfigError: an environment of this kind cannot be captured, or the device is no CPU.
    """
    if order.checkpoint is None:
        return
    _check(model)
    arrays, facts = _model(model)
    arrays |= _prefixed("callback", callback.kept())
    batch = _keepable(callback)
    for i in range(batch.num_envs):
        state, facts[f"env{i}"] = batch.kept(i)
        arrays |= _prefixed(f"env{i}", state)
    facts |= {"torch": torch.__version__, "rng": _generators(model, arrays)}
    save(order.checkpoint, order, trainer, arrays, facts)


def go_on(order: Order, trainer: str, model: BaseAlgorithm, callback: Deferred) -> None:
    """Puts a new model, its environments and its callback to where the order's checkpoint stood.

    Raises:
        TrainingError: the checkpoint is damaged, or of other versions.
        ConfigError: it is another training's.
    """
    assert order.resume is not None
    _check(model)
    arrays, facts = load(order.resume, order, trainer)
    try:
        if facts["torch"] != torch.__version__:
            raise ValueError(f"left by torch {facts['torch']}, this is {torch.__version__}")
        callback.recorder.reset()
        batch = _keepable(callback)
        for i in range(batch.num_envs):
            batch.put_back(i, _below(f"env{i}", arrays), facts[f"env{i}"])
        _put_back_model(model, arrays, facts)
        callback.put_back(_below("callback", arrays))
        # Last: all that was made on the way has drawn from them.
        _put_back_generators(model, arrays, facts["rng"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise TrainingError(f"{order.resume}: no checkpoint of this training: {error}") from error


def _keepable(callback: Deferred) -> Keepable:
    batch = callback.recorder.batch
    assert isinstance(batch, Keepable)
    return batch


def _check(model: BaseAlgorithm) -> None:
    if model.device.type != "cpu":
        raise ConfigError(
            f"checkpoints go on to the bit on the CPU alone, this training is on {model.device}; "
            "train there in one go (without rungs), or with device: cpu"
        )


def _model(model: BaseAlgorithm) -> tuple[Arrays, dict[str, Any]]:
    arrays: Arrays = {}
    facts: dict[str, Any] = {name: getattr(model, name) for name in _COUNTERS if _has(model, name)}
    for name, part in _parts(model).items():
        if "param_groups" in part:
            state, facts[f"steps/{name}"] = _optimiser(part)
            arrays |= _prefixed(f"optimiser/{name}", state)
        else:
            weights = {key: value.detach().numpy().copy() for key, value in part.items()}
            arrays |= _prefixed(f"weights/{name}", weights)
    for name in _variables(model):
        arrays[f"variable/{name}"] = recursive_getattr(model, name).detach().numpy().copy()
    for name in _LAST:
        if _has(model, name):
            arrays[f"last/{name}"] = np.asarray(getattr(model, name))
    return arrays | _statistics(model) | _replay(model), facts


def _put_back_model(
    model: BaseAlgorithm, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
) -> None:
    for name in _COUNTERS:
        if name in facts:
            setattr(model, name, facts[name])
    parts: dict[str, Any] = {}
    for name, part in _parts(model).items():
        if "param_groups" in part:
            state = _optimiser_state(_below(f"optimiser/{name}", arrays), facts[f"steps/{name}"])
            parts[name] = {"state": state, "param_groups": part["param_groups"]}
        else:
            found = _below(f"weights/{name}", arrays)
            parts[name] = {key: torch.from_numpy(found[key]) for key in part}
    model.set_parameters(parts, exact_match=True, device=model.device)
    for name in _variables(model):
        recursive_getattr(model, name).data.copy_(torch.from_numpy(arrays[f"variable/{name}"]))
    for name in _LAST:
        setattr(model, name, arrays.get(f"last/{name}"))
    if model._last_obs is None:
        raise ValueError("the last observations are missing")
    _put_back_statistics(model, arrays)
    _put_back_replay(model, arrays)


def _parts(model: BaseAlgorithm) -> dict[str, dict[str, Any]]:
    """Returns the state of each module and optimiser; the latter hold ``param_groups``."""
    return cast(dict[str, dict[str, Any]], model.get_parameters())


def _has(model: BaseAlgorithm, name: str) -> bool:
    return getattr(model, name, None) is not None


def _variables(model: BaseAlgorithm) -> list[str]:
    """Names of the tensors beside the modules, such as SAC's entropy coefficient."""
    return list(model._get_torch_save_params()[1])


def _optimiser(state: Mapping[str, Any]) -> tuple[Arrays, dict[str, int]]:
    """Returns an optimiser's tensors, and its counts of steps where they are plain numbers."""
    arrays: Arrays = {}
    counts: dict[str, int] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                arrays[f"{index}/{name}"] = value.detach().numpy().copy()
            else:
                counts[f"{index}/{name}"] = value
    return arrays, counts


def _optimiser_state(
    arrays: Mapping[str, npt.NDArray[Any]], counts: Mapping[str, int]
) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    for path, value in {**tensors, **counts}.items():
        index, _, name = path.partition("/")
        state.setdefault(int(index), {})[name] = value
    return state


def _statistics(model: BaseAlgorithm) -> Arrays:
    normalised = model.get_vec_normalize_env()
    if normalised is None:
        return {}
    known: Any = normalised.obs_rms
    parts = {"mean": known.mean, "var": known.var, "count": known.count}
    return _prefixed("observations", {name: np.asarray(part) for name, part in parts.items()})


def _put_back_statistics(model: BaseAlgorithm, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    normalised: Any = model.get_vec_normalize_env()
    if normalised is not None:
        found = _below("observations", arrays)
        normalised.obs_rms.mean, normalised.obs_rms.var = found["mean"], found["var"]
        normalised.obs_rms.count = float(found["count"])


def _replay(model: BaseAlgorithm) -> Arrays:
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer):
        return {}
    rows = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: getattr(buffer, name)[:rows] for name in _ROWS}
    return _prefixed(
        "replay", arrays | {"pos": np.array(buffer.pos), "full": np.array(buffer.full)}
    )


def _put_back_replay(model: BaseAlgorithm, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer):
        return
    found = _below("replay", arrays)
    for name in _ROWS:
        getattr(buffer, name)[: len(found[name])] = found[name]
    buffer.pos, buffer.full = int(found["pos"]), bool(found["full"])


def _generators(model: BaseAlgorithm, arrays: Arrays) -> dict[str, Any]:
    numpy: Any = np.random.get_state(legacy=False)
    arrays["rng/torch"] = torch.get_rng_state().numpy()
    arrays["rng/numpy"] = numpy["state"].pop("key")
    return {"numpy": numpy, "actions": model.action_space.np_random.bit_generator.state}


def _put_back_generators(
    model: BaseAlgorithm, arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]
) -> None:
    state = dict(facts["numpy"]["state"]) | {"key": arrays["rng/numpy"]}
    np.random.set_state(dict(facts["numpy"]) | {"state": state})
    torch.set_rng_state(torch.from_numpy(arrays["rng/torch"]))
    model.action_space.np_random.bit_generator.state = facts["actions"]


def _prefixed(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _below(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    start = f"{prefix}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
