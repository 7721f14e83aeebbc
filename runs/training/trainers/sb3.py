"""The algorithms of Stable-Baselines3 with deferred rewards."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from rewardsmith.errors import ConfigError, RewardsmithError, TrainingError
from rewardsmith.runs.training.trainers import Order, Trained, Watch
from rewardsmith.runs.training.trainers.checkpoints import last_step
from rewardsmith.runs.training.trainers.continuing import go_on, keep
from rewardsmith.runs.training.trainers.deferred import (
    Deferred,
    OffPolicy,
    OnPolicy,
    ReturnScale,
    Stopped,
)
from rewardsmith.runs.training.trainers.divergence import WEIGHTS, diverged
from rewardsmith.runs.training.trainers.recording import RecordingVecEnv, seeded
from rewardsmith.runs.training.trainers.weights import finite, policy_of
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardSource

_ACTIVATIONS: dict[str, type[torch.nn.Module]] = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
Algorithm = Literal["ppo", "a2c", "sac", "td3", "ddpg", "dqn"]
_CLASSES: dict[str, Any] = {
    "ppo": PPO, "a2c": A2C, "sac": SAC, "td3": TD3, "ddpg": DDPG, "dqn": DQN
}  # fmt: skip
_ON_POLICY = ("ppo", "a2c")
_OURS = {"n_envs", "normalize_obs", "normalize_reward", "net_arch", "activation", "log_std_init",
         "schedule", "steps", "noise_std"}  # fmt: skip


@dataclass(frozen=True)
class Sb3:
    """One algorithm of Stable-Baselines3 as a trainer."""

    algorithm: Algorithm

    def train(self, order: Order, reward: RewardSource, watch: Watch) -> Trained | Failure:
        """Returns the trained policy, or what the reward program did wrong."""
        # Two threads made both algorithms more than twice as slow on nets of this size.
        torch.set_num_threads(1)
        count = int(order.hyperparams["n_envs"])
        recorder = RecordingVecEnv(order.env, count, hidden=order.hidden)
        try:
            return self._train(order, recorder, reward, watch)
        finally:
            recorder.close()

    def _train(
        self, order: Order, recorder: RecordingVecEnv, reward: RewardSource, watch: Watch
    ) -> Trained | Failure:
        model = new_model(
            self.algorithm,
            normalised(recorder, order.hyperparams),
            order.hyperparams,
            seed=order.seed,
            device=order.device,
        )
        seeded(recorder, order.seed)
        model.set_logger(_logger(order))
        callback = self._callback(order, recorder, reward, watch)
        try:
            self._learn(order, model, callback)
        except Stopped as stop:
            return stop.failure
        except RewardsmithError:
            raise
        except (ValueError, RuntimeError, ArithmeticError) as error:
            return _fault(model, error)
        finally:
            model.logger.close()
        return Trained(policy_of(model), model.num_timesteps)

    def _learn(self, order: Order, model: BaseAlgorithm, callback: Deferred) -> None:
        """Trains from the start or a checkpoint up to the order's last step."""
        cast(Any, model).whole_steps = order.steps
        if order.checkpoint is not None:
            callback.keep_underway()
        if order.resume is not None:
            go_on(order, self.algorithm, model, callback)
        left = last_step(order) - model.num_timesteps
        model.learn(left, callback=callback, reset_num_timesteps=order.resume is None)
        keep(order, self.algorithm, model, callback)

    def _callback(
        self, order: Order, recorder: RecordingVecEnv, reward: RewardSource, watch: Watch
    ) -> Deferred:
        if self.algorithm not in _ON_POLICY:
            return OffPolicy(reward, watch, recorder, None)
        scale = None
        if order.hyperparams["normalize_reward"]:
            scale = ReturnScale(recorder.num_envs, float(order.hyperparams["gamma"]))
        return OnPolicy(reward, watch, recorder, scale)


ppo = Sb3("ppo")
a2c = Sb3("a2c")
sac = Sb3("sac")
td3 = Sb3("td3")
ddpg = Sb3("ddpg")
dqn = Sb3("dqn")


def normalised(env: VecEnv, hyperparams: Mapping[str, Any]) -> VecEnv:
    """Returns ``env`` with running normalisation of observations, where that is wanted.

    Rewards are not touched here: they come later, and `ReturnScale` does for them what this would.
    """
    if not hyperparams["normalize_obs"]:
        return env
    return VecNormalize(env, norm_obs=True, norm_reward=False, gamma=float(hyperparams["gamma"]))


def new_model(
    algorithm: str, env: VecEnv, hyperparams: Mapping[str, Any], *, seed: int, device: str
) -> BaseAlgorithm:
    """Returns an untrained model with the hyperparameters of ``presets.yaml``'s form.

    Raises:
        ConfigError: the algorithm cannot act in this environment, or refuses a hyperparameter.
    """
    _check_actions(algorithm, env.action_space)
    arguments = {k: v for k, v in hyperparams.items() if k not in _OURS}
    if "noise_std" in hyperparams:
        arguments["action_noise"] = _noise(env.action_space, float(hyperparams["noise_std"]))
    rate = float(arguments.pop("learning_rate"))
    linear = hyperparams.get("schedule", "constant") == "linear"
    try:
        model: BaseAlgorithm = _staged(_CLASSES[algorithm])(
            "MlpPolicy",
            env,
            learning_rate=(lambda left: left * rate) if linear else rate,
            policy_kwargs=_policy_kwargs(algorithm, hyperparams, device),
            seed=seed,
            device=device,
            **arguments,
        )
        return model
    # RuntimeError is torch's word for an impossible size and for a device that is not there.
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(f"{algorithm} refused its hyperparameters: {error}") from error


def _check_actions(algorithm: str, space: gym.Space[Any]) -> None:
    if algorithm in ("sac", "td3", "ddpg") and not isinstance(space, gym.spaces.Box):
        raise ConfigError(
            f"{algorithm.upper()} needs continuous actions, this task's are discrete: use ppo"
        )
    if algorithm == "dqn" and not isinstance(space, gym.spaces.Discrete):
        raise ConfigError("DQN needs discrete actions, this task's are continuous: use ppo")


def _noise(space: gym.Space[Any], std: float) -> NormalActionNoise:
    """Returns exploration for policies without any: on actions scaled to -1 and 1."""
    size = np.prod(space.shape or (1,), dtype=int)
    return NormalActionNoise(np.zeros(size), np.full(size, std))


class _Staged:
    """Has schedules go by the whole training, of which one call of ``learn`` may be a part."""

    whole_steps: int | None = None

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        # The class beside this one, in `_staged`, has the method.
        super()._update_current_progress_remaining(  # type: ignore[misc]
            num_timesteps, self.whole_steps or total_timesteps
        )


@cache
def _staged(kind: type[BaseAlgorithm]) -> type[Any]:
    return type(kind.__name__, (_Staged, kind), {})


def _policy_kwargs(algorithm: str, hyperparams: Mapping[str, Any], device: str) -> dict[str, Any]:
    # The same update in one kernel instead of a dozen: a quarter of the time of a minibatch.
    optimizer: dict[str, Any] = {"fused": True} if device == "cpu" else {}
    if algorithm == "ppo":
        optimizer["eps"] = 1e-5  # the default of its policy, lost where other arguments are given
    kwargs: dict[str, Any] = {
        "net_arch": list(hyperparams["net_arch"]),
        "activation_fn": _ACTIVATIONS[hyperparams["activation"]],
    }
    if algorithm != "a2c":  # which has an optimiser of its own
        kwargs["optimizer_kwargs"] = optimizer
    if "log_std_init" in hyperparams:
        kwargs["log_std_init"] = float(hyperparams["log_std_init"])
    return kwargs


def _logger(order: Order) -> Logger:
    formats: list[KVWriter] = []
    if order.logs is not None:
        order.logs.mkdir(parents=True, exist_ok=True)
        formats.append(TensorBoardOutputFormat(str(order.logs)))
    return Logger(folder=None, output_formats=formats)


def _fault(model: BaseAlgorithm, error: Exception) -> Failure:
    """Says whose fault an exception is: torch refuses a distribution whose parameters are NaN."""
    if not finite(model.policy):
        return diverged(WEIGHTS)
    raise TrainingError(
        f"{type(model).__name__} stopped with {type(error).__name__}: {error}"
    ) from error
