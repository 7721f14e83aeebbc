"""Played episodes of the toy task for the tests of what is made of them."""

from typing import Any

import numpy as np

from rewardsmith.agent.evidence.played import Played
from rewardsmith.envs import toy
from rewardsmith.envs.collect import Act, random_act, rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.task import Task

CONTINUOUS, DISCRETE = toy.tasks()


def to_the_target(task: Task) -> Act:
    """A policy that brings the point to the target and holds it there."""

    def act(observation: Any) -> Any:
        position, velocity, target = observation
        force = float(np.clip(4.0 * (target - position) - 4.0 * velocity, -1.0, 1.0))
        if task.env.action.count is not None:
            return 1 + int(np.sign(force)) * (abs(force) > 0.3)
        return np.array([force], dtype=np.float32)

    return act


def played(task: Task, act: Act, count: int, policy: str) -> list[Played]:
    """Episodes of a policy, judged."""
    episodes = rollout(task.env, act, range(count))
    scores = judge(task, episodes)
    return [
        Played(episode, f"{policy}/{number}", "policy", policy, score)
        for number, (episode, score) in enumerate(zip(episodes, scores, strict=True))
    ]


def good(task: Task, count: int = 2) -> list[Played]:
    """Episodes that reach the target; those of the continuous task are successes."""
    return played(task, to_the_target(task), count, "good")


def bad(task: Task, count: int = 2) -> list[Played]:
    """Episodes of random actions."""
    return played(task, random_act(task.env, 0), count, "bad")
