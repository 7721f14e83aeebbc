"""Running statistics, scaled rewards and advantages of K stacked trainings, in NumPy.

Lanes lie along the first axis of every state and never mix: each gets the same bits as alone. The
numbers are those of Stable-Baselines3's ``RunningMeanStd``, ``VecNormalize`` and ``RolloutBuffer``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.runs.training.policy import Float32Array

Arrays = dict[str, npt.NDArray[Any]]
CLIP = 10.0
EPSILON = 1e-8


class Moments:
    """Running mean and variance of each lane, (K, *shape); ``count`` is common to all."""

    def __init__(self, lanes: int, shape: tuple[int, ...] = ()) -> None:
        self.mean = np.zeros((lanes, *shape))
        self.var = np.ones((lanes, *shape))
        self.count = 1e-4

    def update(self, values: FloatArray) -> None:
        """Adds ``values`` (K, n, *shape), n of each lane."""
        rows = values.shape[1]
        mean = np.add.reduce(values, axis=1) / rows
        centred = values - mean[:, None]
        var = np.add.reduce(np.multiply(centred, centred, out=centred), axis=1) / rows
        delta = mean - self.mean
        total = self.count + rows
        self.mean = self.mean + delta * rows / total
        squares = self.var * self.count + var * rows
        squares += np.square(delta) * self.count * rows / total
        self.var = squares / total
        self.count = total

    def normalised(self, values: FloatArray) -> Float32Array:
        """Returns ``values`` (K, n, *shape) centred, scaled and clipped, as float32."""
        centred = values - self.mean[:, None]
        centred /= np.sqrt(self.var + EPSILON)[:, None]
        found: Float32Array = clipped(centred, CLIP).astype(np.float32)
        return found

    def kept(self, lane: int) -> Arrays:
        """Returns all that one lane's next call depends on."""
        return {"mean": self.mean[lane], "var": self.var[lane], "count": np.array(self.count)}

    def put_back(self, lane: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes what `kept` returned; every lane of a stack has seen as much."""
        self.mean[lane], self.var[lane] = arrays["mean"], arrays["var"]
        self.count = float(arrays["count"])


def clipped(values: Any, most: float) -> Any:
    """Returns ``values``, changed in place, within -most and most; NaN stays NaN."""
    return np.minimum(np.maximum(values, -most, out=values), most, out=values)


class ReturnScales:
    """Divides each lane's rewards by the running deviation of its discounted return."""

    def __init__(self, lanes: int, num_envs: int, gamma: float) -> None:
        self.returns = np.zeros((lanes, num_envs))
        self.moments = Moments(lanes)
        self._gamma = gamma

    def scaled(self, rewards: Float32Array, dones: BoolArray) -> Float32Array:
        """Returns (T, K, N) rewards, each scaled by what was known at its time."""
        out = np.empty_like(rewards)
        for t, row in enumerate(rewards):
            self.returns = self.returns * self._gamma + row
            self.moments.update(self.returns)
            deviation = np.sqrt(self.moments.var + EPSILON)
            out[t] = clipped(row / deviation[:, None], CLIP)
            self.returns[dones[t]] = 0
        return out

    def kept(self, lane: int) -> Arrays:
        """Returns all that one lane's next call depends on."""
        return {"returns": self.returns[lane], **self.moments.kept(lane)}

    def put_back(self, lane: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes what `kept` returned."""
        self.returns[lane] = arrays["returns"]
        self.moments.put_back(lane, arrays)


class EpisodeSums:
    """Reward and steps so far of the episodes under way, (K, N) each."""

    def __init__(self, lanes: int, num_envs: int) -> None:
        self.returns = np.zeros((lanes, num_envs))
        self.lengths = np.zeros((lanes, num_envs), dtype=np.int64)

    def finished(self, rewards: Float32Array, dones: BoolArray) -> list[list[tuple[float, int]]]:
        """Returns each lane's (return, length) of episodes that ended in (T, K, N) steps."""
        ended: list[list[tuple[float, int]]] = [[] for _ in self.returns]
        for t in range(len(rewards)):
            self.returns += rewards[t]
            self.lengths += 1
            if not dones[t].any():
                continue
            for lane, env in np.argwhere(dones[t]):
                length = int(self.lengths[lane, env])
                ended[lane].append((float(self.returns[lane, env]), length))
            self.returns[dones[t]] = 0.0
            self.lengths[dones[t]] = 0
        return ended

    def kept(self, lane: int) -> Arrays:
        """Returns all that one lane's next call depends on."""
        return {"returns": self.returns[lane], "lengths": self.lengths[lane]}

    def put_back(self, lane: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes what `kept` returned."""
        self.returns[lane], self.lengths[lane] = arrays["returns"], arrays["lengths"]


def advantages(
    rewards: Float32Array,
    values: Float32Array,
    last_values: Float32Array,
    dones: BoolArray,
    *,
    gamma: float,
    gae_lambda: float,
) -> Float32Array:
    """Returns generalised advantages (T, ...), Schulman et al. 2015.

    Args:
        rewards: (T, ...), with gamma * V(terminal) added where time ran out.
        values: (T, ...) of the observations acted on.
        last_values: (...) of the observations after the last step.
        dones: (T, ...) whether the step ended its episode.
        gamma: discount.
        gae_lambda: weight of later errors.
    """
    out = np.empty_like(rewards)
    following = last_values
    last = np.zeros_like(last_values)
    for t in reversed(range(len(rewards))):
        alive = 1.0 - dones[t].astype(np.float32)
        delta = rewards[t] + gamma * following * alive - values[t]
        last = delta + gamma * gae_lambda * alive * last
        out[t], following = last, values[t]
    return out


def explained_variance(values: Float32Array, returns: Float32Array) -> float:
    """Returns 1 - var(returns - values) / var(returns); NaN where all returns are equal."""
    spread = float(np.var(returns))
    return float("nan") if spread == 0 else float(1 - np.var(returns - values) / spread)
