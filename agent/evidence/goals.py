"""What a good policy of a task would do, as far as a bank shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.lasting import Course, kept_up, windows
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode
from rewardsmith.envs.task import Task

_MOST_STRETCHES = 300
_GOOD_STRETCHES = 3


@dataclass(frozen=True)
class Goal:
    """Examples of good behaviour, from the start of each, and from near its end.

    Where successes are stored they are the examples (``succeeded``); ``finishes`` says whether
    success ends an episode, else its last steps go on to the horizon. Without any success they are
    the fittest stretches of simulated steps, as if they went on to the horizon.
    Less than ``fitness_bar`` is clearly not good.
    """

    whole: tuple[Course, ...]
    endings: tuple[Course, ...]
    remaining: int  # steps from where the endings begin to the horizon
    fitness_bar: float
    succeeded: bool
    finishes: bool


def goal_of(task: Task, bank: Stored) -> Goal | None:
    """Returns the examples of a bank, or None where no fitness differs.

    Raises:
        TrainingError: the fitness cannot judge a stretch of steps.
    """
    judged = [e for e in bank.simulated if e.fitness is not None]
    if not judged or len({e.fitness for e in judged}) == 1:
        return None
    successes = [e for e in judged if e.success]
    if successes:
        return _of_successes(task, bank, successes, judged)
    return _of_stretches(task, bank, judged)


def stretch_length(task: Task) -> int:
    """Returns the number of steps of a stretch that shows how a behaviour goes on."""
    return min(max(task.env.max_steps // 20, 5), 50)


def _of_successes(
    task: Task,
    bank: Stored,
    successes: Sequence[StoredEpisode],
    judged: Sequence[StoredEpisode],
) -> Goal:
    near, horizon = stretch_length(task), task.env.max_steps
    own = [np.arange(episode.first, episode.stop) for episode in successes]
    ended = [bool(bank.steps.terminated[episode.stop - 1]) for episode in successes]
    finishes = 2 * sum(ended) > len(ended)
    whole = tuple(
        rows if end else kept_up(rows, min(near, len(rows)), horizon)
        for rows, end in zip(own, ended, strict=True)
    )
    length = int(np.median([len(rows) for rows in whole]))
    fitness = float(np.median([e.fitness for e in successes if e.fitness is not None]))
    return Goal(
        whole=tuple(map(Course, whole)),
        endings=tuple(Course(rows[-near:]) for rows in whole),
        remaining=max(horizon - length, 0) + near,
        fitness_bar=(fitness + _usual([e for e in judged if not e.success], fitness)) / 2,
        succeeded=True,
        finishes=finishes,
    )


def _of_stretches(task: Task, bank: Stored, judged: Sequence[StoredEpisode]) -> Goal | None:
    length = stretch_length(task)
    found = windows(task, bank, judged, length, most=_MOST_STRETCHES)
    ordered = sorted(found, key=lambda item: item.score.fitness)
    if not ordered:
        return None
    usual, best = ordered[(len(ordered) - 1) // 2].score.fitness, ordered[-1].score.fitness
    good = tuple(item.course(task.env.max_steps) for item in ordered[-_GOOD_STRETCHES:])
    return Goal(
        whole=good,
        endings=good,
        remaining=task.env.max_steps,
        fitness_bar=(best + usual) / 2,
        succeeded=False,
        finishes=False,
    )


def _usual(episodes: Sequence[StoredEpisode], otherwise: float) -> float:
    known = [episode.fitness for episode in episodes if episode.fitness is not None]
    return float(np.median(known)) if known else otherwise
