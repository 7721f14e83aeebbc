"""An episode with what is known of it, and many of them as one bank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardsmith.agent.evidence.stored import Kind, Stored, StoredEpisode
from rewardsmith.envs.collect import concat
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score


@dataclass(frozen=True)
class Played:
    """An episode and what `StoredEpisode` says of it; ``score`` is None where nobody judged it."""

    episode: Episode
    name: str
    kind: Kind
    policy: str
    score: Score | None = None
    of: str | None = None

    @property
    def fitness(self) -> float:
        """The fitness, minus infinity where it was not judged."""
        return -np.inf if self.score is None else self.score.fitness


def best_first(played: Sequence[Played]) -> list[Played]:
    """Returns the judged episodes from the best to the worst; successes before all others."""
    judged = [item for item in played if item.score is not None]
    return sorted(judged, key=lambda item: (not (item.score and item.score.success), -item.fitness))


def stored_of(played: Sequence[Played]) -> Stored:
    """Returns episodes, at least one, as one bank: their rows one after the other.

    Behaviours have no fitness there: most were never played.
    """
    ends = np.cumsum([item.episode.length for item in played]).tolist()
    episodes = (
        StoredEpisode(
            name=item.name,
            kind=item.kind,
            policy=item.policy,
            first=end - item.episode.length,
            stop=end,
            fitness=None if item.kind == "behaviour" or not item.score else item.score.fitness,
            success=None if item.score is None else item.score.success,
            outcome=None if item.score is None else item.score.outcome,
            of=item.of,
        )
        for item, end in zip(played, ends, strict=True)
    )
    return Stored(steps=concat([item.episode for item in played]), episodes=tuple(episodes))
