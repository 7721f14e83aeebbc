"""Live progress of a run: a screen on a terminal, lines elsewhere, silence for programs."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rewardsmith.runs.live_progress import Progress, Row, best_line, spent_line, subject
from rewardsmith.runs.report_words import MISSING, count, duration, number, one_line, visible

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

Clock = Callable[[], float]


class LiveView:
    """Takes the loop's events; on its own it shows nothing (``--json``)."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.run = Progress()
        self._clock = clock
        self._start = clock()
        # Two locks: a screen is drawn by a thread of its own, which holds locks of rich's and reads
        # the state; were printing under the state's lock too, the two could wait for one another.
        self._state = threading.Lock()
        self._output = threading.Lock()

    def __call__(self, kind: str, **facts: object) -> None:
        """Takes in one event and shows what it changed; unknown kinds are ignored."""
        with self._output:
            with self._state:
                self.run.apply(kind, facts)
            self._show(kind, facts)

    def event(self, kind: str, **facts: object) -> None:
        """Takes in one event."""
        self(kind, **facts)

    @contextmanager
    def showing(self) -> Iterator["LiveView"]:
        """Shows the progress while the block runs, and leaves the terminal as it was."""
        self._open()
        try:
            yield self
        finally:
            self._close()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the view was made."""
        return self._clock() - self._start

    def _show(self, kind: str, facts: dict[str, Any]) -> None:
        """Shows an event that ``run`` has taken in."""

    def _open(self) -> None:
        """Takes the screen."""

    def _close(self) -> None:
        """Gives it back."""


class LineView(LiveView):
    """One plain line per event, for logs and pipes; trainings at every quarter."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._stream = stream
        self._quarters: dict[str, int] = {}

    def _show(self, kind: str, facts: dict[str, Any]) -> None:
        line = self._line(kind, facts)
        if line:
            self._stream.write(f"[{clock_text(self.elapsed_s)}] {one_line(line, 400)}\n")
            self._stream.flush()

    def _line(self, kind: str, facts: dict[str, Any]) -> str:
        if kind == "training":
            return self._training(str(facts.get("unit", "")))
        if kind in ("trained", "checked", "inspected", "critic", "asking", "analysed"):
            return self._of_row(kind, facts)
        run = self.run
        lines = {
            "run_started": f"{run.path}: {run.text}; {run.plan}".rstrip("; "),
            "generation_started": run.phase,
            "final_started": run.phase,
            "rendering": run.phase,
            "cell_started": run.phase,
            "waiting": f"waiting: {run.waiting}",
            "warning": str(facts.get("text", "")),
            "replied": f"reply received; so far {spent_line(run)}",
            "generation_done": f"{run.phase} done; best so far: {best_line(run)}",
            "finished": f"finished: {run.path}",
        }
        return lines.get(kind, "")

    def _of_row(self, kind: str, facts: dict[str, Any]) -> str:
        if kind == "trained":
            name = str(facts.get("unit", ""))
            unit = self.run.row(subject(name)).units.get(name)
            if unit is None:
                return ""
            failure = facts.get("failure")
            text = f"failed: {getattr(failure, 'text', failure)}"
            return f"{name} {text if unit.failed else f'trained, fitness {number(unit.fitness)}'}"
        subject_of = facts.get("candidate")
        row = self.run.rows.get(str(getattr(subject_of, "id", subject_of)))
        if row is None or (kind == "inspected" and not row.bad):  # nothing new but a refusal
            return ""
        return f"{row.name}: {row.state}"

    def _training(self, name: str) -> str:
        unit = self.run.row(subject(name)).units.get(name)
        quarter = int(4 * unit.share) if unit else 0
        if unit is None or quarter <= self._quarters.get(name, 0):
            return ""
        self._quarters[name] = quarter
        speed = f"{count(unit.steps_per_s)} steps/s"
        return f"{name} training {100 * unit.share:.0f} %, fitness {number(unit.fitness)}, {speed}"


class ScreenView(LiveView):
    """A screen that redraws itself: the phase, a row per candidate, costs, the best so far."""

    def __init__(self, console: "Console", clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console
        self._live: Any = None

    def _open(self) -> None:
        from rich.live import Live

        self._live = Live(
            get_renderable=self.screen,
            console=self._console,
            refresh_per_second=4,
            transient=False,
            vertical_overflow="ellipsis",
        )
        self._live.start()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, kind: str, facts: dict[str, Any]) -> None:
        if kind == "warning":
            text = visible(str(facts.get("text", "")))
            self._console.print(text, style="bold red", markup=False, highlight=False)

    def screen(self) -> "Group":
        """Returns what is shown now; called by the screen's own thread, too."""
        with self._state:
            return self._screen()

    def _screen(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        run = self.run
        width = max(30, self._console.width)
        parts: list[Any] = [Text(one_line(run.text, width), style="bold")] if run.text else []
        if run.plan:
            parts.append(Text(one_line(f"planned: {run.plan}", width), style="dim"))
        parts += [Text(""), self._phase(width)]
        if run.rows:
            parts.append(self._table(width))
        return Group(*parts, Text(""), *self._footer(width))

    def _phase(self, width: int) -> "Text":
        from rich.text import Text

        line = Text(one_line(self.run.phase, width), style="bold cyan")
        if self.run.waiting:
            line.append(f"\n{one_line(self.run.waiting, width)}", style="yellow")
        return line

    def _table(self, width: int) -> "Table":
        from rich import box
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=min(width, 110))
        table.add_column("candidate", no_wrap=True)
        table.add_column("state", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("progress", width=16)
        table.add_column("fitness", justify="right", no_wrap=True)
        table.add_column("steps/s", justify="right", no_wrap=True)
        with_rows = list(self.run.rows.values())
        for row in with_rows:
            bar = "" if row.share is None else ProgressBar(100, 100 * row.share, width=16)
            style = "red" if row.bad else "bold green" if row.name == self.run.best else ""
            cells = (Text(visible(row.name), style=style), Text(one_line(row.state, 200), style))
            table.add_row(*cells, bar, _fitness(row), _speed(row))
        return table

    def _footer(self, width: int) -> "tuple[Text, ...]":
        from rich.text import Text

        run, left = self.run, self.run.eta_s
        rest = f", about {duration(left)} of training left" if left is not None else ""
        lines = (
            f"best so far  {best_line(run)}",
            f"spent        {spent_line(run)}",
            f"time         {clock_text(self.elapsed_s)}{rest}",
        )
        return tuple(Text(one_line_kept(line, width)) for line in lines)


def clock_text(seconds: float) -> str:
    """Returns "h:mm:ss"."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def one_line_kept(text: str, width: int) -> str:
    """Returns the visible text cut at ``width``, its spaces as they are."""
    shown = visible(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def _fitness(row: Row) -> str:
    return MISSING if row.fitness is None else number(row.fitness)


def _speed(row: Row) -> str:
    return count(row.steps_per_s) if row.steps_per_s > 0 else ""


def make_view(*, silent: bool = False, stream: TextIO | None = None) -> LiveView:
    """Returns the view that fits: none for programs, lines for pipes, a screen for terminals.

    Progress goes to standard error, so that standard output holds the result alone.
    """
    target = sys.stderr if stream is None else stream
    if silent:
        return LiveView()
    if not target.isatty():
        return LineView(target)
    from rich.console import Console

    return ScreenView(Console(file=target))
