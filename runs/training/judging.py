"""The judgement of a policy: episodes on given seeds, scored by the task's fitness."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from rewardsmith.envs.collect import Act, random_act, rollout
from rewardsmith.envs.fitness import load_fitness
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import EnvSpec, Score, Task
from rewardsmith.errors import TrainingError
from rewardsmith.runs.records import EpisodeSummary, Record

SNAPSHOT_EVERY = 10
STORED_EPISODES = 10
_SAMPLES = 10


class Judging(Record):
    """All that the judging process is told: the task and the seeds, and no word of a reward.

    ``random_seed`` asks for the uniformly random policy instead of the trained one.
    """

    task: Task
    eval_seeds: tuple[int, ...]
    random_seed: int | None = None


class Judgement(Record):
    """What the judged episodes came to; ``episodes`` without the trained reward."""

    fitness: float
    fitness_std: float
    success_rate: float | None
    outcomes: dict[str, int]
    episodes: tuple[EpisodeSummary, ...]


def flat(policy: Callable[[Any], Any], spec: EnvSpec) -> Act:
    """Returns the policy for the environment's observations as they come, whatever their space."""
    from rewardsmith.envs.recorder import make_env

    env = make_env(spec)
    space = env.observation_space
    env.close()
    if isinstance(space, gym.spaces.Box):
        return policy
    return lambda observation: policy(gym.spaces.flatten(space, observation))


def play(judging: Judging, act: Act) -> tuple[Episode, ...]:
    """Plays the judged episodes, with simulator snapshots where there are any."""
    spec = judging.task.env
    if judging.random_seed is not None:
        act = random_act(spec, judging.random_seed)
    return rollout(spec, act, judging.eval_seeds, snapshot_every=SNAPSHOT_EVERY)


def judge(task: Task, episodes: Sequence[Episode]) -> Judgement:
    """Scores the episodes with the task's own fitness.

    Raises:
        TrainingError: the fitness gives something that is not finite.
        ConfigError: the fitness cannot be loaded.
    """
    measure = load_fitness(task.fitness)
    scores = [measure(episode) for episode in episodes]
    values = np.array([score.fitness for score in scores], dtype=np.float64)
    if not np.isfinite(values).all():
        raise TrainingError(
            f"{task.id}: the fitness gave {values.tolist()}; finite values are wanted"
        )
    return Judgement(
        fitness=float(values.mean()),
        fitness_std=float(values.std()),
        success_rate=success_rate(scores),
        outcomes=dict(Counter(score.outcome for score in scores)),
        episodes=tuple(
            _summary(task, episode, score) for episode, score in zip(episodes, scores, strict=True)
        ),
    )


def success_rate(scores: Sequence[Score]) -> float | None:
    """Returns the share of successes among the episodes that can tell, None if none can."""
    told = [score.success for score in scores if score.success is not None]
    return float(np.mean(told)) if told else None


def _summary(task: Task, episode: Episode, score: Score) -> EpisodeSummary:
    """Sums up one episode by the card's scalar fields; hidden ones never get near a prompt."""
    at = np.unique(np.linspace(0, episode.length - 1, _SAMPLES).round().astype(int))
    shown = [item.name for item in task.env.fields if item.shape == ()]
    scalars = {name: episode.steps.after[name] for name in shown}
    return EpisodeSummary(
        seed=episode.seed,
        fitness=float(score.fitness),
        success=None if score.success is None else bool(score.success),
        outcome=score.outcome,
        length=episode.length,
        reward_return=None,
        component_returns={},
        fields={name: tuple(values[at].tolist()) for name, values in scalars.items()},
    )
