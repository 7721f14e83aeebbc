"""Rewards built to be farmed, their repairs, and the environments' own, on real steps."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from rewardsmith.agent.evidence.behaviours import behaviours, neutral_action
from rewardsmith.agent.evidence.farming import farming
from rewardsmith.agent.evidence.linear import linear_episodes
from rewardsmith.agent.evidence.played import Played, best_first, stored_of
from rewardsmith.agent.evidence.probes import values_on
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.collect import rollout
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.runs.bank import collect_random
from rewardsmith.runs.records import Evidence
from rewardsmith.runs.training.presets import default_trainer, hyperparams
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.program import Parsed, parse
from rewardsmith.sandbox.reward import RewardBatch

pytestmark = pytest.mark.slow

SEARCH = 8_000  # steps that a linear policy is looked for
FOLDER = Path(__file__).parent / "rewards"


def swing(seen: FloatArray) -> FloatArray:
    """Pushes the car the way it goes."""
    return np.array([1.0 if seen[1] >= 0 else -1.0])


def reach(seen: FloatArray) -> FloatArray:
    """Pulls the fingertip to the target by the transposed Jacobian, with damping."""
    first, second = np.arctan2(seen[2:4], seen[0:2])
    both = first + second
    far = 0.11 * np.array([-np.sin(both), np.cos(both)])
    jacobian = np.stack([0.1 * np.array([-np.sin(first), np.cos(first)]) + far, far], axis=1)
    return np.clip(-30.0 * jacobian.T @ seen[8:10] - 0.05 * seen[6:8], -1.0, 1.0)


def land(seen: FloatArray) -> int:
    """Gymnasium's own controller."""
    from gymnasium.envs.box2d.lunar_lander import heuristic

    controller: Any = heuristic
    return int(controller(SimpleNamespace(unwrapped=SimpleNamespace(continuous=False)), seen))


SKILLS: dict[str, Callable[[FloatArray], Any]] = {
    "MountainCarContinuous-v0": swing,
    "Reacher-v5": reach,
    "LunarLander-v3": land,
}


def episodes(task: Task) -> list[Episode]:
    """Random ones, and some of a controller where one is known, else of linear policies."""
    random, skill = collect_random(task, 1_000, 0), SKILLS.get(task.env.id)
    if skill is None:
        return [*random, *(e for e, _ in linear_episodes(task, steps=SEARCH, rows=2_000))]
    return [*random, *rollout(task.env, skill, range(4))]


@cache
def bank(env: str) -> Stored:
    task = find_task(env)
    found = episodes(task)
    played = [
        Played(episode, f"{env}/{number}", "random", "random", score)
        for number, (episode, score) in enumerate(zip(found, judge(task, found), strict=True))
    ]
    composed = behaviours(task, best_first(played), neutral_action(task.env, 0), seed=0)
    return stored_of([*played, *composed])


def programs(env: str) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((FOLDER / f"{env}.yaml").read_text())
    return found


def judged(env: str, name: str) -> Evidence:
    task, program = find_task(env), programs(env)[name]
    with RewardClient(program, task.env, sandbox="process") as client:
        values = values_on(client, bank(env))
    assert isinstance(values, RewardBatch), values
    gamma = float(hyperparams(default_trainer(env), env)["gamma"])
    parsed = parse(program)
    assert isinstance(parsed, Parsed)
    return farming(gamma, remembers=parsed.uses_memory)(values, bank(env), task)


CASES = [(path.stem, name) for path in sorted(FOLDER.iterdir()) for name in programs(path.stem)]


@pytest.mark.parametrize(("env", "name"), [c for c in CASES if c[1].startswith("farmed")])
def test_a_reward_built_to_be_farmed_is_flagged(env: str, name: str) -> None:
    evidence = judged(env, name)
    assert evidence.verdict != "pass", evidence.text


@pytest.mark.parametrize(("env", "name"), [c for c in CASES if not c[1].startswith("farmed")])
def test_a_repaired_reward_and_the_environments_own_pass(env: str, name: str) -> None:
    evidence = judged(env, name)
    assert evidence.verdict == "pass", evidence.text
