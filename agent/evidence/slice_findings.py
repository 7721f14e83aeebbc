"""What a slice shows, in words with numbers: flat, rising, peaked, a threshold, levelling off.

The unit of all sizes is the standard deviation of the total over the bank (std): what a policy's
experience varies by, and so what a difference in reward counts against.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rewardsmith.envs.task import FloatArray
from rewardsmith.runs.pictures import Axis, Finding, FindingKind

FLAT = 0.01  # std; what varies less is flat
FAINT = 0.1  # std
STRETCH = 0.15  # of an axis; a shorter flat stretch is not told
SLOW = 0.1  # of the steepest slope
SLOW_STRETCH = 0.25  # of an axis
JUMP = 0.25  # std between two neighbouring points
ALONE = 4.0  # times the steps on both sides of a jump
JOINT = 0.1  # of a surface's range
_VERBS: dict[FindingKind, str] = {
    "rises": "rises with {name}",
    "falls": "falls with {name}",
    "peak": "highest near {name} = {at}",
    "dip": "lowest near {name} = {at}",
    "mixed": "rises and falls over {name}",
}


def line_findings(
    axis: Axis, total: FloatArray, components: Mapping[str, FloatArray], std: float
) -> tuple[Finding, ...]:
    """Returns what the lines of a slice show.

    Args:
        axis: what is varied.
        total: (lines, points) the total along it at each typical step.
        components: the same of each component.
        std: standard deviation of the total over the bank, > 0.
    """
    size = float(np.ptp(total, axis=1).max()) / std
    if size < FLAT:
        text = f"flat, range < 1 % of std, over all of {axis.name}"
        return (Finding(kind="flat", text=text, size=size), *_hidden_moves(axis, components, std))
    if axis.few:
        return (_levels(axis, total, std), *_moves(axis, components, std))
    if size < FAINT:
        text = f"faint, range {size:.2g} std at most, over all of {axis.name}"
        return (Finding(kind="faint", text=text, size=size), *_moves(axis, components, std))
    flat = tuple(_flat(axis, total, std))
    return (
        _direction(axis, total, std),
        *flat,
        *_slow(axis, total, flat),
        *_jump(axis, total, std),
        *_moves(axis, components, std),
    )


def _direction(axis: Axis, total: FloatArray, std: float) -> Finding:
    moving = total[np.ptp(total, axis=1) >= FLAT * std]
    shapes = [_shape(line, FLAT * std) for line in moving]
    kind, times = Counter(shapes).most_common(1)[0]
    alike = moving[[shape == kind for shape in shapes]]
    size = float(np.ptp(alike, axis=1).mean()) / std
    place = np.argmax(alike, axis=1) if kind == "peak" else np.argmin(alike, axis=1)
    where = float(np.median(np.array(axis.at)[place]))
    words = _VERBS[kind].format(name=axis.name, at=_value(axis, where))
    share = "" if times == len(total) else f", in {times} of {len(total)} typical steps"
    share += f" (flat in {len(total) - len(moving)})" if len(moving) < len(total) else ""
    at = where if kind in ("peak", "dip") else None
    text = f"{words}{share}, range {size:.2g} std"
    return Finding(kind=kind, text=text, low=at, high=at, size=size)


def _shape(line: FloatArray, tolerance: float) -> FindingKind:
    """Returns the word for one line: up, down, up and then down, down and then up, or neither."""
    if _falls_by(line) <= tolerance:
        return "rises"
    if _falls_by(-line) <= tolerance:
        return "falls"
    top, bottom = int(np.argmax(line)), int(np.argmin(line))
    if max(_falls_by(line[: top + 1]), _falls_by(-line[top:])) <= tolerance:
        return "peak"
    if max(_falls_by(-line[: bottom + 1]), _falls_by(line[bottom:])) <= tolerance:
        return "dip"
    return "mixed"


def _falls_by(line: FloatArray) -> float:
    """Returns the largest fall from any earlier point to a later one, 0 of a line that rises."""
    return float((np.maximum.accumulate(line) - line).max())


def _flat(axis: Axis, total: FloatArray, std: float) -> Iterator[Finding]:
    """Yields the flat stretches of all lines at once, the longest first, none within another."""
    points = total.shape[1]
    taken: list[tuple[int, int]] = []
    for first, stop in sorted(_windows(total, FLAT * std), key=lambda w: w[0] - w[1]):
        if stop - first < max(3, STRETCH * points):
            return
        if all(stop <= a + 1 or first >= b - 1 for a, b in taken):
            taken.append((first, stop))
            yield _stretch("flat", "flat, range < 1 % of std", axis, first, stop)


def _windows(total: FloatArray, tolerance: float) -> list[tuple[int, int]]:
    """Returns for each first point the longest stretch [first, stop) within the tolerance."""
    points = total.shape[1]
    found = []
    for first in range(points):
        ahead = total[:, first:]
        spread = np.maximum.accumulate(ahead, axis=1) - np.minimum.accumulate(ahead, axis=1)
        inside = (spread < tolerance).all(axis=0)
        length = points - first if inside.all() else int(np.argmin(inside))
        found.append((first, first + length))
    return found


def _slow(axis: Axis, total: FloatArray, flat: Sequence[Finding]) -> Iterator[Finding]:
    """Yields the ends at which every line's slope stays below a tenth of its steepest."""
    slopes = np.abs(np.diff(total, axis=1))
    steep = (slopes >= SLOW * slopes.max(axis=1, keepdims=True)).any(axis=0)
    if not steep.any():
        return
    first, last = int(np.argmax(steep)), len(steep) - int(np.argmax(steep[::-1]))
    points = total.shape[1]
    for begin, stop in ((0, first + 1), (last, points)):
        stretch = _stretch("slow", "slope below a tenth of the steepest", axis, begin, stop)
        if stop - begin >= SLOW_STRETCH * points and not _mostly(stretch, flat):
            yield stretch


def _mostly(stretch: Finding, flat: Sequence[Finding]) -> bool:
    """Tells whether more than half of a stretch has been called flat already."""
    low, high = stretch.low or 0.0, stretch.high or 0.0
    common = (min(high, f.high or 0.0) - max(low, f.low or 0.0) for f in flat)
    return any(part > 0.5 * (high - low) for part in common)


def _jump(axis: Axis, total: FloatArray, std: float) -> Iterator[Finding]:
    """Yields the place where most lines leap between two neighbouring points."""
    steps = np.abs(np.diff(total, axis=1)) / std
    padded = np.pad(steps, ((0, 0), (1, 1)))
    beside = np.maximum(padded[:, :-2], padded[:, 2:])
    leaps = (steps >= JUMP) & (steps > ALONE * beside)
    times = leaps.sum(axis=0)
    if not times.any():
        return
    place = int(np.argmax(times))
    size = float(steps[leaps[:, place], place].mean())
    low, high = axis.at[place], axis.at[place + 1]
    share = "" if times[place] == len(total) else f" in {times[place]} of {len(total)} steps"
    text = (
        f"jumps by {size:.2g} std{share} between {axis.name} = {_bare(axis, low)} "
        f"and {_value(axis, high)}"
    )
    yield Finding(kind="jump", text=text, low=low, high=high, size=size)


def _levels(axis: Axis, total: FloatArray, std: float) -> Finding:
    """Says at which of a few values the total is highest and lowest, on average over the lines."""
    mean = total.mean(axis=0)
    size = float(np.ptp(total, axis=1).mean()) / std
    high, low = axis.at[int(np.argmax(mean))], axis.at[int(np.argmin(mean))]
    text = f"highest at {axis.name} = {high:g}, lowest at {low:g}, range {size:.2g} std"
    return Finding(kind="levels", text=text, low=low, high=high, size=size)


def _moves(axis: Axis, components: Mapping[str, FloatArray], std: float) -> Iterator[Finding]:
    sizes = {name: float(np.ptp(v, axis=1).max()) / std for name, v in components.items()}
    moved = sorted((name for name in sizes if sizes[name] >= FLAT), key=lambda n: -sizes[n])
    if moved:
        names = ", ".join(f"{name} {sizes[name]:.2g} std" for name in moved)
        yield Finding(kind="moves", text=f"moves {names}", size=sizes[moved[0]])


def _hidden_moves(
    axis: Axis, components: Mapping[str, FloatArray], std: float
) -> Iterator[Finding]:
    """Yields what moves although the total does not: components that cancel or are not summed."""
    for found in _moves(axis, components, std):
        text = f"{found.text}, yet not the total"
        yield found.model_copy(update={"text": text})


def _stretch(kind: FindingKind, words: str, axis: Axis, first: int, stop: int) -> Finding:
    """Returns a finding that holds for the points [first, stop) of an axis."""
    low, high = axis.at[first], axis.at[stop - 1]
    if first == 0:
        where = f"{axis.name} < {_value(axis, high)}"
    elif stop == len(axis.at):
        where = f"{axis.name} > {_value(axis, low)}"
    else:
        where = f"{axis.name} from {_bare(axis, low)} to {_value(axis, high)}"
    return Finding(kind=kind, text=f"{words}, for {where}", low=low, high=high)


def surface_findings(x: Axis, y: Axis, total: FloatArray, std: float) -> tuple[Finding, ...]:
    """Returns where a surface is highest and lowest, and whether its axes act together.

    Args:
        x: the axis of its columns.
        y: the axis of its rows.
        total: (len(y.at), len(x.at)).
        std: standard deviation of the total over the bank, > 0.
    """
    size = float(np.ptp(total)) / std
    if size < FLAT:
        text = f"flat, range < 1 % of std, over {x.name} and {y.name}"
        return (Finding(kind="flat", text=text, size=size),)
    top, bottom = (np.unravel_index(k, total.shape) for k in (total.argmax(), total.argmin()))
    ends = [
        f"{x.name} = {_value(x, x.at[i])}, {y.name} = {_value(y, y.at[j])}"
        for j, i in (top, bottom)
    ]
    text = f"highest at {ends[0]}; lowest at {ends[1]}; range {size:.2g} std"
    return (Finding(kind="peak", text=text, size=size), _joint(x, y, total))


def _joint(x: Axis, y: Axis, total: FloatArray) -> Finding:
    """Says how far the total is from a part of x plus a part of y."""
    apart = total.mean(axis=1, keepdims=True) + total.mean(axis=0, keepdims=True) - total.mean()
    share = float(np.ptp(total - apart) / np.ptp(total))
    if share < JOINT:
        text = f"a part of {x.name} plus a part of {y.name}: neither changes what the other does"
    else:
        text = (
            f"{x.name} and {y.name} act together: {100 * share:.0f} % of the range is no sum of "
            "their two parts"
        )
    return Finding(kind="joint", text=text, size=share)


def _bare(axis: Axis, value: float) -> str:
    """Returns a value as finely as its axis is divided."""
    step = (axis.at[-1] - axis.at[0]) / max(1, len(axis.at) - 1)
    digits = max(0, -int(np.floor(np.log10(step)))) if step > 0 else 2
    text = f"{value:.{min(digits, 9)}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text  # no "-0.0"


def _value(axis: Axis, value: float) -> str:
    return f"{_bare(axis, value)} {axis.unit}" if axis.unit not in ("", "1") else _bare(axis, value)
