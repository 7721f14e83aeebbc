"""Asks a program again what a training asked it, in a fresh worker, and compares the answers.

A reward is a function of its parameters. A program that counts its calls, looks at a clock or at
addresses, or keeps something between calls answers a fresh worker differently. It gains nothing by
noticing an audit: what it is compared with was answered before, in another process.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import BoolArray, FloatArray
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.laws import TOLERANCE
from rewardsmith.sandbox.probe_steps import replaced
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

_FEWEST, _MOST = 9, 65  # rows of a batch that is put together anew
# A worker may end so on a machine that is short of something: then it is asked once more.
_PERHAPS_THE_MACHINE = ("stalled", "timeout", "killed", "oom", "exited")

_PURE = (
    "A reward depends on its parameters only: no counters, no clock (np.datetime64('now')), no "
    "id() or hash(), no np.empty that is not filled, and no list, dict, attribute or default "
    "argument that changes from call to call. For what must be remembered within an episode "
    "declare MEMORY and take `memory`."
)
_ALONE = (
    "Every environment is rewarded by its own values only: nothing may depend on the other rows of "
    "a call, on their order or number, or on how often the program was called before."
)


@dataclass(frozen=True)
class Told:
    """One call of a training: what was asked and what was answered.

    ``number`` counts the training's calls from 1; ``fresh`` says that memory began anew with it.
    ``whole`` is False where only some of the call's rows (with memory: lanes) were kept.
    """

    number: int
    steps: Steps
    answer: RewardBatch
    fresh: bool
    whole: bool


# Calls that followed one another, with the same lanes; one call where there is no memory.
Window = tuple[Told, ...]


def comparable(window: Window, *, memory: bool) -> list[BoolArray]:
    """Returns, for each call of a window, (rows,): what its answer does not owe to earlier calls.

    With memory that is a lane's rows from the first episode on that starts within the window.
    """
    if not memory:
        return [np.ones(told.steps.rows, dtype=np.bool_) for told in window]
    known = np.zeros(window[0].steps.num_envs, dtype=np.bool_)
    masks = []
    for told in window:
        starts = told.steps.starts.reshape(-1, len(known))
        since = np.logical_or.accumulate(np.vstack([known | told.fresh, starts]))[1:]
        masks.append(since.reshape(-1))
        known = since[-1]
    return masks


@dataclass(frozen=True)
class _Broken:
    """A failure where there had been an answer."""

    number: int
    failure: Failure


Question = Callable[[], Failure | _Broken | None]


class Auditor:
    """Opens fresh workers and asks them what was asked before; ``calls`` counts the questions.

    Args:
        fresh: opens a reward source exactly as the training's own was opened.
        memory: whether the program has ``memory``.
        random: in which order it asks, and which rows it mixes.
        seconds: once all questions took this time, each worker is asked one only.
        clock: what the seconds are measured with.
    """

    def __init__(
        self,
        fresh: Callable[[], RewardSource],
        *,
        memory: bool,
        random: np.random.Generator,
        seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fresh = fresh
        self._memory = memory
        self._random = random
        self._seconds = seconds
        self._clock = clock
        self.calls = 0

    def found(self, windows: Sequence[Window]) -> Failure | None:
        """Returns how the program was impure in what ``windows`` hold, None if nothing shows.

        Raises:
            SandboxUnavailable: no worker could be started.
        """
        asked = [w for w in windows if any(m.any() for m in comparable(w, memory=self._memory))]
        if not asked:
            return None
        failure = self._session(asked)
        if isinstance(failure, _Broken) and failure.failure.kind in _PERHAPS_THE_MACHINE:
            failure = self._session(asked)
        return _broken(failure) if isinstance(failure, _Broken) else failure

    def _session(self, windows: Sequence[Window]) -> Failure | _Broken | None:
        """All questions to one worker: each twice, at odd and at even places of its calls."""
        order = [windows[i] for i in self._random.permutation(len(windows))]
        source = self._fresh()
        questions: list[Question] = [partial(self._replayed, source, window) for window in order]
        questions += [partial(self._mixed, source, order), *reversed(questions)]
        try:
            for number, question in enumerate(questions):
                if number and self._seconds <= 0:
                    return None
                began = self._clock()
                found = question()
                self._seconds -= self._clock() - began
                if found is not None:
                    return found
        finally:
            source.close()
        return None

    def _replayed(self, source: RewardSource, window: Window) -> Failure | _Broken | None:
        """Asks a window's calls one after the other, from empty memory on."""
        masks = comparable(window, memory=self._memory)
        for place, (told, mask) in enumerate(zip(window, masks, strict=True)):
            again = self._ask(source, told.steps, carry=place > 0)
            if isinstance(again, Failure):
                return _Broken(told.number, again)
            rows = np.flatnonzero(mask)
            found = _difference(told.answer, again, rows, rows, exact=told.whole)
            if found is not None:
                return _changed(told.number, found)
        return None

    def _mixed(self, source: RewardSource, windows: Sequence[Window]) -> Failure | _Broken | None:
        """Asks rows of several calls in one small batch; with memory, cuts one window anew."""
        if self._memory:
            return self._cut_anew(source, windows[0])
        last = [window[-1] for window in windows]
        which = self._random.integers(len(last), size=int(self._random.integers(_FEWEST, _MOST)))
        picks = [(last[i], int(self._random.integers(last[i].steps.rows))) for i in which]
        again = self._ask(source, _gathered(picks), carry=False)
        if isinstance(again, Failure):
            return _Broken(picks[0][0].number, again)
        for place, (told, row) in enumerate(picks):
            found = _difference(told.answer, again, _one(row), _one(place), exact=False)
            if found is not None:
                return _depends(told.number, found)
        return None

    def _cut_anew(self, source: RewardSource, window: Window) -> Failure | _Broken | None:
        """Some lanes without the others, in one call that begins an odd number of steps later."""
        whole, before = _joined(window)
        envs, times = whole.num_envs, whole.rows // whole.num_envs
        lanes = np.sort(self._random.permutation(envs)[: max(1, envs // 2)])
        later = 1 + 2 * int(self._random.integers(max(times // 4, 1))) if times > 1 else 0
        index = rows_of(lanes, whole)[later * len(lanes) :]
        part = replaced(whole.take(index), len(lanes), whole.starts[index])
        again = self._ask(source, part, carry=False)
        if isinstance(again, Failure):
            return _Broken(window[0].number, again)
        cut = Told(window[0].number, part, again, window[0].fresh and later == 0, whole=False)
        seen = np.flatnonzero(comparable((cut,), memory=True)[0])
        found = _difference(before, again, index[seen], seen, exact=False)
        if found is None:
            return None
        return _depends(*_placed(window, found))

    def _ask(self, source: RewardSource, steps: Steps, *, carry: bool) -> RewardBatch | Failure:
        self.calls += 1
        return source.rewards(steps, carry=carry)


@dataclass(frozen=True)
class _Difference:
    name: str  # "" is the total
    row: int
    before: float
    now: float
    rows: int
    of: int


def rows_of(lanes: npt.NDArray[np.int64], steps: Steps) -> npt.NDArray[np.int64]:
    """Returns the rows of some environments, time-major as the steps are."""
    times = np.arange(steps.rows // steps.num_envs) * steps.num_envs
    return (times[:, None] + lanes).reshape(-1)


def _one(row: int) -> npt.NDArray[np.int64]:
    return np.array([row])


def _gathered(picks: Sequence[tuple[Told, int]]) -> Steps:
    """Puts single rows of several calls together."""
    return _end_to_end([told.steps.take(_one(row)) for told, row in picks], len(picks))


def _end_to_end(parts: Sequence[Steps], num_envs: int) -> Steps:
    first = parts[0]
    return Steps(
        num_envs=num_envs,
        after={k: np.concatenate([part.after[k] for part in parts]) for k in first.after},
        before={k: np.concatenate([part.before[k] for part in parts]) for k in first.before},
        action=np.concatenate([part.action for part in parts]),
        terminated=np.concatenate([part.terminated for part in parts]),
        truncated=np.concatenate([part.truncated for part in parts]),
        starts=np.concatenate([part.starts for part in parts]),
        native_reward=np.concatenate([part.native_reward for part in parts]),
    )


def _joined(window: Window) -> tuple[Steps, RewardBatch]:
    """A window as if it had been one call."""
    names = window[0].answer.components
    parts = {n: np.concatenate([told.answer.components[n] for told in window]) for n in names}
    total = np.concatenate([told.answer.total for told in window])
    steps = _end_to_end([told.steps for told in window], window[0].steps.num_envs)
    return steps, RewardBatch(total, parts)


def _placed(window: Window, found: _Difference) -> tuple[int, _Difference]:
    """Returns the call in which a row of a joined window lies, and its place there."""
    row = found.row
    for told in window[:-1]:
        if row < told.steps.rows:
            return told.number, replace(found, row=row)
        row -= told.steps.rows
    return window[-1].number, replace(found, row=row)


def _difference(
    told: RewardBatch,
    again: RewardBatch,
    there: npt.NDArray[np.int64],
    here: npt.NDArray[np.int64],
    *,
    exact: bool,
) -> _Difference | None:
    """The first column in which rows ``there`` of one answer are not rows ``here`` of another."""
    other_names = set(told.components) ^ set(again.components)
    if other_names:
        name = min(other_names)
        return _Difference(name, int(there[0]), float("nan"), float("nan"), len(there), len(there))
    for name in [*told.components, ""]:
        before = (told.components[name] if name else told.total)[there]
        now = (again.components[name] if name else again.total)[here]
        off = _bits(before) != _bits(now) if exact else _far(before, now)
        if off.any():
            at = int(np.argmax(off))
            count = int(off.sum())
            return _Difference(
                name, int(there[at]), float(before[at]), float(now[at]), count, len(there)
            )
    return None


def _bits(column: FloatArray) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(column).view(np.int64)


def _far(one: FloatArray, other: FloatArray) -> BoolArray:
    scale = np.maximum(np.maximum(np.abs(one), np.abs(other)), 1.0)
    far: BoolArray = np.abs(one - other) > TOLERANCE * scale
    return far


def _impure(text: str) -> Failure:
    return Failure(kind="impure", text=text)


def _said(found: _Difference) -> str:
    what = f"Component {found.name!r}" if found.name else "The total reward"
    return f"{what} is impure"


def _numbers(found: _Difference) -> tuple[str, str]:
    """Both values, with as many digits as it takes to tell them apart."""
    short = f"{found.before:.9g}", f"{found.now:.9g}"
    return short if short[0] != short[1] else (f"{found.before:.17g}", f"{found.now:.17g}")


def _changed(number: int, found: _Difference) -> Failure:
    if np.isnan(found.before):
        return _impure(
            f"{_said(found)}: call {number} of the training named other components than a fresh "
            f"process does for the same steps. {_PURE}"
        )
    before, now = _numbers(found)
    return _impure(
        f"{_said(found)}: call {number} of the training got {before} in row {found.row}, "
        f"and a fresh process answers {now} to the same steps ({found.rows} of "
        f"{found.of} rows differ). {_PURE}"
    )


def _depends(number: int, found: _Difference) -> Failure:
    if np.isnan(found.before):
        return _changed(number, found)
    before, now = _numbers(found)
    return _impure(
        f"{_said(found)}: call {number} of the training got {before} in row {found.row}, "
        f"and the same row is worth {now} among other rows. {_ALONE}"
    )


def _broken(found: _Broken) -> Failure:
    return _impure(
        f"The reward is impure: call {found.number} of the training was answered, and a fresh "
        f"process fails on the same steps ({found.failure.kind}: {found.failure.text}) {_PURE}"
    )
