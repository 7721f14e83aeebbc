from xml.etree import ElementTree

from rewardsmith.runs.records import RunState
from rewardsmith.runs.scatter_plots import (
    fitness_range,
    returns_and_fitness,
    scatter_plot,
    scatters,
)


def test_a_point_is_a_judged_episode_and_one_without_a_return_is_none(
    finished_run: RunState,
) -> None:
    report = finished_run.candidates[0].reports[0]
    assert [y for _, y in returns_and_fitness([report])] == [e.fitness for e in report.episodes]
    unknown = [e.model_copy(update={"reward_return": None}) for e in report.episodes]
    assert returns_and_fitness([report.model_copy(update={"episodes": tuple(unknown)})]) == ()


def test_the_fittest_candidates_come_first_and_those_without_a_mean_never(
    finished_run: RunState,
) -> None:
    assert [name for name, _ in scatters(finished_run)] == ["g1.0", "g1.1", "g0.0", "g0.1"]


def test_all_panels_share_one_scale_of_fitness(finished_run: RunState) -> None:
    panels = scatters(finished_run)
    low, high = fitness_range(panels)
    values = [fitness for _, points in panels for _, fitness in points]
    assert low < min(values) < max(values) < high


def test_a_panel_has_a_dot_per_episode_within_its_frame() -> None:
    drawing = scatter_plot("g0.1", ((-1e6, 0.0), (1e6, 1.0)), (0.0, 1.0))
    nodes = ElementTree.fromstring(str(drawing)).iter()
    dots = [n for n in nodes if "seed" in n.attrib.get("class", "")]
    assert len(dots) == 2
    assert all(52 <= float(n.attrib["cx"]) <= 290 - 14 for n in dots)
