"""Whether a reward puts good trajectories above bad ones, whatever their length.

Sources: trajectory preference evaluation of CARD (Sun et al. 2024), the share of (good, bad) pairs
in which the good one has the higher return; RewardMATH (Kim et al. 2024), whose finding is that one
good among many bad tells more of the optimised policy than single pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from rewardsmith.agent.evidence.orders import pairwise_accuracy, ranks, spearman
from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode, mean_rewards, returns
from rewardsmith.agent.evidence.thresholds import DEFAULTS, Thresholds
from rewardsmith.envs.task import FloatArray, Task
from rewardsmith.runs.records import Evidence
from rewardsmith.sandbox.reward import RewardBatch

NAME = "ranking"
Verdict = Literal["pass", "warn", "fail"]
_GOOD_SHARE = 4  # without successes one episode in so many is good, and the worse half is bad


@dataclass(frozen=True)
class Trial:
    """Episodes to be put in order: those that are good, those that are bad, and all judged ones."""

    good: tuple[StoredEpisode, ...]
    bad: tuple[StoredEpisode, ...]
    judged: tuple[StoredEpisode, ...]


def ranking(gamma: float, thresholds: Thresholds = DEFAULTS) -> Probe:
    """Returns the probe of a reward's order over the simulated episodes that have a fitness.

    Good are the successes, bad the failures, corrupted ones included; where nothing succeeded or
    nothing failed, the best quarter by fitness and the worse half. Each episode counts twice: by
    its discounted return and by its mean reward per step, since a return alone lets length decide.
    The score is the mean of the two accuracies; below a half the verdict is fail.

    Args:
        gamma: discount per step of the trainer.
        thresholds: from where on it warns and fails.
    """

    def probe(values: RewardBatch, bank: Stored, task: Task) -> Evidence:
        trial = trial_of(bank)
        reason = _untellable(trial, thresholds)
        if reason is not None:
            return Evidence(probe=NAME, verdict="pass", text=f"{reason}: the order is not tried.")
        facts = _facts(values, trial, gamma)
        score = _mean(facts["accuracy"])
        return Evidence(
            probe=NAME,
            verdict=_verdict(score, facts, thresholds),
            score=score,
            facts=facts,
            text=_text(score, facts, thresholds),
        )

    return probe


def trial_of(bank: Stored) -> Trial:
    """Returns the good and the bad episodes among the simulated ones that have a fitness."""
    judged = tuple(e for e in bank.simulated if e.fitness is not None)
    good = tuple(e for e in judged if e.success)
    bad = tuple(e for e in judged if e.success is False)
    if good and bad:
        return Trial(good, bad, judged)
    ordered = sorted(judged, key=lambda episode: episode.fitness or 0.0)
    half, most = len(ordered) // 2, len(ordered) // _GOOD_SHARE
    bad = tuple(ordered[:half])
    limit = bad[-1].fitness if bad else None
    # An episode as bad as the bad ones is not good, however few others there are.
    good = tuple(e for e in ordered[len(ordered) - most :] if e.fitness != limit)
    return Trial(good, bad, judged)


def truth_of(episodes: Sequence[StoredEpisode]) -> FloatArray:
    """Returns the rank of each episode, (episodes,): successes above all, then by fitness."""
    fitness = ranks(np.array([episode.fitness or 0.0 for episode in episodes]))
    succeeded = np.array([float(bool(episode.success)) for episode in episodes])
    truth: FloatArray = fitness + len(episodes) * succeeded
    return truth


def good_above_bad(good: FloatArray, bad: FloatArray) -> float:
    """Returns the share of (good, bad) pairs whose good one is higher; equal ones count half."""
    labels = np.concatenate([np.ones(len(good)), np.zeros(len(bad))])
    accuracy = pairwise_accuracy(np.concatenate([good, bad]), labels)
    return 0.5 if accuracy is None else accuracy


def mean_reciprocal_rank(good: FloatArray, bad: FloatArray) -> float:
    """Returns the mean over the good ones of 1 / (its place among all bad ones), in (0, 1].

    A bad one that is equal stands before it by half a place.
    """
    above = (bad[None, :] > good[:, None]).sum(axis=1)
    equal = (bad[None, :] == good[:, None]).sum(axis=1)
    return float(np.mean(1 / (1 + above + equal / 2)))


def _untellable(trial: Trial, thresholds: Thresholds) -> str | None:
    if len(trial.judged) < thresholds.least_episodes:
        return (
            f"{len(trial.judged)} stored episodes have a fitness, "
            f"{thresholds.least_episodes} are needed"
        )
    if not trial.good or not trial.bad:
        return f"The {len(trial.judged)} stored episodes are equally fit"
    if len(trial.bad) < thresholds.least_bad:
        return f"{len(trial.bad)} stored episodes are bad, {thresholds.least_bad} are needed"
    return None


def _facts(values: RewardBatch, trial: Trial, gamma: float) -> dict[str, Any]:
    """Returns how the total orders the trial by either measure, and each component's accuracy."""
    total, truth = values.total, truth_of(trial.judged)
    lengths = np.array([float(episode.length) for episode in trial.judged])
    measures = _measures(gamma)
    return {
        "good": len(trial.good),
        "bad": len(trial.bad),
        "judged": len(trial.judged),
        "successes": sum(bool(episode.success) for episode in trial.judged),
        "accuracy": _accuracies(total, trial, gamma),
        "reciprocal_rank": {
            name: mean_reciprocal_rank(of(total, trial.good), of(total, trial.bad))
            for name, of in measures.items()
        },
        "spearman": {
            name: spearman(of(total, trial.judged), truth) for name, of in measures.items()
        },
        "with_length": spearman(returns(total, trial.judged, gamma), lengths),
        "components": {
            name: _mean(_accuracies(column, trial, gamma))
            for name, column in values.components.items()
        },
    }


def _measures(gamma: float) -> dict[str, Callable[..., FloatArray]]:
    return {"discounted": partial(returns, gamma=gamma), "per_step": mean_rewards}


def _accuracies(column: FloatArray, trial: Trial, gamma: float) -> dict[str, float]:
    return {
        name: good_above_bad(of(column, trial.good), of(column, trial.bad))
        for name, of in _measures(gamma).items()
    }


def _mean(accuracies: Mapping[str, float]) -> float:
    return sum(accuracies.values()) / len(accuracies)


def _by_length_only(facts: Mapping[str, Any], thresholds: Thresholds) -> bool:
    """Whether returns follow the length, while what a step pays tells good from bad hardly."""
    if abs(facts["with_length"] or 0.0) < thresholds.length_only:
        return False
    return bool(facts["accuracy"]["per_step"] < thresholds.ranking_warn)


def _verdict(score: float, facts: Mapping[str, Any], thresholds: Thresholds) -> Verdict:
    if score < thresholds.ranking_fail:
        return "fail"
    warned = score < thresholds.ranking_warn or _by_length_only(facts, thresholds)
    return "warn" if warned else "pass"


def _text(score: float, facts: Mapping[str, Any], thresholds: Thresholds) -> str:
    goods = "successes" if facts["successes"] else "fittest"
    first = facts["reciprocal_rank"]["discounted"]
    told = [
        f"{score:.0%} of the pairs of good and bad episodes are in order ({facts['good']} {goods}, "
        f"{facts['bad']} bad; mean reciprocal rank {first:.2f})."
    ]
    if _by_length_only(facts, thresholds):
        told.append("Its returns follow the length of an episode alone: pay for what is done.")
    if score < thresholds.ranking_warn:
        told.append("Guessing gets 50%: what it pays for is not what the task asks for.")
        wrong = {n: a for n, a in facts["components"].items() if a < thresholds.ranking_fail}
        if wrong:
            worst = min(wrong, key=lambda name: wrong[name])
            told.append(f"`{worst}` is in order in {wrong[worst]:.0%}: mend or drop it first.")
    return " ".join(told)
