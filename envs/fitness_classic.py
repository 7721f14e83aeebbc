"""Fitness of the Box2D and classic-control tasks, from simulator state that rewards never see."""

import numpy as np

from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score

PAD_HALF_WIDTH_M = 2.0
FIELD_HALF_WIDTH_M = 10.0
VALLEY_M, FLAG_M = -0.52, 0.45


def landing(episode: Episode) -> Score:
    """Grades one landing in [0, 1].

    1 for coming to rest between the flags; 0.6 for coming to rest outside them; else
    0.4 * exp(-distance / 5 m - speed / 5 m/s) at the last step: how near and how slow it ended.
    Computable from visible fields but for the moment of rest.
    """
    after = episode.steps.after
    x, height = float(after["pad_x"][-1]), float(after["pad_height"][-1])
    crashed, rests = bool(after["crashed"][-1]), bool(after["at_rest"][-1])
    if rests and not crashed:
        inside = abs(x) <= PAD_HALF_WIDTH_M
        return Score(1.0 if inside else 0.6, inside, "landed" if inside else "landed outside")
    distance, speed = float(np.hypot(x, height)), float(after["pad_speed"][-1])
    closeness = float(np.exp(-distance / 5.0 - speed / 5.0))
    return Score(0.4 * closeness, False, _how_it_ended(episode, crashed))


def _how_it_ended(episode: Episode, crashed: bool) -> str:
    if crashed:
        return "crashed"
    return "flew away" if episode.terminated else "time limit"


def walk(episode: Episode) -> Score:
    """Metres from the first to the last position along the track; success is its end.

    Computable from ``forward_velocity`` by summing, so the fitness is not secret from a reward.
    """
    steps = episode.steps
    metres = float(steps.after["track_x"][-1] - steps.before["track_x"][0])
    if bool(steps.after["fell"][-1]):
        return Score(metres, False, "fell")
    if episode.terminated:
        reached = metres > 0
        return Score(metres, reached, "end of the track" if reached else "left the track")
    return Score(metres, False, "time limit")


def climb(episode: Episode) -> Score:
    """In [0, 2]: 1 plus the share of 999 steps left when the flag is reached, else progress.

    Progress is the way from the valley's bottom to the flag, in [0, 1), of the farthest position.
    Computable from ``position``.
    """
    farthest = float(episode.steps.after["car_position"].max())
    if episode.terminated:
        left = max(0.0, 1.0 - episode.length / 999.0)
        return Score(1.0 + left, True, "reached the flag")
    progress = (farthest - VALLEY_M) / (FLAG_M - VALLEY_M)
    return Score(float(np.clip(progress, 0.0, 0.999)), False, "time limit")
