"""How episodes of the built-in tasks are judged: trusted code over fields and hidden fields.

Each function maps an ``Episode`` to a ``Score``; unit and meaning stand in the task's card. What a
step did is ``after[t] - before[t]``, so the terminal step counts and nothing after it does.
"""

import numpy as np

from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import FloatArray, Score

_REACHED_M = 0.02
_FAR_END_M = 80.0  # the track of BipedalWalker is about 84 m long
_GOAL = 0.45  # MountainCarContinuous
_PAD_HALF_WIDTH_M = 2.0
_ON_GROUND_M = 0.1
_UPRIGHT_RAD = 0.3
_LAST_STEPS = 10


def distance(episode: Episode) -> Score:
    """Metres travelled along x until the task ended the episode (a fall) or the time limit did."""
    return Score(float(_advance(episode).sum()), None, _fell(episode))


def upright_distance(episode: Episode) -> Score:
    """Metres travelled along x in steps that ended with ``torso_up`` > 0 ."""
    upright = episode.steps.after["torso_up"] > 0.0
    outcome = _fell(episode)
    if float(np.mean(upright)) < 0.5:
        outcome = "on its back"
    return Score(float(_advance(episode)[upright].sum()), None, outcome)


def seconds_upright(episode: Episode) -> Score:
    """Seconds until the poles fell, or the length of the episode if they never did."""
    # The environment tells a fall from a tip position that is up to a substep old: either counts.
    fallen = (episode.steps.after["fallen"] > 0.0) | episode.steps.terminated
    fell = bool(fallen.any())
    steps = int(np.argmax(fallen)) if fell else episode.length
    return Score(steps * episode.dt, not fell, "fell" if fell else "time limit")


def reach(episode: Episode) -> Score:
    """Minus the mean distance to the target (m) over the last 10 steps; success within 2 cm."""
    miss = float(np.mean(episode.steps.after["miss"][-_LAST_STEPS:]))
    reached = miss < _REACHED_M
    return Score(-miss, reached, "reached" if reached else "missed")


def landing(episode: Episode) -> Score:
    """A score from 0 to 1 for how the episode of a lander ended.

    At rest between the flags 1; still moving on the pad at the time limit 0.8; at rest elsewhere
    0.4 + 0.3 * exp(-distance from the pad's edge / 2 m); else 0.3 times the product of
    exp(-distance from the pad / 3 m), exp(-speed / 3 m/s) and exp(-|tilt| / 0.5 rad).
    """
    # Leg contacts are no evidence: the simulator lets go of them when the lander falls asleep.
    last = {name: float(values[-1]) for name, values in episode.steps.after.items()}
    beside = max(abs(last["x"]) - _PAD_HALF_WIDTH_M, 0.0)
    if last["crashed"] > 0.0:
        return Score(_nearness(last, beside), False, "crashed")
    if last["at_rest"] > 0.0 and beside == 0.0:
        return Score(1.0, True, "landed")
    if last["at_rest"] > 0.0:
        return Score(0.4 + 0.3 * float(np.exp(-beside / 2.0)), False, "landed outside")
    if episode.terminated:
        return Score(_nearness(last, beside), False, "flew away")
    if beside == 0.0 and last["height"] < _ON_GROUND_M and abs(last["angle"]) < _UPRIGHT_RAD:
        return Score(0.8, False, "on the pad, moving")
    return Score(_nearness(last, beside), False, "time limit")


def _nearness(last: dict[str, float], beside: float) -> float:
    away = float(np.hypot(beside, last["height"]))
    speed = float(np.hypot(last["x_velocity"], last["vertical_velocity"]))
    return 0.3 * float(np.exp(-away / 3.0 - speed / 3.0 - abs(last["angle"]) / 0.5))


def biped_distance(episode: Episode) -> Score:
    """Metres travelled along x; success at the far end of the track."""
    metres = float(_advance(episode).sum())
    arrived = metres > _FAR_END_M and episode.terminated
    fell = bool(episode.steps.after["fallen"][-1] > 0.0)
    ended = "left the track" if episode.terminated else "time limit"
    outcome = "fell" if fell else "arrived" if arrived else ended
    return Score(metres, arrived and not fell, outcome)


def hill_climb(episode: Episode) -> Score:
    """1 at the goal, else half the largest fraction of the way from the start to the goal."""
    if episode.terminated:
        return Score(1.0, True, "reached the goal")
    start = float(episode.steps.before["car_position"][0])
    highest = float(episode.steps.after["car_position"].max())
    fraction = (highest - start) / (_GOAL - start)
    return Score(0.5 * min(max(fraction, 0.0), 1.0), False, "time limit")


def _advance(episode: Episode) -> FloatArray:
    steps = episode.steps
    moved: FloatArray = steps.after["x_position"] - steps.before["x_position"]
    return moved


def _fell(episode: Episode) -> str:
    return "fell" if episode.terminated else "time limit"
