"""Subgoals on episodes: whether they tell progress, and at which one episodes stop.

After CALM (Pignatelli et al. 2024): a designer's subgoals are worth what the transitions say of
them. A subgoal counts as reached from the first step on after which it held; one that is reached
stands for those before it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

NAME = "subgoals"
FUNNEL = "funnel"
_OFTEN = 0.9  # of the successes that should show the order


def subgoals(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
    """Returns whether subgoals tell progress on the bank; a warning at most, they refuse nothing.

    A sound one is reached in some simulated episodes and not in all, does not hold from the start
    of most, and is reached in no more of them than the one before. In successes all are reached, in
    their order. The score is the number of sound ones over all.

    Args:
        values: 0 or 1 for each subgoal as a component, in their order, on every row of the bank.
        bank: the stored rows.
        task: whose fitness told successes.
    """
    names = list(values.components)
    episodes = bank.simulated
    lengths = [episode.length for episode in episodes]
    held = _held(values, bank.rows_of(episodes))
    firsts = _firsts(held, lengths)
    facts = [
        _fact(name, firsts[:, k], held[:, k], [episode.success for episode in episodes])
        for k, name in enumerate(names)
    ]
    remarks = [*_odd(facts), *_order(names, firsts, [e.success is True for e in episodes])]
    sound = sum(not fact.remark for fact in facts)
    return Evidence(
        probe=NAME,
        verdict="warn" if remarks else "pass",
        score=sound / len(names),
        text=" ".join(remarks)
        or f"Of {len(episodes)} episodes {_shares(facts)}; successes go through all in order.",
        facts={"episodes": len(episodes), "subgoals": [fact.record for fact in facts]},
    )


@dataclass(frozen=True)
class _Fact:
    """What the episodes say of one subgoal; shares are in [0, 1]."""

    name: str
    reached: float  # share of episodes
    from_start: float  # share of episodes in which it holds after the first step
    steps: float  # share of steps after which it holds
    success_if_reached: float | None
    reached_if_success: float | None
    remark: str = ""

    @property
    def record(self) -> dict[str, object]:
        """The facts of the evidence."""
        names = ("name", "reached", "from_start", "steps", "success_if_reached",
                 "reached_if_success")  # fmt: skip
        return {name: getattr(self, name) for name in names}


def _held(values: RewardBatch, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Returns which subgoals hold after each row, (rows, subgoals)."""
    found: npt.NDArray[np.bool_] = np.stack(list(values.components.values()), axis=1)[rows] > 0
    return found


def _firsts(held: npt.NDArray[np.bool_], lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    """Returns the first step after which each subgoal held, (episodes, subgoals); -1 for never."""
    parts = np.split(held, np.cumsum(lengths)[:-1])
    return np.array([np.where(part.any(axis=0), part.argmax(axis=0), -1) for part in parts])


def _fact(
    name: str,
    firsts: npt.NDArray[np.int64],
    held: npt.NDArray[np.bool_],
    success: Sequence[bool | None],
) -> _Fact:
    reached = firsts >= 0
    told = np.array([item is not None for item in success])
    good = np.array([item is True for item in success])
    both = float((reached & good).sum())
    some = bool(told.any())
    fact = _Fact(
        name=name,
        reached=float(reached.mean()),
        from_start=float((firsts == 0).mean()),
        steps=float(held.mean()),
        success_if_reached=both / n if some and (n := int((reached & told).sum())) else None,
        reached_if_success=both / int(good.sum()) if good.any() else None,
    )
    return _Fact(**{**fact.__dict__, "remark": _remark(fact)})


def _remark(fact: _Fact) -> str:
    if fact.reached == 0:
        return f"{fact.name!r} holds in no stored step; nothing shows that it can be reached."
    if fact.steps == 1:
        return f"{fact.name!r} holds in every step: it tells nothing."
    if fact.from_start > 0.5:
        share = f"{fact.from_start:.0%}"
        return f"{fact.name!r} holds from the first step on in {share} of the episodes."
    return ""


def _odd(facts: Sequence[_Fact]) -> list[str]:
    """Returns remarks on single subgoals, and on those reached more often than the one before."""
    unseen = [fact.name for fact in facts if fact.reached == 0]
    remarks = [fact.remark for fact in facts if fact.remark and fact.reached > 0]
    if unseen:
        remarks.append(f"Reached in no stored episode: {', '.join(unseen)}.")
    for early, late in itertools.pairwise(facts):
        if late.reached > early.reached > 0:
            remarks.append(
                f"{late.name!r} is reached in more episodes ({late.reached:.0%}) than "
                f"{early.name!r} before it ({early.reached:.0%}); is the order right?"
            )
    return remarks


def _order(
    names: Sequence[str], firsts: npt.NDArray[np.int64], success: Sequence[bool]
) -> list[str]:
    """Returns what is out of order in the successes."""
    good = firsts[np.array(success, dtype=np.bool_)]
    if not len(good):
        return []
    last = float((good[:, -1] >= 0).mean())
    pairs = [
        (early, late, float(((good[:, k] <= good[:, k + 1]) & (good[:, k] >= 0)).mean()))
        for k, (early, late) in enumerate(itertools.pairwise(names))
        if (good[:, k + 1] >= 0).any()
    ]
    remarks = [
        f"In {1 - share:.0%} of {len(good)} successes {late!r} is not preceded by {early!r}."
        for early, late, share in pairs
        if share < _OFTEN
    ]
    if last < _OFTEN:
        remarks.append(f"{names[-1]!r} is reached in {last:.0%} of the successes alone.")
    return remarks


def _shares(facts: Sequence[_Fact]) -> str:
    return ", ".join(f"{fact.reached:.0%} reach {fact.name!r}" for fact in facts)


def funnel(values: RewardBatch, lengths: Sequence[int], success: Sequence[bool | None]) -> Evidence:
    """Returns at which subgoal the episodes of a trained policy stop. It never fails.

    Args:
        values: 0 or 1 for each subgoal as a component, in their order, on every step of the
            episodes, one after the other.
        lengths: steps of each episode.
        success: whether each succeeded, None where that is not told.
    """
    names = list(values.components)
    firsts = _firsts(_held(values, np.arange(sum(lengths))), lengths)
    places = np.arange(1, len(names) + 1)
    depths = ((firsts >= 0) * places).max(axis=1)
    counts = [int((depths >= place).sum()) for place in places]
    stops = np.bincount(depths, minlength=len(names) + 1)[:-1]
    where = int(stops.argmax()) if stops.any() else None
    rows = [
        {"name": name, "reached": counts[k], "first_step": _median(firsts[:, k])}
        for k, name in enumerate(names)
    ]
    facts = {
        "episodes": len(lengths),
        "subgoals": rows,
        "stops_before": None if where is None else names[where],
        "stopped": 0 if where is None else int(stops[where]),
        "unexplained": sum(
            item is False
            for item, depth in zip(success, depths, strict=True)
            if depth == len(names)
        ),
    }
    return Evidence(
        probe=FUNNEL,
        verdict="pass" if where is None and not facts["unexplained"] else "warn",
        score=float(depths.mean()) / len(names),
        text=_headline(names, counts, where, facts),
        facts=facts,
    )


def _median(firsts: npt.NDArray[np.int64]) -> float | None:
    reached = firsts[firsts >= 0]
    return float(np.median(reached)) if len(reached) else None


def _headline(
    names: Sequence[str], counts: Sequence[int], where: int | None, facts: dict[str, object]
) -> str:
    total = facts["episodes"]
    way = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    passed = f"Subgoals reached, of {total} episodes: {way}."
    if where is not None:
        after = f"after {names[where - 1]!r}" if where else "at the start"
        stop = f"{facts['stopped']} of {total} episodes stop {after}, before {names[where]!r}"
        return f"{stop}. {passed}"
    if facts["unexplained"]:
        failed = f"{facts['unexplained']} of {total} episodes reach {names[-1]!r} and fail"
        return f"{failed} all the same. {passed}"
    return f"All episodes reach {names[-1]!r}. {passed}"
