"""Judges an episode of CartPole: seconds upright with the cart near the middle of the track."""

import numpy as np

from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score

NEAR_M = 0.5


def fitness(episode: Episode) -> Score:
    """Seconds that the pole was upright with the cart within 0.5 m of the middle."""
    fields = episode.steps.after
    good = (fields["pole_height"] > 0.95) & (np.abs(fields["cart_position"]) < NEAR_M)
    seconds = float(good.sum() * episode.dt)
    fell = episode.terminated
    return Score(fitness=seconds, success=not fell, outcome="fell" if fell else "time limit")
