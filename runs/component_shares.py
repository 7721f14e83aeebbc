"""How a training's reward divides into its components, step for step."""

from collections.abc import Iterator, Sequence

from rewardsmith.runs.pictures import Finding, Shares
from rewardsmith.runs.records import TrainingReport
from rewardsmith.runs.report_curves import mean_curve

LARGE = 0.9
UNUSED = 0.01


def component_shares(reports: Sequence[TrainingReport], label: str) -> Shares | None:
    """Returns the share of each component along a training; None where fewer than two are known.

    A share is |mean per step| over the sum of |mean per step| of all components, the mean over
    the seeds first. What changes its sign within a stretch of the training counts for less.
    """
    names = list(dict.fromkeys(n for r in reports for point in r.curve for n in point.components))
    curves = {
        name: dict(mean_curve(reports, lambda p, name=name: p.components.get(name)))  # type: ignore[misc]
        for name in names
    }
    steps = [s for s in next(iter(curves.values()), {}) if all(s in c for c in curves.values())]
    sums = {step: sum(abs(curve[step]) for curve in curves.values()) for step in steps}
    steps = [step for step in steps if sums[step] > 0]
    if len(names) < 2 or not steps:
        return None
    shares = {
        name: tuple(abs(curve[step]) / sums[step] for step in steps)
        for name, curve in curves.items()
    }
    return Shares(label=label, steps=tuple(steps), shares=shares, findings=tuple(_findings(shares)))


def _findings(shares: dict[str, tuple[float, ...]]) -> Iterator[Finding]:
    for name, values in shares.items():
        if values[-1] >= LARGE:
            text = f"at the end {name} makes {100 * values[-1]:.0f} % of the whole"
            yield Finding(kind="larger", text=text, size=values[-1])
        elif max(values) < UNUSED:
            text = f"{name} never makes 1 % of the whole"
            yield Finding(kind="unused", text=text, size=max(values))
