"""PPO whose whole update is one program of JAX, for one training or for several side by side.

Hyperparameters and results mean what they mean with ``ppo``, the PPO of Stable-Baselines3; an
update differs from its own by rounding alone. The lanes of a stack share one batch of environments
and one compiled program, which is run lane by lane: on a CPU that took no longer than one program
over all lanes, and it makes every lane's weights the same to the bit, whoever learns beside it.
"""

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rewardsmith.envs.task import EnvSpec
from rewardsmith.envs.vector import make_batched
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.policy import Float32Array, PolicySpec, action_part
from rewardsmith.runs.training.trainers import Lane, Order, Trained, Watch
from rewardsmith.runs.training.trainers.checkpoints import last_step
from rewardsmith.runs.training.trainers.fast_checkpoint import Stacked, all_on, keep
from rewardsmith.runs.training.trainers.fast_lane import Learning
from rewardsmith.runs.training.trainers.fast_returns import (
    EpisodeSums,
    ReturnScales,
    advantages,
)
from rewardsmith.runs.training.trainers.fast_rollout import CpuRollouts, Plan, Rollout, Rollouts
from rewardsmith.runs.training.trainers.fast_update import Rule, Samples, Update, compiled
from rewardsmith.runs.training.trainers.starts import first_seed
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardSource

if TYPE_CHECKING:
    from rewardsmith.runs.training.trainers.fast_mjx import MjxRollouts


class Fast:
    """The trainer ``fast``; see the module.

    ``mjx`` says whether MJX steps the physics; None where the device is a GPU.
    """

    def __init__(self, *, mjx: bool | None = None) -> None:
        self._mjx = mjx

    def train(self, order: Order, reward: RewardSource, watch: Watch) -> Trained | Failure:
        """Returns the trained policy, or what the reward program did wrong."""
        return self.train_stack([Lane(order, reward, watch)])[0]

    def train_stack(self, lanes: Sequence[Lane]) -> list[Trained | Failure]:
        """Returns what each lane came to; see `StackTrainer`.

        Raises:
            ConfigError: JAX is missing, the orders cannot be stacked, or one cannot be carried out.
            TrainingError: an environment gave NaN or infinity; this ends the whole stack.
        """
        if not lanes:
            return []
        first = _common(lanes)
        device = _device(lanes)
        _check_rungs(lanes, device.platform)
        mjx = device.platform != "cpu" if self._mjx is None else self._mjx
        made = _mjx_rollouts(lanes, device) if mjx else None
        with contextlib.closing(made or _rollouts(lanes)) as rollouts:
            plan = rollouts.plan
            rule = _rule(first.hyperparams, plan.policy)
            update = compiled(rule, plan.num_envs * plan.steps, device)
            stack = _Stack(lanes, rule, rollouts, update)
            with contextlib.closing(stack):
                return stack.run()


ppo = Fast()


def _common(lanes: Sequence[Lane]) -> Order:
    """Returns the first order, once the others differ only in what is each lane's own."""
    first, *others = (
        replace(lane.order, seed=0, logs=None, resume=None, checkpoint=None) for lane in lanes
    )
    for order in others:
        if order != first:
            raise ConfigError(
                "a stack of trainings: the orders differ in more than seed, logs and checkpoints; "
                "train them apart"
            )
    return lanes[0].order


def _check_rungs(lanes: Sequence[Lane], platform: str) -> None:
    if platform != "cpu" and any(lane.order.checkpoint or lane.order.resume for lane in lanes):
        raise ConfigError(
            f"checkpoints go on to the bit on the CPU alone, these trainings are on {platform}; "
            "train there in one go (without rungs), or with device: cpu"
        )


def _policy_spec(env: EnvSpec, size: int, hyperparams: Mapping[str, Any]) -> PolicySpec:
    return PolicySpec(
        kind="ppo",
        observation_size=size,
        hidden=tuple(hyperparams["net_arch"]),
        activation=hyperparams["activation"],
        use_sde=bool(hyperparams.get("use_sde", False)),
        **action_part(env.action),
    )


def _rule(hyperparams: Mapping[str, Any], spec: PolicySpec) -> Rule:
    """Returns what an update does by the hyperparameters of a preset.

    Raises:
        ConfigError: one is missing, unknown or unfit.
    """
    target_kl = hyperparams.get("target_kl")
    return Rule(
        spec=spec,
        batch_size=int(hyperparams["batch_size"]),
        n_epochs=int(hyperparams["n_epochs"]),
        clip_range=float(hyperparams["clip_range"]),
        ent_coef=float(hyperparams["ent_coef"]),
        vf_coef=float(hyperparams["vf_coef"]),
        max_grad_norm=float(hyperparams["max_grad_norm"]),
        normalize_advantage=bool(hyperparams.get("normalize_advantage", True)),
        target_kl=None if target_kl is None else float(target_kl),
    )


def _device(lanes: Sequence[Lane]) -> Any:
    """Returns the device of JAX; "auto" is a GPU where there is one and enough for it to do."""
    from rewardsmith.runs.training.trainers.fast_jax import jax_device, jax_gpu
    from rewardsmith.runs.training.trainers.fast_mjx import LEAST_WORLDS, has_form, mjx_solver

    order = lanes[0].order
    worlds = int(order.hyperparams["n_envs"]) * len(lanes)
    if order.device == "auto" and worlds >= LEAST_WORLDS and order.checkpoint is None:
        gpu = jax_gpu()
        if gpu is not None and has_form(order.env, mjx_solver(order.hyperparams)):
            return gpu
    return jax_device(order.device)


def _mjx_rollouts(lanes: Sequence[Lane], device: Any) -> "MjxRollouts | None":
    """Returns rollouts with physics on the device; None where MJX has no such environment.

    Raises:
        ConfigError: mujoco-mjx is missing, or cannot step this model.
    """
    from rewardsmith.envs.vector.mjx import mjx_task
    from rewardsmith.runs.training.trainers.fast_mjx import MjxRollouts, mjx_solver

    order = lanes[0].order
    task = mjx_task(order.env, solver=mjx_solver(order.hyperparams))
    if task is None:
        return None
    plan = _plan(order, task.observation_size)
    return MjxRollouts(plan, task, [first_seed(lane.order.seed) for lane in lanes], device)


def _plan(order: Order, observation_size: int) -> Plan:
    params = order.hyperparams
    return Plan(
        env=order.env,
        policy=_policy_spec(order.env, observation_size, params),
        num_envs=int(params["n_envs"]),
        steps=int(params["n_steps"]),
        normalize=bool(params["normalize_obs"]),
        sde_every=int(params.get("sde_sample_freq", -1)),
        hidden=order.hidden,
    )


def _rollouts(lanes: Sequence[Lane]) -> CpuRollouts:
    order = lanes[0].order
    num_envs = int(order.hyperparams["n_envs"])
    env = make_batched(order.env, num_envs * len(lanes))
    try:
        plan = _plan(order, env.observation_size)
        firsts = [first_seed(lane.order.seed) for lane in lanes]
        return CpuRollouts(plan, env, [range(seed, seed + num_envs) for seed in firsts])
    except BaseException:
        env.close()
        raise


class _Stack:
    """Lanes on their way: collect, reward, update, and again."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        rule: Rule,
        rollouts: "CpuRollouts | MjxRollouts",
        update: Update,
    ) -> None:
        order, plan = lanes[0].order, rollouts.plan
        self._order = order
        self._last = last_step(order)
        self._params = order.hyperparams
        self._rollouts: Rollouts = rollouts
        self._update = update
        self._lanes = [
            Learning(lane, rule, lambda k=k: rollouts.normalisation(k))  # type: ignore[misc]
            for k, lane in enumerate(lanes)
        ]
        self._steps = self._first = 0
        self._started = time.perf_counter()
        self._scales = None
        if self._params["normalize_reward"]:
            gamma = float(self._params["gamma"])
            self._scales = ReturnScales(len(lanes), plan.num_envs, gamma)
        self._sums = EpisodeSums(len(lanes), plan.num_envs)
        self._stacked = Stacked(rollouts, self._sums, self._scales)

    def run(self) -> list[Trained | Failure]:
        """Trains until every lane has ended."""
        self._steps = self._first = all_on(self._stacked, self._lanes)
        weights = np.stack([lane.learner.weights for lane in self._lanes])
        while self._steps < self._last and any(lane.outcome is None for lane in self._lanes):
            alive = np.array([lane.outcome is None for lane in self._lanes])
            rollout = self._rollouts.collect(weights, [lane.rng for lane in self._lanes], alive)
            self._steps += rollout.dones[:, 0].size
            rewards = self._rewards(rollout)
            # A lane that falls apart ends where its weights are looked at, without a warning.
            with np.errstate(over="ignore", invalid="ignore"):
                self._learn(rollout, rewards)
            for k, lane in enumerate(self._lanes):
                if lane.outcome is None:
                    weights[k] = lane.learner.weights
        return [self._ended(index, lane) for index, lane in enumerate(self._lanes)]

    def _ended(self, index: int, lane: Learning) -> Trained | Failure:
        if lane.outcome is None:
            keep(self._stacked, index, lane, self._steps)
            return Trained(lane.policy(), self._steps)
        return lane.outcome

    def _rewards(self, rollout: Rollout) -> Float32Array:
        """Returns (T, K, N) rewards, 0 in lanes that have ended."""
        rewards = np.zeros(rollout.dones.shape, np.float32)
        for k, lane in enumerate(self._lanes):
            if lane.outcome is None:
                mine = lane.rewarded(self._steps, rollout.steps[k])
                if mine is not None:
                    rewards[:, k] = mine
        ended = self._sums.finished(rewards, rollout.dones)
        for lane, episodes in zip(self._lanes, ended, strict=True):
            lane.recent.extend(episodes)
        return rewards

    def _learn(self, rollout: Rollout, rewards: Float32Array) -> None:
        if self._scales is not None:
            rewards = self._scales.scaled(rewards, rollout.dones)
        gamma = float(self._params["gamma"])
        gained = advantages(
            rewards + gamma * rollout.terminal_values,
            rollout.values,
            rollout.last_values,
            rollout.dones,
            gamma=gamma,
            gae_lambda=float(self._params["gae_lambda"]),
        )
        rate, scalars = self._rate(), self._scalars()
        for k, lane in enumerate(self._lanes):
            if lane.outcome is None:
                samples, values = _samples(rollout, gained, k)
                lane.learn(self._update, rate, samples, values)
            if lane.outcome is None:
                lane.updated(self._steps, scalars)

    def _rate(self) -> float:
        """Returns the learning rate by what is left of the training, after the rollout at hand."""
        rate = float(self._params["learning_rate"])
        if self._params.get("schedule", "constant") == "constant":
            return rate
        # The last rollout goes beyond the steps asked for; a negative rate would unlearn.
        return rate * max(0.0, 1.0 - self._steps / self._order.steps)

    def _scalars(self) -> dict[str, float]:
        spent = max(time.perf_counter() - self._started, 1e-9)
        found = {
            "time/fps": math.floor((self._steps - self._first) / spent),
            "train/learning_rate": self._rate(),
        }
        return found | {"time/compile_s": self._update.compile_s}

    def close(self) -> None:
        """Closes the logs."""
        for lane in self._lanes:
            lane.close()


def _samples(rollout: Rollout, gained: Float32Array, lane: int) -> tuple[Samples, Float32Array]:
    """Returns one lane's M = T * N rows, and the values (M,) they were expected to have."""

    def rows(column: Any) -> Any:
        mine = column[:, lane]
        return np.ascontiguousarray(mine.reshape(-1, *mine.shape[2:]))

    values, mine = rows(rollout.values), rows(gained)
    samples = Samples(
        observations=rows(rollout.observations),
        actions=rows(rollout.actions),
        log_probs=rows(rollout.log_probs),
        advantages=mine,
        returns=mine + values,
    )
    return samples, values
