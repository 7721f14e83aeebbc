import pytest

from rewardsmith.runs.records import CurvePoint, RunState, TrainingReport
from rewardsmith.runs.report_curves import (
    component_names,
    component_panels,
    episode_panels,
    fitness_curves,
    mean_curve,
    search_results,
    typical_episode,
)
from rewardsmith.sandbox.failure import Failure


def trained(seed: int, *points: tuple[int, float | None]) -> TrainingReport:
    curve = tuple(
        CurvePoint(
            steps=steps,
            fitness=fitness,
            success_rate=None,
            episode_length=None,
            total=None,
            components={},
        )
        for steps, fitness in points
    )
    return TrainingReport(unit=f"u{seed}", seed=seed, steps=10, fitness=1.0, curve=curve)


def test_a_mean_is_taken_only_where_every_seed_has_a_value() -> None:
    reports = [
        trained(0, (10, 1.0), (20, 2.0), (30, None)),
        trained(1, (10, 3.0), (20, 4.0), (30, 9.0)),
    ]
    assert mean_curve(reports, lambda p: p.fitness) == ((10.0, 2.0), (20.0, 3.0))


def test_a_failed_seed_is_left_out_of_the_curve() -> None:
    failed = TrainingReport(
        unit="u2", seed=2, steps=10, failure=Failure(kind="diverged", text="nan")
    )
    assert mean_curve([trained(0, (10, 1.0)), failed], lambda p: p.fitness) == ((10.0, 1.0),)
    assert mean_curve([failed], lambda p: p.fitness) == ()


def test_the_best_candidate_and_the_human_reward_stand_out(finished_run: RunState) -> None:
    curves = fitness_curves(finished_run)
    assert [c.label for c in curves if c.style == "best"] == ["g1.0, held-out, mean of 5 seeds"]
    assert [c.label for c in curves if c.style == "human"] == ["human reward, mean of 5 seeds"]
    assert len(curves) == 7


def test_before_the_final_comparison_the_best_stands_out_on_its_selection_seeds(
    finished_run: RunState,
) -> None:
    curves = fitness_curves(finished_run.model_copy(update={"arms": ()}))
    assert [c.label for c in curves if c.style == "best"] == ["g1.0, mean of 3 seeds"]


def test_the_search_counts_a_half_failed_candidate_as_failed(finished_run: RunState) -> None:
    found = {r.label: r.fitness for r in search_results(finished_run)}
    assert found["g1.2"] is None
    assert found["g0.2"] is None
    assert found["g1.0"] == pytest.approx(22.8)
    assert len(found) == 7


def test_components_are_ordered_by_how_many_candidates_use_them(finished_run: RunState) -> None:
    assert component_names(finished_run) == ("run", "effort", "alive", "upright")


def test_every_trained_candidate_has_a_panel_with_its_total(finished_run: RunState) -> None:
    panels = {p.title: tuple(p.series) for p in component_panels(finished_run)}
    assert panels["g1.0"] == ("run", "upright", "effort", "total")
    assert panels["g1.2"] == ("run",)
    assert "g0.2" not in panels


def test_the_typical_episode_is_the_median_one_of_the_held_out_seeds(
    finished_run: RunState,
) -> None:
    episode = typical_episode(finished_run)
    assert episode is not None
    assert episode.fitness == 19.9
    panels = episode_panels(episode)
    assert [p.title for p in panels] == ["torso_height", "torso_pitch", "forward_velocity"]
    assert panels[0].series["torso_height"][-1][0] == 999.0


def test_a_run_without_episodes_has_no_typical_one() -> None:
    assert typical_episode(RunState(run="r", task="t")) is None
