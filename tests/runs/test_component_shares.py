import pytest

from rewardsmith.runs.component_shares import component_shares
from rewardsmith.runs.records import CurvePoint, TrainingReport


def report(*points: dict[str, float], seed: int = 0) -> TrainingReport:
    curve = tuple(
        CurvePoint(
            steps=100 * (k + 1),
            fitness=None,
            success_rate=None,
            episode_length=None,
            total=None,
            components=parts,
        )
        for k, parts in enumerate(points)
    )
    return TrainingReport(unit=f"u{seed}", seed=seed, steps=200, fitness=1.0, curve=curve)


def test_a_share_is_the_size_of_a_components_mean_over_the_sum_of_sizes() -> None:
    found = component_shares(
        [report({"run": 3.0, "effort": -1.0}, {"run": 1.0, "effort": 1.0})], ""
    )
    assert found is not None
    assert found.steps == (100.0, 200.0)
    assert found.shares == {"run": (0.75, 0.5), "effort": (0.25, 0.5)}


def test_the_mean_over_seeds_comes_before_the_share() -> None:
    one, two = {"run": 2.0, "turn": 1.0}, {"run": 0.0, "turn": 1.0}
    found = component_shares([report(one), report(two, seed=1)], "")
    assert found is not None
    assert found.shares["run"] == (0.5,)


def test_shares_of_every_point_sum_to_one() -> None:
    parts = {"a": 0.1, "b": -7.0, "c": 2.5}
    found = component_shares([report(parts, parts)], "")
    assert found is not None
    assert [sum(column) for column in zip(*found.shares.values(), strict=True)] == pytest.approx(
        [1.0, 1.0]
    )


@pytest.mark.parametrize("points", [(), ({"run": 1.0},), ({"run": 0.0, "effort": 0.0},)])
def test_there_are_no_shares_of_one_component_or_of_nothing(
    points: tuple[dict[str, float], ...],
) -> None:
    assert component_shares([report(*points)], "") is None


def test_what_makes_nearly_all_and_what_makes_nothing_is_told() -> None:
    found = component_shares([report({"run": 95.0, "effort": 0.5, "spin": 4.5})], "g0.1")
    assert found is not None
    assert [item.text for item in found.findings] == [
        "at the end run makes 95 % of the whole",
        "effort never makes 1 % of the whole",
    ]
