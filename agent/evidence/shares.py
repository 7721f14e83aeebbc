"""What each component pays of the return, and whether it pays for what counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.orders import spearman
from rewardsmith.prompts.render import number
from rewardsmith.runs.records import EpisodeSummary, Evidence, TrainingReport

PROBE = "shares"
_LARGE = 0.3  # of the return by size: a component that counts
_LEAST_EPISODES = 5
_SURE = 2.0  # standard errors of a rank correlation from 0: no luck of a few episodes


@dataclass(frozen=True)
class Share:
    """One component over the judged episodes.

    ``mean`` is its mean return per episode, ``share`` its part of all that the components pay and
    charge, by size, in [0, 1]. ``fitness`` and ``success`` are rank correlations of its return with
    the two over the episodes, None where one of them is equal throughout or not known.
    """

    component: str
    mean: float
    share: float
    fitness: float | None
    success: float | None


def shares(reports: Sequence[TrainingReport]) -> Evidence:
    """Returns each component's share of the return and its correlation with fitness and success.

    It warns of a large component that surely pays more in the worse episodes. Correlation over the
    episodes of one policy says little where all go alike.

    Args:
        reports: the trainings of one reward, one per seed; failed ones say nothing.
    """
    known = [e for report in reports for e in report.episodes if e.component_returns]
    if not known:
        return Evidence(probe=PROBE, verdict="pass", text="no judged episode tells of components")
    rows = shares_of(known)
    wrong = [row for row in rows if row.share >= _LARGE and _opposed(row.fitness, len(known))]
    text = "; ".join(_said(row) for row in rows)
    if wrong:
        names = ", ".join(f"`{row.component}`" for row in wrong)
        text = f"{names} paid more in the worse episodes: {text}"
    return Evidence(
        probe=PROBE,
        verdict="warn" if wrong else "pass",
        score=max((row.fitness or 0.0) * row.share for row in rows),
        facts={"episodes": len(known), "components": [vars(row) for row in rows]},
        text=text,
    )


def shares_of(episodes: Sequence[EpisodeSummary]) -> tuple[Share, ...]:
    """Returns what the components come to over the episodes, the largest first."""
    names = sorted({name for episode in episodes for name in episode.component_returns})
    returns = {
        name: np.array([e.component_returns.get(name, 0.0) for e in episodes]) for name in names
    }
    fitness = np.array([episode.fitness for episode in episodes])
    told = [at for at, episode in enumerate(episodes) if episode.success is not None]
    success = np.array([float(bool(episodes[at].success)) for at in told])
    sizes = {name: float(np.abs(values).mean()) for name, values in returns.items()}
    whole = sum(sizes.values()) or 1.0
    rows = [
        Share(
            component=name,
            mean=float(values.mean()),
            share=sizes[name] / whole,
            fitness=spearman(values, fitness),
            success=spearman(values[told], success) if told else None,
        )
        for name, values in returns.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.share, row.component)))


def _opposed(correlation: float | None, count: int) -> bool:
    if correlation is None or count < _LEAST_EPISODES:
        return False
    return correlation * math.sqrt(count - 1) <= -_SURE


def _said(row: Share) -> str:
    words = [f"`{row.component}` {row.share:.0%} of the return (mean {number(row.mean)})"]
    if row.fitness is not None:
        words.append(f"correlation with fitness {number(row.fitness, 2)}")
    if row.success is not None:
        words.append(f"with success {number(row.success, 2)}")
    return ", ".join(words)
