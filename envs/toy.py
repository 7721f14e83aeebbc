"""The toy suite: a point mass that trains in seconds, for tests, tutorials and the doctor."""

import numpy as np

from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import ActionSpec, EnvSpec, Field, Score, Task

_NEAR_M = 0.1
_FIELDS = (
    Field(
        "position", (), "m", "position of the point on the line, within -3 and 3", "env.position"
    ),
    Field("velocity", (), "m/s", "velocity of the point, positive to the right", "env.velocity"),
    Field("target", (), "m", "position of the target, 1 to 2 m to the left or right", "env.target"),
    Field(
        "distance",
        (),
        "m",
        "distance from the point to the target",
        "abs(env.position - env.target)",
    ),
)
_HIDDEN = (Field("out", (), "0 or 1", "the point left the line", "abs(env.position) > 3.0"),)


def tasks() -> tuple[Task, ...]:
    """Returns the point task with a continuous force, and the one with three actions."""
    force = ActionSpec(
        (1,), (-1.0,), (1.0,), None, "force on the point in newtons, positive to the right"
    )
    push = ActionSpec((), (), (), 3, "0: push left with 1 N, 1: no force, 2: push right with 1 N")
    return (
        _task("rewardsmith/Point-v0", force, {}),
        _task("rewardsmith/Point-v0-discrete", push, {"discrete": True}),
    )


def _task(task_id: str, action: ActionSpec, kwargs: dict[str, bool]) -> Task:
    env = EnvSpec(
        id="rewardsmith/Point-v0",
        fields=_FIELDS,
        hidden=_HIDDEN,
        action=action,
        max_steps=40,
        dt=0.1,
        description="A 1 kg point mass on a line with a little drag. It starts near 0 at rest.",
        kwargs=kwargs,
    )
    return Task(
        id=task_id,
        text="Move the point to the target quickly and keep it there at rest.",
        env=env,
        fitness="rewardsmith.envs.toy:fitness",
        fitness_unit="fraction",
        fitness_meaning="fraction of the last 10 steps spent within 0.1 m of the target, "
        "plus up to 0.5 for coming near it at all",
        principles=("Distance alone is enough here; a little damping helps it come to rest.",),
        solved_at=1.2,
    )


def fitness(episode: Episode) -> Score:
    """Fraction of the last 10 steps within 0.1 m of the target, plus 0.5 * exp(-mean distance).

    The distance of the second part is the mean over the last 10 steps; an episode that left the
    line scores 0.
    """
    distance = episode.steps.after["distance"]
    if episode.steps.after["out"][-1] > 0.0:
        return Score(0.0, False, "left the line")
    last = distance[-10:]
    held = float(np.mean(last < _NEAR_M))
    score = held + 0.5 * float(np.exp(-np.mean(last)))
    return Score(score, held == 1.0, "held" if held == 1.0 else "time limit")
