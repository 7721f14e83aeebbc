"""What a reward pays an episode against what the episode is worth: a panel per candidate."""

from collections.abc import Sequence

from markupsafe import Markup

from rewardsmith.runs.plots import Point
from rewardsmith.runs.records import RunState, TrainingReport
from rewardsmith.runs.report_svg import Frame, axes, joined, padded, svg, tag
from rewardsmith.runs.report_view import selected
from rewardsmith.runs.report_words import number

MOST = 9  # panels, of the fittest candidates
_SIZE = (290, 190)


def returns_and_fitness(reports: Sequence[TrainingReport]) -> tuple[Point, ...]:
    """Returns (return under the trained reward, fitness) of every judged episode that has both."""
    return tuple(
        (episode.reward_return, episode.fitness)
        for report in reports
        for episode in report.episodes
        if episode.reward_return is not None
    )


def scatters(state: RunState) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    """Returns (candidate, points) of the fittest candidates, the best first.

    Returns of different rewards have no common scale: each candidate is a panel of its own.
    """
    means = {c.id: sum(v) / len(v) for c in state.candidates if (v := selected(c))}
    ranked = sorted((c for c in state.candidates if c.id in means), key=lambda c: -means[c.id])
    found = ((c.id, returns_and_fitness(c.reports)) for c in ranked)
    return tuple((name, points) for name, points in found if points)[:MOST]


def fitness_range(panels: Sequence[tuple[str, Sequence[Point]]]) -> tuple[float, float]:
    """Returns a range of fitness that all panels fit into, so that they can be compared."""
    return padded([fitness for _, points in panels for _, fitness in points], 0.08)


def scatter_plot(name: str, points: Sequence[Point], span: tuple[float, float]) -> Markup:
    """Draws a dot per judged episode: its return to the right, its fitness up."""
    frame = Frame(*padded([x for x, _ in points], 0.08), *span, *_SIZE, left=52, right=14, top=8)
    dots = joined(
        tag("circle", tag("title", f"return {number(x)}, fitness {number(y)}"), cx=frame.x(x),
            cy=frame.y(y), r=3, class_="seed arm-best")
        for x, y in points
    )  # fmt: skip
    grid = axes(frame, x_label="return of the reward", y_label="fitness", wanted=(4, 4))
    return svg(*_SIZE, grid + dots, f"return against fitness, {name}")
