"""What pictures of a reward are drawn from: slices, histograms by outcome, shares over training.

Every number of a picture is in one of these records, and each is kept as JSON beside the page.
"""

from typing import Literal

from rewardsmith.runs.records import Record

FindingKind = Literal[
    "flat",  # less than 1 % of the total's standard deviation
    "faint",  # less than 10 % of it over the whole axis
    "rises",
    "falls",
    "peak",
    "dip",
    "mixed",
    "slow",  # slope below a tenth of the steepest
    "jump",
    "levels",  # highest and lowest of a few values
    "moves",  # which components an axis moves
    "joint",  # whether two axes act together
    "constant",
    "apart",  # outcomes differ in a component
    "alike",
    "larger",  # a component's share of the whole
    "unused",
    "shaped",  # the total is made of the components by a shaping
]


class Finding(Record):
    """One thing that the numbers of a picture show, in words and as numbers.

    ``low`` and ``high`` are the stretch of the axis that it holds for, ``size`` its size: standard
    deviations of the total, or for shares a part of the whole.
    """

    kind: FindingKind
    text: str
    low: float | None = None
    high: float | None = None
    size: float | None = None


class Axis(Record):
    """One number of a step that a picture varies, and the values that it takes.

    ``low`` to ``high`` is the stored range, 1st to 99th percentile; ``few`` says that the values
    are the only ones stored (a contact, a choice), rather than evenly spaced ones.
    """

    name: str  # "distance", "joint_angles[0]", "prev_distance", "action[1]"
    unit: str
    at: tuple[float, ...]
    low: float
    high: float
    few: bool = False

    @property
    def label(self) -> str:
        """The name with its unit."""
        return f"{self.name} [{self.unit}]" if self.unit not in ("", "1") else self.name


StepKind = Literal["median", "best paid", "drawn"]


class Line(Record):
    """The reward along an axis with all else held at one stored step: (points,) each."""

    row: int  # of the bank
    step: StepKind
    here: float  # the step's own value of what is varied
    total: tuple[float, ...]
    components: dict[str, tuple[float, ...]]


class Slice(Record):
    """The reward along one axis at several typical stored steps, the median step first.

    ``move`` is the mean over the lines of the total's range, in its standard deviations.
    """

    axis: Axis
    lines: tuple[Line, ...]
    move: float
    findings: tuple[Finding, ...] = ()


class Surface(Record):
    """The total over two axes at one stored step: ``total[j][i]`` at ``y.at[j]``, ``x.at[i]``."""

    x: Axis
    y: Axis
    step: StepKind
    here: tuple[float, float]
    total: tuple[tuple[float, ...], ...]
    findings: tuple[Finding, ...] = ()


class Group(Record):
    """The stored steps of the episodes of one outcome."""

    name: str
    episodes: int
    rows: int
    mean: float
    shares: tuple[float, ...]  # of its steps in each bin


class Histogram(Record):
    """How the total or a component is distributed over stored steps, by outcome.

    Values beyond the outermost edges are counted in the outermost bins. No edges, no variation.
    """

    column: str
    is_total: bool
    edges: tuple[float, ...]
    groups: tuple[Group, ...]
    findings: tuple[Finding, ...] = ()


class Shares(Record):
    """Parts of the reward over a training: |mean of a component| over the sum of all of them."""

    label: str
    steps: tuple[float, ...]
    shares: dict[str, tuple[float, ...]]
    findings: tuple[Finding, ...] = ()


class Pictures(Record):
    """All pictures of one reward."""

    program_id: str
    env: str
    rows: int  # of the bank that it was asked about
    episodes: int
    total_mean: float
    total_std: float
    components: tuple[str, ...]
    unmoved: tuple[str, ...]  # what it reads and what moves it nowhere
    slices: tuple[Slice, ...]
    surfaces: tuple[Surface, ...]
    histograms: tuple[Histogram, ...]
    shares: tuple[Shares, ...] = ()
    findings: tuple[Finding, ...] = ()
