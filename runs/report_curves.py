"""From records to the lines of the report's plots: means over seeds, never over candidates."""

from collections.abc import Callable, Sequence
from statistics import fmean

from rewardsmith.runs.plots import Curve, Dots, Point, Result, Style
from rewardsmith.runs.records import CurvePoint, EpisodeSummary, RunState, TrainingReport
from rewardsmith.runs.report_multiples import Panel
from rewardsmith.runs.report_view import ARM_LABELS, arm_rows, fitnesses, selected

FIELDS_SHOWN = 9  # panels of one episode


def mean_curve(
    reports: Sequence[TrainingReport], value: Callable[[CurvePoint], float | None]
) -> tuple[Point, ...]:
    """Returns (steps, mean over seeds) at the steps that every unfailed seed has a value for."""
    whole = [r for r in reports if r.failure is None and r.curve]
    at: dict[int, list[float]] = {}
    for report in whole:
        for point in report.curve:
            found = value(point)
            if found is not None:
                at.setdefault(point.steps, []).append(found)
    return tuple((float(s), fmean(v)) for s, v in sorted(at.items()) if len(v) == len(whole))


def fitness_curves(state: RunState) -> tuple[Curve, ...]:
    """Returns a curve of every candidate on its selection seeds, and of the arms on held-out seeds.

    Once the best is trained on held-out seeds, those are what stands out beside the human reward:
    the seeds that selected it flatter it.
    """
    arms = {arm.name: arm.reports for arm in state.arms}
    curves = [
        _fitness_curve(c.id, c.reports, _style(c.id == state.best and "best" not in arms))
        for c in state.candidates
    ]
    if "best" in arms:
        curves.append(_fitness_curve(f"{state.best}, held-out", arms["best"], "best"))
    if "human" in arms:
        curves.append(_fitness_curve(ARM_LABELS["human"], arms["human"], "human"))
    return tuple(c for c in curves if c.points)


def _fitness_curve(name: str, reports: Sequence[TrainingReport], style: Style) -> Curve:
    label = f"{name}, mean of {len(fitnesses(reports))} seeds"
    return Curve(label, mean_curve(reports, lambda point: point.fitness), style)


def _style(best: bool) -> Style:
    return "best" if best else "thin"


def arm_dots(state: RunState) -> tuple[Dots, ...]:
    """Returns the rows of the interval plot."""
    return tuple(Dots(row.label, row.values, row.name) for row in arm_rows(state))


def search_results(state: RunState) -> tuple[Result, ...]:
    """Returns every candidate that has come to something: a mean fitness, or a failure."""
    results = []
    for candidate in state.candidates:
        values = selected(candidate)
        if values or candidate.failure or candidate.reports:
            mean = fmean(values) if values else None
            best = candidate.id == state.best
            results.append(Result(candidate.id, candidate.generation, mean, best))
    return tuple(results)


def component_names(state: RunState) -> tuple[str, ...]:
    """Returns all component names, the most common first, so that those differ in colour."""
    times: dict[str, int] = {}
    for candidate in state.candidates:
        for name in _components(candidate.reports):
            times[name] = times.get(name, 0) + 1
    return tuple(sorted(times, key=lambda name: -times[name]))


def _component(reports: Sequence[TrainingReport], name: str) -> tuple[Point, ...]:
    return mean_curve(reports, lambda point: point.components.get(name))


def _components(reports: Sequence[TrainingReport]) -> tuple[str, ...]:
    names = [name for r in reports for point in r.curve for name in point.components]
    return tuple(dict.fromkeys(names))


def component_panels(state: RunState) -> tuple[Panel, ...]:
    """Returns one panel per trained candidate: each component's mean per step, and the total's."""
    panels = []
    for candidate in state.candidates:
        names = _components(candidate.reports)
        lines = {name: _component(candidate.reports, name) for name in names}
        if len(names) > 1:
            lines["total"] = mean_curve(candidate.reports, lambda p: p.total)
        if any(lines.values()):
            panels.append(Panel(candidate.id, lines))
    return tuple(panels)


def typical_episode(state: RunState) -> EpisodeSummary | None:
    """Returns the judged episode of median fitness of the best policy, held-out seeds first."""
    arms = [r for arm in state.arms if arm.name == "best" for r in arm.reports]
    best = [r for c in state.candidates if c.id == state.best for r in c.reports]
    for reports in (arms, best):
        episodes = sorted((e for r in reports for e in r.episodes), key=lambda e: e.fitness)
        if episodes:
            return episodes[len(episodes) // 2]
    return None


def episode_panels(episode: EpisodeSummary) -> tuple[Panel, ...]:
    """Returns one panel per recorded field, over the steps of the episode."""
    panels = []
    for name, values in list(episode.fields.items())[:FIELDS_SHOWN]:
        gap = (episode.length - 1) / max(1, len(values) - 1)
        points = tuple((k * gap, value) for k, value in enumerate(values))
        panels.append(Panel(name, {name: points}))
    return tuple(panels)
