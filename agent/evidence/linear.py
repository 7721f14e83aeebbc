"""Linear policies found by random search: episodes of different fitness before any training.

Source: linear maps of standardised observations reach good locomotion by random search alone
(Mania, Guy and Recht 2018, "Simple random search of static linear policies is competitive for
reinforcement learning"). Here the best few are kept and perturbed instead of a gradient estimated:
no step size has to fit the scale of a task's fitness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.selection import spread_order, within
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.side_by_side import Controls, Rows, play_all
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import EnvSpec, FloatArray, Score, Task

Judged = tuple[Episode, Score]
SEARCH_STEPS = 24_000  # environment steps of the search, at most
_SEARCH_EPISODES = 200  # so many whole episodes at most
_TOGETHER = 16  # policies of a round
_ELITE = 4
_SEARCHED = 400  # steps of an episode in the search, at most
_START_STEPS = 20  # what beginning an episode costs, in steps: short ones are many
_EPISODE_STEPS = 100  # short episodes: several of each policy, of about so many steps in all
_NOISE = 0.1  # of half the action's range: exploration keeps states and actions from being one
_CHANCE = 0.05  # the same for discrete actions: a random one
_CLIP = 5.0
_MOST_STORED = 64
_CHUNK = 8


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the observations of random actions, (D,) each."""

    mean: FloatArray
    std: FloatArray

    def __call__(self, observations: FloatArray) -> FloatArray:
        """Returns (n, D + 1): standardised, clipped, and a 1 for the bias."""
        flat = np.clip((observations - self.mean) / self.std, -_CLIP, _CLIP)
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def linear_episodes(
    task: Task, *, steps: int | None = None, rows: int = 8_000, seed: int = 0
) -> tuple[Judged, ...]:
    """Returns whole episodes of linear policies from the best found to the worst, with noise.

    Args:
        task: whose environment is played and whose fitness guides the search.
        steps: environment steps to search with, about; a number that fits the task by default.
        rows: steps returned, at most (but for one episode).
        seed: of everything random.

    Raises:
        ConfigError: the environment cannot be made, or the fitness cannot be loaded.
        TrainingError: the simulation blew up, or the fitness is not finite.
    """
    rng = np.random.default_rng([seed, 17])
    scale = _observed(task.env, rng, seed)
    steps = steps or min(SEARCH_STEPS, _SEARCH_EPISODES * task.env.max_steps)
    weights, fitness = _searched(task, scale, steps, rng, seed)
    return _stored(task, scale, weights[_order(fitness)], rows, rng, seed)


def linear_controls(
    spec: EnvSpec, scale: Scale, weights: FloatArray, rng: np.random.Generator, longest: int
) -> Controls:
    """Returns noisy linear policies side by side: row i acts by ``weights[i]`` (A, D + 1)."""
    count = len(weights)
    if spec.action.count is not None:
        chance = rng.random((count, longest)) < _CHANCE
        choices = rng.integers(spec.action.count, size=(count, longest))

        def choose(rows: Rows, observations: FloatArray, step: int) -> npt.NDArray[Any]:
            best = np.einsum("nad,nd->na", weights[rows], scale(observations)).argmax(axis=1)
            chosen: npt.NDArray[Any] = np.where(chance[rows, step], choices[rows, step], best)
            return chosen

        return choose
    low, high = (np.array(bound) for bound in (spec.action.low, spec.action.high))
    noise = _NOISE * rng.standard_normal((count, longest, len(low)))

    def push(rows: Rows, observations: FloatArray, step: int) -> npt.NDArray[Any]:
        out = np.einsum("nad,nd->na", weights[rows], scale(observations)) + noise[rows, step]
        pushed: FloatArray = (low + high) / 2 + out * (high - low) / 2
        return pushed.reshape(-1, *spec.action.shape)

    return push


def _observed(spec: EnvSpec, rng: np.random.Generator, seed: int) -> Scale:
    """Returns the scale of what random actions lead to."""
    seen: list[FloatArray] = []

    def random(rows: Rows, observations: FloatArray, step: int) -> npt.NDArray[Any]:
        seen.append(observations)
        if spec.action.count is not None:
            return rng.integers(spec.action.count, size=len(rows))
        drawn = rng.uniform(spec.action.low, spec.action.high, (len(rows), len(spec.action.low)))
        return drawn.reshape(-1, *spec.action.shape)

    play_all(spec, random, _seeds(seed, 0, _CHUNK), longest=60)
    whole = np.concatenate(seen)
    std = whole.std(axis=0)
    return Scale(whole.mean(axis=0), np.where(std > 1e-6, std, 1.0))


def _searched(
    task: Task, scale: Scale, steps: int, rng: np.random.Generator, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Returns all policies tried (M, A, D + 1) and their fitness (M,)."""
    outputs = task.env.action.count or len(task.env.action.low)
    width = len(scale.mean) + 1
    size = 10 ** rng.uniform(-0.5, 0.5, (_TOGETHER, 1, 1)) / np.sqrt(width)
    fresh = size * rng.standard_normal((_TOGETHER, outputs, width))
    repeats = max(1, _EPISODE_STEPS // task.env.max_steps)
    # The same starts for all, or luck would choose.
    seeds = _seeds(seed, _CHUNK, repeats) * _TOGETHER
    tried, fitness = fresh[:0], np.zeros(0)
    while steps > 0:
        judged = _judged(task, scale, fresh.repeat(repeats, axis=0), seeds, rng, _SEARCHED)
        values = np.array([score.fitness for _, score in judged])
        lengths = [episode.length for episode, _ in judged]
        # Side by side, all take nearly as long as the longest.
        steps -= (sum(lengths) + len(lengths) * max(lengths)) // 2 + len(lengths) * _START_STEPS
        tried = np.concatenate([tried, fresh])
        fitness = np.concatenate([fitness, values.reshape(_TOGETHER, repeats).mean(axis=1)])
        fresh = _perturbed(tried[np.argsort(-fitness, kind="stable")[:_ELITE]], rng)
    return tried, fitness


def _perturbed(best: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Returns changed copies of the best policies, by a tenth of their size up to all of it."""
    parents = best[np.arange(_TOGETHER) % len(best)]
    size = np.sqrt((parents**2).mean(axis=(1, 2), keepdims=True))
    share = 10 ** rng.uniform(-1.0, 0.0, size.shape)
    changed: FloatArray = parents + share * size * rng.standard_normal(parents.shape)
    return changed


def _order(fitness: FloatArray) -> list[int]:
    """Returns all policies: good ones and a spread over all in turn, each once."""
    best = np.argsort(-fitness, kind="stable").tolist()
    both = zip(best, spread_order(fitness), strict=True)
    return list(dict.fromkeys(number for pair in both for number in pair))


def _stored(
    task: Task, scale: Scale, weights: FloatArray, rows: int, rng: np.random.Generator, seed: int
) -> tuple[Judged, ...]:
    """Plays whole episodes of ``weights`` in their order until there are enough steps."""
    found: list[Judged] = []
    for first in range(0, min(len(weights), _MOST_STORED), _CHUNK):
        chunk = weights[first : first + _CHUNK]
        seeds = _seeds(seed, 1_000 + first, len(chunk))
        found += _judged(task, scale, chunk, seeds, rng, task.env.max_steps)
        if sum(episode.length for episode, _ in found) >= rows:
            break
    kept = within(range(len(found)), [episode.length for episode, _ in found], rows)
    return tuple(found[number] for number in kept)


def _judged(
    task: Task,
    scale: Scale,
    weights: FloatArray,
    seeds: Sequence[int],
    rng: np.random.Generator,
    longest: int,
) -> list[Judged]:
    longest = min(longest, task.env.max_steps)
    controls = linear_controls(task.env, scale, weights, rng, longest)
    episodes = play_all(task.env, controls, seeds, longest=longest)
    return list(zip(episodes, judge(task, episodes), strict=True))


def _seeds(seed: int, first: int, count: int) -> list[int]:
    """Returns reset seeds that no training, no judgement and no random episode uses."""
    start = 3 * 2**30 + (seed * 2_000 + first) % 2**29
    return list(range(start, start + count))
