"""The table of attacks says what the tests saw: all of it, and nothing else."""

from pathlib import Path

import pytest
from attack_list import ATTACKS
from attack_record import (
    BACKENDS,
    CONTROL,
    ELSEWHERE,
    NO_CONTROL,
    RECORDING,
    Record,
    letter,
    outcomes_of,
    page,
)

ROWS = Record().rows
pytestmark = pytest.mark.skipif(RECORDING, reason="the record is being made")


def test_the_page_is_what_the_record_renders_to(root: Path) -> None:
    made = (root / "docs" / "attacks.md").read_text()
    assert made == page(ROWS), "run bash tools/attack_table"


def test_every_attack_was_tried_behind_every_backend() -> None:
    assert list(ATTACKS) == list(range(1, 100))
    missing = [
        (number, column)
        for number in ATTACKS
        for column in BACKENDS
        if not outcomes_of(ROWS, number, column) and number not in ELSEWHERE
    ]
    assert missing == []


def test_every_probe_was_tried_behind_every_backend() -> None:
    partial = {
        name: row for name, row in ROWS.items() if not all(row.get(column) for column in BACKENDS)
    }
    assert partial == {}


def test_every_attack_has_a_positive_control_or_a_reason() -> None:
    without = {number for number in ATTACKS if not outcomes_of(ROWS, number, CONTROL)}
    assert without == set(NO_CONTROL)


def test_what_this_kernel_has_nothing_of_is_a_short_list() -> None:
    """A control that shows no hole is named here, and the probe itself checked its error."""
    missing = {name for name, row in ROWS.items() if row.get(CONTROL) == "missing"}
    assert missing == {
        "11: crypto socket",
        "32: trigger by sysrq",
        "33: open a disk",
        "33: open the kernel's memory",
        "69: a call by the old interface",
    }


@pytest.mark.parametrize("number", ATTACKS)
def test_an_attack_ends_as_it_is_meant_to(number: int) -> None:
    seen = {outcome[0] for column in BACKENDS for outcome in outcomes_of(ROWS, number, column)} | (
        {ELSEWHERE[number][0][0]} if number in ELSEWHERE else set()
    )
    assert seen == set(ATTACKS[number].codes)


@pytest.mark.parametrize("number", ELSEWHERE)
def test_what_is_proven_elsewhere_is_proven_there(number: int, root: Path) -> None:
    place, name = ELSEWHERE[number][1].split("::")
    assert f"def {name}(" in (root / place).read_text()


def test_a_failure_that_this_side_made_is_an_end_from_outside() -> None:
    assert letter("stalled") == "K stalled"
    assert letter("oom") == "R oom"
