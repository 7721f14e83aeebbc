"""The one shape of all evidence, and how a ledger is filled: cheapest probe first.

A probe is a pure function of arrays. A new paper becomes a new probe here, not a new loop.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource


class Probe(Protocol):
    """Finds one thing out about a reward from its values on a bank."""

    def __call__(self, values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        """Returns what was found; never raises for what a reward is like.

        Args:
            values: the candidate's reward of every row of ``bank.steps``: total and components,
                (rows,) each, finite.
            bank: the stored rows and what is known of them.
            task: whose fitness judged the episodes; its text and fields, for words.
        """
        ...


def values_on(source: RewardSource, bank: Stored) -> RewardBatch | Failure:
    """Returns a reward's values on every row of a bank, asked in its worker."""
    return source.rewards(bank.steps)


def ledger(
    values: RewardBatch, bank: Stored, task: Task, probes: Iterable[Probe]
) -> tuple[Evidence, ...]:
    """Returns the evidence of ``probes`` in their order, up to the first that fails.

    Give the cheap ones first. What comes after a failure is not computed: the candidate is not
    trained, and its author is told one thing at a time.
    """
    found: list[Evidence] = []
    for probe in probes:
        found.append(probe(values, bank, task))
        if found[-1].verdict == "fail":
            break
    return tuple(found)


def refused(evidence: Sequence[Evidence]) -> bool:
    """Tells whether a probe said that training is a waste."""
    return any(item.verdict == "fail" for item in evidence)
