"""How far two rewards agree, asked in three ways that answer different questions."""

from dataclasses import dataclass
from typing import Any

from rewardsmith.agent.evidence.orders import pairwise_accuracy, spearman
from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.starc import (
    GAMMA,
    Distance,
    Undecided,
    canonicalise,
    starc_facts,
)
from rewardsmith.agent.evidence.stored import Stored, returns
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch


@dataclass(frozen=True)
class Agreement:
    """What two rewards have in common on a bank.

    ``distance`` compares what they make a policy do in the end, and is blind to shaping.
    ``spearman`` and ``ranking_accuracy`` compare how they order the returns of ``episodes`` stored
    episodes as they are, shaping included; None where a reward orders nothing. They may differ
    widely: a reward for progress is as good as one for closeness (distance 0), and orders
    episodes otherwise.
    """

    distance: Distance | Undecided
    spearman: float | None
    ranking_accuracy: float | None
    episodes: int

    def facts(self) -> dict[str, Any]:
        """Returns the numbers as JSON has them."""
        return {
            "starc": starc_facts(self.distance),
            "spearman": self.spearman,
            "ranking_accuracy": self.ranking_accuracy,
            "episodes": self.episodes,
        }


def agreement(
    bank: Stored,
    first: FloatArray,
    second: FloatArray,
    *,
    gamma: float = GAMMA,
    timed: bool = False,
    names: tuple[str, str] = ("the first reward", "the second reward"),
) -> Agreement:
    """Returns how far ``first`` agrees with ``second``, (rows,) each, over a bank's episodes.

    The ranking accuracy is the share of pairs of episodes that the returns of ``first`` put in
    the order of those of ``second``. ``gamma`` and ``timed`` are those of `canonicalise`; returns
    are not discounted. ``names`` are two, for words.
    """
    rewards = dict(zip(names, (first, second), strict=True))
    found = canonicalise(bank, rewards, gamma=gamma, timed=timed)
    ours, theirs = (returns(values, bank.simulated) for values in (first, second))
    return Agreement(
        distance=found if isinstance(found, Undecided) else found.distance(*names),
        spearman=spearman(ours, theirs),
        ranking_accuracy=pairwise_accuracy(ours, theirs),
        episodes=len(bank.simulated),
    )


def human_probe(*, gamma: float = GAMMA, timed: bool = False) -> Probe:
    """Returns the probe that tells how far a candidate agrees with the environment's own reward.

    It always passes: a reward for another behaviour, or a better one, agrees little. For reports;
    a designer who read it would be told the human reward.
    """

    def probe(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        if not task.human_reward:
            return Evidence(probe="human", verdict="pass", text="There is no human reward.")
        native = bank.steps.native_reward
        names = "this reward", "the human reward"
        found = agreement(bank, values.total, native, gamma=gamma, timed=timed, names=names)
        apart = found.distance
        return Evidence(
            probe="human",
            verdict="pass",
            score=None if isinstance(apart, Undecided) else apart.value,
            facts=found.facts(),
            text=f"Beside the human reward: {agreement_text(found)}.",
        )

    return probe


def agreement_text(found: Agreement) -> str:
    """Returns the three numbers in words."""
    apart = found.distance
    if isinstance(apart, Undecided):
        words = f"no distance ({apart.text})"
    else:
        words = f"distance {apart.value:.2f} (95 % {apart.low:.2f} to {apart.high:.2f})"
    orders = (("Spearman of returns", found.spearman), ("ranking accuracy", found.ranking_accuracy))
    return "; ".join([words, *(f"{name} {_number(value)}" for name, value in orders)])


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
