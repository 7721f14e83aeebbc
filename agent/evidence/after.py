"""All that is found out about a candidate once it has been trained."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from rewardsmith.agent.evidence.alarm import alarm
from rewardsmith.agent.evidence.anatomy import anatomy
from rewardsmith.agent.evidence.judged import Judged, judged
from rewardsmith.agent.evidence.shares import shares
from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Task
from rewardsmith.prompts.dissection import EPISODES
from rewardsmith.prompts.facts import fitness_of, representative
from rewardsmith.runs.records import Candidate, Evidence, RunState
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

Stored = Callable[[str], tuple[Episode, ...]]
Opened = Callable[[Candidate], RewardSource]


@dataclass(frozen=True)
class Played:
    """The stored judged episodes of a candidate's median seed, with what its reward paid.

    ``untrained`` is the mean return of the untrained policy under the same reward, if known.
    """

    episodes: tuple[Episode, ...] = ()
    values: RewardBatch | None = None
    judged: tuple[Judged, ...] = ()
    untrained: float | None = None


def played(
    candidate: Candidate,
    task: Task,
    *,
    stored: Stored,
    opened: Opened,
    random: Sequence[Episode] = (),
) -> Played:
    """Returns what a candidate's trained policy did; nothing where no training has a fitness.

    Args:
        candidate: with its reports.
        task: whose card says which fields may be seen.
        stored: the stored judged episodes of a unit, by its id; none where there are none.
        opened: starts the worker of its program; it is asked and closed.
        random: whole episodes of the untrained policy.
    """
    report = representative(candidate)
    episodes = stored(report.unit) if report else ()
    if report is None or not episodes:
        return Played()
    values, untrained = None, None
    if candidate.program is not None:
        with closing(opened(candidate)) as source:
            values = _values(source, episodes)
            paid = _values(source, random) if random else None
        untrained = None if paid is None else float(paid.total.sum()) / len(random)
    seen = judged(task.env, episodes, report.episodes, values)
    return Played(episodes, values, seen, untrained)


def _values(source: RewardSource, episodes: Sequence[Episode]) -> RewardBatch | None:
    found = source.rewards(concat(episodes))
    return found if isinstance(found, RewardBatch) else None


def after_training(
    candidate: Candidate, state: RunState, seen: Played, *, random: Sequence[float] = ()
) -> tuple[Evidence, ...]:
    """Returns the evidence of a trained candidate: alarm, shares, episodes. None of it fails.

    Args:
        candidate: with the reports of its selection seeds.
        state: the run as it is now: what other rewards reached is what is possible.
        seen: what its policy did, see `played`.
        random: fitness of episodes of the untrained policy.
    """
    if fitness_of(candidate) is None:
        return ()
    parent = _parent(candidate, state)
    found = (
        alarm(
            candidate.reports,
            episodes=seen.episodes,
            values=seen.values,
            random=random,
            others=reached_by_others(candidate, state),
            untrained=seen.untrained,
        ),
        shares(candidate.reports),
        anatomy(
            seen.judged,
            program=candidate.program,
            previous=_episodes_of(parent) if parent else None,
            of=parent.id if parent else "",
        ),
    )
    return tuple(item for item in found if item.facts)


def reached_by_others(candidate: Candidate, state: RunState) -> tuple[float, ...]:
    """Returns the fitness of all other trained candidates and of the human's reward, if known."""
    known = [fitness_of(item) for item in state.candidates if item.id != candidate.id]
    human = [report.fitness for arm in state.arms if arm.name == "human" for report in arm.reports]
    return tuple(value for value in (*known, *human) if value is not None)


def _parent(candidate: Candidate, state: RunState) -> Candidate | None:
    parents = candidate.proposal.parents
    return next((item for item in state.candidates if item.id in parents), None)


def _episodes_of(candidate: Candidate) -> Evidence | None:
    return next((item for item in candidate.evidence if item.probe == EPISODES), None)
