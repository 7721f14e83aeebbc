"""What the sandboxes' self-tests tried and found, as tables for a terminal."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from rewardsmith.sandbox.backend import SelfTest
from rewardsmith.sandbox.guarantees import KINDS, Check

_CANNOT = "cannot "
_ALONE = " alone: "
_TWO_ABREAST = 118  # columns that two tables of doors take side by side
_HELD, _OPEN, _UNTRIED = "held", "OPEN", "-"
# The one check that is no door, in words that go on with "a program cannot".
_AS_DOOR = {"has a clean environment": "see other variables"}


@dataclass
class Door:
    """One thing that was tried: behind the worker's own walls, and behind the backend's alone."""

    name: str
    walls: str = _UNTRIED
    alone: str = _UNTRIED
    found: str = ""
    remedies: list[str] = field(default_factory=list)


def as_tables(tests: Mapping[str, SelfTest], *, width: int, colour: bool = False) -> str:
    """Returns the limits of all backends, then each backend's doors and what mends the open ones.

    Args:
        tests: self-tests by backend, in the order to show.
        width: columns of the terminal.
        colour: whether to colour what is not held.
    """
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, no_color=not colour, highlight=False
    )
    console.print(_limits(tests))
    for name, test in tests.items():
        if test.checks:
            console.print()
            for part in _backend(name, test, width):
                console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))


def doors(test: SelfTest) -> list[Door]:
    """Brings the checks of one self-test together by what was tried, in the order of trial."""
    found: dict[str, Door] = {}
    for check in test.checks:
        alone = _ALONE in check.name
        name = check.name.partition(_ALONE)[2] if alone else check.name
        name = _AS_DOOR.get(name, name.removeprefix(_CANNOT))
        door = found.setdefault(name, Door(name))
        state = _HELD if check.passed else _OPEN
        if alone:
            door.alone = state
        else:
            door.walls = state
        # What was found where it is open says more than what was found where it is held.
        if not door.found or not check.passed:
            door.found = check.found
        if check.remedy and check.remedy not in door.remedies:
            door.remedies.append(check.remedy)
    return list(found.values())


def _limits(tests: Mapping[str, SelfTest]) -> Table:
    table = _plain("limit", *tests)
    for kind in KINDS:
        held = (test.guarantees.get(kind, _UNTRIED) for test in tests.values())
        table.add_row(Text(kind), *map(_marked, held))
    starts = (test.start_ms for test in tests.values())
    took = (_UNTRIED if ms is None else f"{ms:.0f} ms" for ms in starts)
    table.add_row(Text("start"), *map(Text, took))
    return table


def _backend(name: str, test: SelfTest, width: int) -> Iterator[RenderableType]:
    every = doors(test)
    if not any(_CANNOT in check.name for check in test.checks):
        yield from (_why(name, check) for check in test.checks)
        return
    abreast = 2 if width >= _TWO_ABREAST else 1
    heads = (f"{name}: a program cannot", "walls", "alone", "found")
    table = _plain(*heads, *(("a program cannot", *heads[1:]) if abreast == 2 else ()))
    rows = -(-len(every) // abreast)
    for at in range(rows):
        cells = [cell for door in every[at::rows] for cell in _cells(door)]
        table.add_row(*cells)
    yield table
    yield from _remedies(every)


def _cells(door: Door) -> tuple[Text, ...]:
    return Text(door.name), _marked(door.walls), _marked(door.alone), Text(door.found)


def _remedies(every: list[Door]) -> Iterator[Text]:
    """Yields each remedy once, with the doors that it shuts."""
    shut: dict[str, list[str]] = {}
    for door in every:
        for remedy in door.remedies:
            shut.setdefault(remedy, []).append(door.name)
    for remedy, names in shut.items():
        yield Text(f"  {', '.join(names)}: {remedy}")


def _why(name: str, check: Check) -> Text:
    tail = f". {check.remedy}" if check.remedy else ""
    return Text(f"{name}: {check.name}: {check.found}{tail}")


def _marked(word: str) -> Text:
    return Text(word, style={"soft": "yellow", "none": "bold red", _OPEN: "bold red"}.get(word, ""))


def _plain(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    return table
