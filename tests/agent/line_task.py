"""A point on a line, for the tests of probes: rows are written down, nothing is simulated."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from evidence_rig import Played

from rewardsmith.agent.evidence.stored import Kind
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field, FloatArray, Score, Task

HORIZON = 100
GOAL = 1.0
_FIELDS = tuple(Field(name, (), "m", name, name) for name in ("position", "velocity"))
_SPEC = EnvSpec("Line-v0", _FIELDS, (), ActionSpec((1,), (-1.0,), (1.0,), None, ""), HORIZON, 1.0)
ARRIVE = Task("line/arrive", "Arrive.", _SPEC, "line_task:arrived", "1", "arrived")
HOLD = replace(ARRIVE, id="line/hold", fitness="line_task:held")
RUN = replace(ARRIVE, id="line/run", fitness="line_task:run")


def arrived(episode: Episode) -> Score:
    """1 for an episode that ended at the goal, else half of the way there."""
    way = episode.steps.after["position"]
    if episode.terminated and way[-1] >= GOAL:
        return Score(1.0, True, "arrived")
    return Score(0.5 * float(np.clip(way.max(), 0.0, 1.0)), False, "time limit")


def held(episode: Episode) -> Score:
    """Minus the mean distance to the goal over the last five steps."""
    miss = float(np.abs(episode.steps.after["position"][-5:] - GOAL).mean())
    return Score(-miss, miss < 0.02, "held" if miss < 0.02 else "missed")


def run(episode: Episode) -> Score:
    """The way forward, without any success."""
    moved = episode.steps.after["position"] - episode.steps.before["position"]
    return Score(float(moved.sum()), None, "time limit")


def walk(
    way: Sequence[float] | FloatArray,
    task: Task = ARRIVE,
    *,
    ends: bool = False,
    kind: Kind = "random",
    policy: str = "random",
) -> Played:
    """An episode along these positions (T + 1,), its velocity told rightly, judged by ``task``."""
    position = np.asarray(way, dtype=np.float64)
    velocity = np.concatenate([[0.0], np.diff(position)])
    played = Played({"position": position, "velocity": velocity}, kind, policy, terminated=ends)
    score = _score(played, task)
    return replace(played, fitness=score.fitness, success=score.success)


def _score(played: Played, task: Task) -> Score:
    from evidence_rig import bank_of

    from rewardsmith.envs.fitness import judge

    return judge(task, [Episode(0, 1.0, bank_of([played]).steps, {})])[0]
