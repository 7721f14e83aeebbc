"""What comparing two rewards says, as numbers and as text."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rewardsmith.agent.evidence.agreement import Agreement, agreement
from rewardsmith.agent.evidence.preferences import MUCH, Preferred, preferred
from rewardsmith.agent.evidence.starc import GAMMA, Undecided
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.task import Task
from rewardsmith.sandbox.reward import RewardBatch

_SCALE = "0 the same preference, 1.41 unrelated, 2 opposed; scale, offset and shaping aside"


@dataclass(frozen=True)
class Side:
    """One of two rewards: its name, its values on the bank, whether it has memory."""

    name: str
    values: RewardBatch
    memory: bool = False


@dataclass(frozen=True)
class Comparison:
    """How far two rewards agree, and the episodes that each ranks much higher than the other."""

    one: Side
    two: Side
    agreement: Agreement
    one_prefers: tuple[Preferred, ...]
    two_prefers: tuple[Preferred, ...]

    @property
    def approximate(self) -> bool:
        """Whether a reward has memory, so that no function of one step tells its shaping."""
        return self.one.memory or self.two.memory

    def facts(self) -> dict[str, Any]:
        """Returns the numbers as JSON has them."""
        return {
            **self.agreement.facts(),
            "approximate": self.approximate,
            "prefers": {
                "first": [_as_facts(item) for item in self.one_prefers],
                "second": [_as_facts(item) for item in self.two_prefers],
            },
        }

    def text(self, task: Task) -> str:
        """Returns the numbers and episodes as lines."""
        lines = [
            *_agreement_lines(self.agreement, self.two.name),
            *_prefers_lines(self.one, self.two, self.one_prefers, task),
            *_prefers_lines(self.two, self.one, self.two_prefers, task),
        ]
        if self.approximate:
            lines.append("a reward has memory: the distance is approximate")
        return "\n".join(lines)


def compared(bank: Stored, one: Side, two: Side, *, gamma: float = GAMMA) -> Comparison:
    """Returns the comparison of two rewards on a bank; ``gamma`` is the discount of shaping."""
    first, second = one.values.total, two.values.total
    names = one.name, two.name if two.name != one.name else f"{two.name} (again)"
    memory = one.memory or two.memory
    return Comparison(
        one,
        two,
        agreement(bank, first, second, gamma=gamma, timed=memory, names=names),
        preferred(bank, one.values, two.values),
        preferred(bank, two.values, one.values),
    )


def _as_facts(item: Preferred) -> dict[str, Any]:
    episode = item.episode
    return {
        "episode": episode.name,
        "kind": episode.kind,
        "policy": episode.policy,
        "fitness": episode.fitness,
        "outcome": episode.outcome,
        "rank": item.rank,
        "other_rank": item.other_rank,
        "raised": _pull_facts(item.raised),
        "lowered": _pull_facts(item.lowered),
    }


def _pull_facts(pull: tuple[str, float] | None) -> dict[str, Any] | None:
    return None if pull is None else {"component": pull[0], "deviations": pull[1]}


def _agreement_lines(found: Agreement, second: str) -> Iterable[str]:
    apart = found.distance
    if isinstance(apart, Undecided):
        yield f"distance: none; {apart.text}"
    else:
        yield f"distance {apart.value:.3f} (95 % {apart.low:.3f} to {apart.high:.3f}): {_SCALE}"
    yield f"Spearman of returns {_number(found.spearman)}"
    right = _number(found.ranking_accuracy)
    yield f"pairwise ranking accuracy {right}, of the order of {second}; by chance 0.5"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _prefers_lines(
    side: Side, other: Side, prefers: tuple[Preferred, ...], task: Task
) -> Iterable[str]:
    if not prefers:
        yield f"{side.name} ranks no episode higher than {other.name} by {MUCH:.0%} of the places"
        return
    yield f"{side.name} ranks much higher than {other.name} (0 last, 1 first of the returns):"
    for item in prefers:
        judged = "" if item.episode.fitness is None else f", fitness {item.episode.fitness:.3g}"
        judged += f" {task.fitness_unit}" if judged else ""
        outcome = f", {item.episode.outcome}" if item.episode.outcome else ""
        yield (
            f"  {item.episode.name}: {item.rank:.2f} against {item.other_rank:.2f}"
            f"{judged}{outcome}{_pull_text(side, item.raised)}{_pull_text(other, item.lowered)}"
        )


def _pull_text(side: Side, pull: tuple[str, float] | None) -> str:
    return "" if pull is None else f"; {pull[0]} of {side.name} {pull[1]:+.1f} sd"
