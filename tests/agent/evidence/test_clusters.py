import numpy as np
import pytest
from training_rig import episode, summary

from rewardsmith.agent.evidence.clusters import clusters, features, silhouette
from rewardsmith.agent.evidence.judged import Judged


def told(seed: int, height: float, outcome: str = "fell", length: int = 10) -> Judged:
    """An episode at a constant height."""
    column = episode(length, {"height": [height] * length}).steps.after["height"]
    return Judged(summary(0.0, seed=seed, outcome=outcome, length=length), {"height": column})


def seeds(episodes: list[Judged]) -> list[set[int]]:
    return [{one.summary.seed for one in item.members} for item in clusters(episodes)]


def test_episodes_that_end_differently_are_apart() -> None:
    some = [told(1, 0.0), told(2, 0.0), told(3, 0.0, "time limit"), told(4, 0.0), told(5, 0.0)]
    assert seeds(some) == [{1, 2, 4, 5}, {3}]


def test_equal_endings_are_told_apart_by_what_the_fields_did() -> None:
    some = [told(at, 5.0 * (at % 2) + 0.01 * at) for at in range(8)]
    assert seeds(some) == [{0, 2, 4, 6}, {1, 3, 5, 7}]


def test_what_is_all_alike_is_one_cluster_around_its_middle() -> None:
    (only,) = clusters([told(at, float(at)) for at in (4, 3, 2, 1, 0, 2)])
    assert only.medoid.summary.seed == 2
    assert len(only.members) == 6


def test_the_same_episodes_give_the_same_clusters() -> None:
    rng = np.random.default_rng(0)
    some = [told(at, rng.normal(), length=int(rng.integers(5, 50))) for at in range(12)]
    assert seeds(some) == seeds(some)


def test_equal_episodes_are_one_cluster() -> None:
    assert seeds([told(1, 1.0), told(2, 1.0), told(3, 1.0)]) == [{1, 2, 3}]


def test_one_episode_is_a_cluster_and_none_is_none() -> None:
    assert seeds([told(1, 1.0)]) == [{1}]
    assert clusters([]) == ()


def test_features_count_in_standard_deviations() -> None:
    found = features([told(1, 0.0), told(2, 1000.0)])
    assert np.round(found[:, -2:], 12).tolist() == [[-0.707106781187] * 2, [0.707106781187] * 2]


def test_a_silhouette_is_near_one_for_what_is_far_apart() -> None:
    points = np.array([0.0, 0.1, 10.0, 10.1])
    apart = np.abs(points[:, None] - points[None, :])
    assert silhouette(apart, np.array([0, 0, 1, 1])) == pytest.approx(0.99, abs=0.001)
    assert silhouette(apart, np.array([0, 1, 0, 1])) < 0.0
    assert silhouette(apart, np.zeros(4, dtype=np.int64)) == 0.0
