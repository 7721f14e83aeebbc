"""One training of a stack: what it learns with, what it has come to, and what it tells."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.runs.training.policy import Float32Array, Normalisation, Policy, checked
from rewardsmith.runs.training.trainers import Lane, Trained
from rewardsmith.runs.training.trainers import fast_network as network
from rewardsmith.runs.training.trainers.divergence import WEIGHTS, diverged, single_precision
from rewardsmith.runs.training.trainers.fast_log import (
    WINDOW,
    Board,
    episode_scalars,
    reward_scalars,
)
from rewardsmith.runs.training.trainers.fast_returns import explained_variance
from rewardsmith.runs.training.trainers.fast_update import (
    STATS,
    Rule,
    Samples,
    Told,
    Update,
    beginner,
)
from rewardsmith.runs.training.trainers.underway import Underway
from rewardsmith.sandbox.failure import Failure

Statistics = Callable[[], Normalisation | None]


class Learning:
    """The mutable side of a `Lane`: generator, learner, log; ``outcome`` once it has ended."""

    def __init__(self, lane: Lane, rule: Rule, statistics: Statistics) -> None:
        self.order = lane.order
        self.rng = np.random.default_rng([lane.order.seed, 0x66617374])
        log_std = float(lane.order.hyperparams.get("log_std_init", 0.0))
        self.learner = beginner(network.initial(rule.spec, log_std, self.rng))
        self.recent: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self.outcome: Trained | Failure | None = None
        self.underway = Underway()
        self._lane = lane
        self._rule = rule
        self._statistics = statistics
        self._board = Board(lane.order.logs)

    def rewarded(self, steps: int, rollout_steps: Any) -> Float32Array | None:
        """Returns a rollout's rewards (T, N), None where the reward failed and ended the lane."""
        if self.order.checkpoint is not None:
            self.underway.add(rollout_steps)
        batch = self._lane.reward.rewards(rollout_steps, carry=True)
        if isinstance(batch, Failure):
            self.outcome = batch
            return None
        raw = single_precision(batch, rollout_steps.num_envs)
        if isinstance(raw, Failure):
            self.outcome = raw
            return None
        self._lane.watch.rewarded(steps, batch)
        self._board.record(reward_scalars(batch))
        return raw

    def remember(self, underway: Mapping[str, npt.NDArray[Any]], num_envs: int) -> None:
        """Has a reward with memory live through the episodes under way again.

        A program that fails on what it was right on before ends the lane.
        """
        self.underway.put_back(underway, num_envs)
        if self.underway.steps is not None:
            batch = self._lane.reward.rewards(self.underway.steps, carry=True)
            self.outcome = batch if isinstance(batch, Failure) else None

    def learn(self, update: Update, rate: float, samples: Samples, values: Float32Array) -> None:
        """Updates the policy; weights that are not finite end the lane.

        Args:
            update: the compiled program.
            rate: learning rate.
            samples: the lane's rollout, M rows.
            values: (M,) what the critic had expected.
        """
        rows = len(samples.returns)
        orders = [self.rng.permutation(rows) for _ in range(self._rule.n_epochs)]
        self.learner, told = update(
            self.learner, rate, samples, np.array(orders, dtype=np.int32).reshape(-1, rows)
        )
        self._board.record(self._scalars(told, explained_variance(values, samples.returns)))
        if not np.isfinite(self.learner.weights).all():
            self.outcome = diverged(WEIGHTS)

    def _scalars(self, told: Told, explained: float) -> dict[str, float]:
        found = {f"train/{name}": value for name, value in means(told).items()}
        found["train/explained_variance"] = explained
        found["train/clip_range"] = self._rule.clip_range
        spread = self._deviation()
        return found if spread is None else found | {"train/std": spread}

    def updated(self, steps: int, scalars: Mapping[str, float]) -> None:
        """Tells the watch of the new policy, and writes the log of the rollout and its update."""
        self._board.record(scalars)
        self._board.record(episode_scalars(self.recent))
        self._board.record(self._lane.watch.updated(steps, self.policy, self._spread))
        self._board.write(steps)

    def policy(self) -> Policy:
        """Returns the present policy, a copy."""
        spec = self._rule.spec.model_copy(update={"normalisation": self._statistics()})
        named = network.unpacked(spec, np.array(self.learner.weights))
        return checked(spec, named)

    def _deviation(self) -> float | None:
        if self._rule.spec.count is not None:
            return None
        log_std = network.unpacked(self._rule.spec, self.learner.weights)["log_std"]
        return float(np.exp(log_std).mean())

    def _spread(self) -> float | None:
        return None if self._rule.spec.use_sde else self._deviation()

    def close(self) -> None:
        """Closes the log."""
        self._board.close()


def means(told: Told) -> dict[str, float]:
    """Returns the means of `STATS` over the minibatches that ran, as Stable-Baselines3 logs them.

    ``approx_kl`` is that of the last epoch and ``loss`` that of the last minibatch.
    """
    stats, ran = told
    found = dict(zip(STATS, stats[ran].mean(axis=0).tolist(), strict=True))
    last = int(np.flatnonzero(ran.any(axis=1))[-1])
    rows = stats[last][ran[last]]
    found["approx_kl"] = float(rows[:, STATS.index("approx_kl")].mean())
    found["loss"] = float(rows[-1, STATS.index("loss")])
    return found
