"""Whether a reward pays better for something else than the task: standing still, going in circles.

Formulas after Clip and Delta (Gao et al. 2024), who saw rewards that rank well hurt where correct
but useless steps can be repeated: the best discounted sum without success is put against that of a
success, for the total and for every component. What "without success" can be is shown by rows that
a program was really asked about: composed behaviours, and simulated steps that lead back to where
they began, since only those can be repeated.
"""

from collections.abc import Sequence

import numpy as np

from rewardsmith.agent.evidence.farming_words import STILL, told
from rewardsmith.agent.evidence.goals import goal_of
from rewardsmith.agent.evidence.lasting import (
    Course,
    Lasting,
    behaviours,
    lasting,
    returning,
)
from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.rivalry import Case, Rival
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.agent.evidence.thresholds import DEFAULTS, Thresholds
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

NAME = "farming"
ENDING, LASTING = "ending", "lasting"
_TRIED_CYCLES = 5  # best paid cycles of each length that the task is asked about
_FOUND = 0.9  # quantile of failing returns that a policy can be trusted to find


def farming(gamma: float, *, remembers: bool = False, thresholds: Thresholds = DEFAULTS) -> Probe:
    """Returns the probe of what a reward pays for everything but the task.

    Compared are, each up to the horizon: standing still with a success from its start; standing
    still, oscillating, hovering and every cycle of simulated steps with finishing, from near the
    end of a success on; never finishing, and ending early by failing, with a success. Behaviours
    of which the task itself thinks well do not count. Without a stored success the fittest
    stretches, as if they went on, stand for it, and farming is to earn nearly as much.

    The score is by how much good behaviour pays more than the best of the others, per step, in
    standard deviations of the reward; below zero something else pays better.

    Args:
        gamma: discount per step of the trainer.
        remembers: whether the program has memory: then stored cycles, seen once, prove nothing.
        thresholds: from where on it warns and fails.
    """

    def probe(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        goal = goal_of(task, bank)
        if goal is None:
            text = "The stored episodes are equally fit: there is nothing to compare farming with."
            return Evidence(probe=NAME, verdict="pass", text=text)
        case = Case(values, bank, task, goal, gamma)
        # What the environment itself would pay for a composed step is not known.
        own = np.array_equal(values.total, bank.steps.native_reward)
        farms = [] if own else list(behaviours(task, bank))
        farms += [] if remembers else _cycles(case, thresholds.same_place)
        farms = [f for f in farms if not f.succeeds and f.score.fitness < goal.fitness_bar]
        rivals = [*_farmed(case, farms), *_pulls(case, farms)]
        return told(NAME, case, rivals, thresholds)

    return probe


def _cycles(case: Case, same_place: float) -> list[Lasting]:
    """Returns the best paid simulated cycles of each length, as the task judges them."""
    summed = np.concatenate([[0.0], np.cumsum(case.values.total)])
    found = []
    for length, firsts in returning(case.task, case.bank, case.failures, same_place):
        paid = summed[firsts + length] - summed[firsts]
        for first in firsts[np.argsort(-paid)[:_TRIED_CYCLES]].tolist():
            rows = np.arange(first, first + length)
            found.append(lasting(case.task, case.bank, f"cycle of {length}", rows))
    return found


def _farmed(case: Case, farms: Sequence[Lasting]) -> list[Rival]:
    """Returns each farm against finishing, and standing still against the whole way."""
    goal, horizon = case.goal, case.task.env.max_steps
    rivals = [
        case.against(
            farm.name,
            farm.course(goal.remaining),
            goal.endings,
            goal.remaining,
            clumsy=not goal.succeeded,
        )
        for farm in farms
    ]
    still = [farm.course(horizon) for farm in farms if farm.name == STILL and goal.succeeded]
    return rivals + [case.against(STILL, course, goal.whole, horizon) for course in still]


def _pulls(case: Case, farms: Sequence[Lasting]) -> list[Rival]:
    """Returns what speaks for ending an episode by failing, and for never finishing it."""
    horizon, whole = case.task.env.max_steps, case.goal.whole
    ended = [Course(np.arange(e.first, e.stop)) for e in case.failures if case.ends(e)]
    # As far as they were played: what would have come is not known of a way that leads on.
    lasted = [Course(np.arange(e.first, e.stop)) for e in case.failures if not case.ends(e)]
    found = []
    if ended and case.living < 0:
        still = [farm.course(horizon) for farm in farms if farm.name == STILL]
        living = max([*lasted, *still], key=case.pay, default=whole[0])
        better = case.pay(living) > case.good_pay(whole)
        found.append(
            case.against(ENDING, _likely(case, ended), (living,) if better else whole, horizon)
        )
    if lasted and case.goal.finishes:
        found.append(case.against(LASTING, _likely(case, lasted), whole, horizon))
    return found


def _likely(case: Case, tried: Sequence[Course]) -> Course:
    """Returns the one that a policy would find: well paid, but no stroke of luck."""
    ordered = sorted(tried, key=case.pay)
    return ordered[int(_FOUND * (len(ordered) - 1))]
