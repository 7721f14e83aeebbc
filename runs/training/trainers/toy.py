"""Search over linear policies in NumPy alone: trains a small task in a fraction of a second.

The cross-entropy method (Rubinstein 1999; for policies Szita and Lorincz 2006): draw policies
around a mean, keep the best, move the mean there. It exists so that everything around a training
can be tried in milliseconds; the reward takes the same deferred path as with every other trainer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from rewardsmith.envs.collect import steps_of
from rewardsmith.envs.recorder import KEY, Recorder, Row, make_env
from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.errors import ConfigError, TrainingError
from rewardsmith.runs.training.policy import Policy, PolicySpec, action_part, shapes
from rewardsmith.runs.training.trainers import Order, Trained, Watch
from rewardsmith.runs.training.trainers.checkpoints import last_step, load, save
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardSource


class LinearSearch:
    """The cross-entropy method over the weights of one affine map."""

    def train(self, order: Order, reward: RewardSource, watch: Watch) -> Trained | Failure:
        """Returns the mean policy of the last generation, or what the reward program did wrong."""
        population = int(order.hyperparams["population"])
        envs = [make_env(order.env) for _ in range(population)]
        try:
            return _search(order, envs, reward, watch)
        finally:
            for env in envs:
                env.close()


search = LinearSearch()


@dataclass
class _Belief:
    """Mean and deviation of the weights, (size,) each."""

    mean: FloatArray
    deviation: FloatArray

    def update(self, drawn: FloatArray, scores: FloatArray, elite: int) -> None:
        best = drawn[np.argsort(-scores, kind="stable")[:elite]]
        self.mean = best.mean(axis=0)
        # A floor keeps the search alive where all of the best agree early.
        self.deviation = best.std(axis=0) + 0.05


def _search(
    order: Order, envs: list[Recorder], reward: RewardSource, watch: Watch
) -> Trained | Failure:
    spec = _policy_spec(order.env, envs[0])
    size = sum(int(np.prod(shape)) for shape in shapes(spec).values())
    rng = np.random.default_rng([order.seed, 0x746F79])
    belief = _Belief(np.zeros(size), np.full(size, float(order.hyperparams["spread"])))
    steps = 0 if order.resume is None else _go_on(order, belief, rng)
    while steps < last_step(order):
        drawn = belief.mean + belief.deviation * rng.standard_normal((len(envs), size))
        policies = [_policy(spec, weights) for weights in drawn]
        starts = rng.integers(2**31, 3 * 2**30, size=int(order.hyperparams["episodes"])).tolist()
        rows = _play(envs, policies, order, starts)
        steps += rows.rows
        batch = reward.rewards(rows, carry=True)
        if isinstance(batch, Failure):
            return batch
        watch.rewarded(steps, batch)
        # Per step, not per episode: else an early end would pay wherever rewards are negative.
        scores = batch.total.reshape(-1, len(envs)).mean(axis=0)
        belief.update(drawn, scores, _elite(order.hyperparams, len(envs)))
        watch.updated(steps, lambda: _policy(spec, belief.mean), lambda: _spread(belief))
    if order.checkpoint is not None:
        arrays = {"mean": belief.mean, "deviation": belief.deviation}
        save(
            order.checkpoint, order, "toy", arrays, {"steps": steps, "rng": rng.bit_generator.state}
        )
    return Trained(_policy(spec, belief.mean), steps)


def _go_on(order: Order, belief: _Belief, rng: np.random.Generator) -> int:
    """Puts belief and generator back to where a checkpoint left them; returns its env steps.

    That is all there is: every generation starts its episodes anew, so neither an environment nor
    a reward's memory goes on from one to the next.
    """
    assert order.resume is not None
    arrays, facts = load(order.resume, order, "toy")
    try:
        if {arrays[name].shape for name in ("mean", "deviation")} != {belief.mean.shape}:
            raise ValueError("sizes of another policy")
        belief.mean, belief.deviation = arrays["mean"], arrays["deviation"]
        rng.bit_generator.state = facts["rng"]
        return int(facts["steps"])
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{order.resume}: no checkpoint of this trainer: {error}") from error


def _elite(hyperparams: Mapping[str, Any], population: int) -> int:
    return max(1, min(int(hyperparams["elite"]), population))


def _spread(belief: _Belief) -> float:
    return float(belief.deviation.mean())


def _policy_spec(env: EnvSpec, made: Recorder) -> PolicySpec:
    space = made.observation_space
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(f"the toy trainer wants observations from a Box, {env.id} has {space}")
    size = int(np.prod(space.shape))
    return PolicySpec(kind="linear", observation_size=size, **action_part(env.action))


def _policy(spec: PolicySpec, weights: FloatArray) -> Policy:
    flat, arrays, start = weights.astype(np.float32), {}, 0
    for name, shape in shapes(spec).items():
        stop = start + int(np.prod(shape))
        arrays[name] = flat[start:stop].reshape(shape)
        start = stop
    return Policy(spec, arrays)


def _play(envs: list[Recorder], policies: list[Policy], order: Order, seeds: list[int]) -> Steps:
    """Plays each policy in its environment, from the same starts, one time limit of steps each."""
    rows: list[Row] = []
    actions: list[npt.NDArray[Any]] = []
    ends: list[tuple[bool, bool]] = []
    for seed in seeds:
        observations = [env.reset(seed=seed)[0] for env in envs]
        for _ in range(order.env.max_steps):
            for i, env in enumerate(envs):
                action = policies[i](observations[i])
                observations[i], _, terminated, truncated, info = env.step(action)
                rows.append(info[KEY])
                actions.append(action)
                ends.append((terminated, truncated))
                if terminated or truncated:
                    observations[i], _ = env.reset()
    terminated_, truncated_ = np.array(ends).T
    return steps_of(
        rows,
        len(envs),
        order.env,
        action=np.array(actions),
        terminated=terminated_,
        truncated=truncated_,
        hidden=order.hidden,
    )
