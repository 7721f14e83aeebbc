"""The fitness of a task that brings none: the return of the environment's own reward."""

from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score


def native_return(episode: Episode) -> Score:
    """Returns the undiscounted sum of the environment's own reward over the episode."""
    ended = "terminated" if episode.terminated else "time limit"
    return Score(float(episode.steps.native_reward.sum()), None, ended)
