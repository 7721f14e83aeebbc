"""What a reward pays for one behaviour against what it pays for a good one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rewardsmith.agent.evidence.goals import Goal
from rewardsmith.agent.evidence.lasting import Course, RowNumbers
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode, discounted_return
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.sandbox.reward import RewardBatch

_PEAK = 0.99  # quantile of the pay of simulated steps


@dataclass(frozen=True)
class Rival:
    """A behaviour without success, and how it fares against good ones.

    ``advantage`` is by how much good behaviour pays more per step, in standard deviations of the
    reward; below 0 the rival is the better paid one. ``share`` is what the rival is paid of the
    good one's pay, both above what nothing pays, and ``excess`` what it is paid more, over the
    larger of the two. ``gain`` is what the rival is paid above nothing, per step, in standard
    deviations of the reward, ``peak_share`` its share of what the best paid steps of all pay;
    ``component`` is the one that speaks for it most.
    """

    kind: str
    pay: float
    good_pay: float
    advantage: float
    share: float
    excess: float
    gain: float
    peak_share: float
    component: str | None


@dataclass(frozen=True)
class Case:
    """A reward's values on a bank, and all that they are compared with."""

    values: RewardBatch
    bank: Stored
    task: Task
    goal: Goal
    gamma: float

    @cached_property
    def failures(self) -> list[StoredEpisode]:
        """The simulated episodes that did not succeed."""
        return [episode for episode in self.bank.simulated if not episode.success]

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the total over the simulated steps; 1 if there is none."""
        return float(np.std(self.values.total[self._simulated])) or 1.0

    @cached_property
    def nothing(self) -> float:
        """What a step pays that stands for nothing, for the total.

        Zero where failing ends an episode, since then nothing more is paid; else a constant more
        or less changes nothing, and the median of the simulated steps stands for it.
        """
        if any(self.ends(episode) for episode in self.failures):
            return 0.0
        return float(np.median(self.values.total[self._simulated]))

    @property
    def living(self) -> float:
        """Mean total of the simulated steps that end nothing."""
        rows = self._simulated
        return float(self.values.total[rows[~self.bank.steps.terminated[rows]]].mean())

    def ends(self, episode: StoredEpisode) -> bool:
        """Whether the task ended an episode, rather than the time limit."""
        return bool(self.bank.steps.terminated[episode.stop - 1])

    def pay(self, course: Course) -> float:
        """Returns what the total pays for a course."""
        return course.pay(self.values.total, self.gamma)

    def good_pay(self, examples: Iterable[Course], column: FloatArray | None = None) -> float:
        """Returns the median pay of examples: one sloppy success proves nothing."""
        wanted = self.values.total if column is None else column
        return float(np.median([course.pay(wanted, self.gamma) for course in examples]))

    def against(
        self,
        kind: str,
        course: Course,
        examples: Sequence[Course],
        steps: int,
        *,
        clumsy: bool = False,
    ) -> Rival:
        """Returns how a behaviour fares against examples of a good one from the same moment.

        Args:
            kind: what the behaviour is called.
            course: its steps.
            examples: of a good one.
            steps: how long either could go on.
            clumsy: whether the examples do at great cost what a good policy would do at little:
                then their costs are not held against them.
        """
        good = self.good_pay(examples, self._without_costs if clumsy else None)
        unit = discounted_return(np.ones(steps), self.gamma)
        pay, nothing = self.pay(course), unit * self.nothing
        return Rival(
            kind=kind,
            pay=pay,
            good_pay=good,
            advantage=(good - pay) / (unit * self.deviation),
            share=_share(pay - nothing, good - nothing),
            excess=(pay - good) / (max(abs(pay - nothing), abs(good - nothing)) or 1.0),
            gain=(pay - nothing) / (unit * self.deviation),
            peak_share=_share(pay - nothing, unit * self._peak - nothing),
            component=self._payer(course, () if clumsy else examples),
        )

    def _payer(self, course: Course, examples: Sequence[Course]) -> str | None:
        """Returns the component that pays most for a course, beyond what it pays for examples."""
        gains = {
            name: course.pay(column, self.gamma)
            - (self.good_pay(examples, column) if examples else 0.0)
            for name, column in self.values.components.items()
        }
        return max(gains, key=lambda name: gains[name]) if gains else None

    @cached_property
    def _without_costs(self) -> FloatArray:
        """The total without the components that are never positive, (rows,), if it is their sum."""
        total, parts = self.values.total, self.values.components
        if not np.allclose(sum(parts.values(), np.zeros(len(total))), total):
            return total
        costs = [part for part in parts.values() if part[self._simulated].max() <= 0]
        return total - sum(costs, np.zeros(len(total)))

    @cached_property
    def _peak(self) -> float:
        """What one of the best paid steps of all pays."""
        return float(np.quantile(self.values.total[self._simulated], _PEAK))

    @cached_property
    def _simulated(self) -> RowNumbers:
        return self.bank.rows_of(self.bank.simulated)


def _share(pay: float, good: float) -> float:
    if good > 0:
        return pay / good
    return 2.0 if pay > good else 0.0
