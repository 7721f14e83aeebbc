"""What self-tests found, on the screen: each door once, the open ones with what mends them."""

import pytest

from rewardsmith.agent.doctor_table import Door, as_tables, doors
from rewardsmith.sandbox.backend import SelfTest
from rewardsmith.sandbox.backends import self_tests
from rewardsmith.sandbox.guarantees import KINDS, Check, Guarantee

HARD: dict[str, Guarantee] = {**dict.fromkeys(KINDS, "hard"), "cpu": "soft"}
GOOD = SelfTest(
    "docker",
    (
        Check("cannot read a file", True, "denied"),
        Check("cannot start a thread", True, "denied"),
        Check("has a clean environment", True, "only the allow-list"),
        Check("docker alone: cannot read a file", True, "denied"),
        Check("docker alone: cannot write anywhere", True, "denied"),
    ),
    HARD,
    {},
    653.1,
)
BROKEN = SelfTest(
    "bubblewrap",
    (
        Check("cannot read a file", True, "denied"),
        Check("bubblewrap alone: cannot read a file", False, "it could", "mend [bold]it[/bold]"),
        Check("cannot start a thread", False, "it could", "mend [bold]it[/bold]"),
    ),
    {**HARD, "processes": "soft"},
    {},
    264.2,
)
ABSENT = SelfTest("process", (Check("starts confined", False, "no Landlock", "switch it on"),))


def test_a_door_is_one_row_with_both_walls() -> None:
    assert doors(GOOD) == [
        Door("read a file", "held", "held", "denied"),
        Door("start a thread", "held", "-", "denied"),
        Door("see other variables", "held", "-", "only the allow-list"),
        Door("write anywhere", "-", "held", "denied"),
    ]


def test_an_open_door_says_so_with_its_remedy() -> None:
    assert doors(BROKEN) == [
        Door("read a file", "held", "OPEN", "it could", ["mend [bold]it[/bold]"]),
        Door("start a thread", "OPEN", "-", "it could", ["mend [bold]it[/bold]"]),
    ]
    text = as_tables({"bubblewrap": BROKEN}, width=80)
    assert "  read a file, start a thread: mend [bold]it[/bold]" in text.splitlines()


def test_limits_are_shown_for_all_backends_beside_each_other() -> None:
    tests = {"docker": GOOD, "bubblewrap": BROKEN, "process": ABSENT}
    lines = [line.split() for line in as_tables(tests, width=80).splitlines()]
    assert lines[0] == ["limit", "docker", "bubblewrap", "process"]
    assert ["processes", "hard", "soft", "-"] in lines
    assert ["cpu", "soft", "soft", "-"] in lines
    assert ["start", "653", "ms", "264", "ms", "-"] in lines
    assert [line[0] for line in lines[1:9]] == list(KINDS)


def test_a_backend_that_did_not_start_says_why_instead() -> None:
    text = as_tables({"process": ABSENT}, width=80)
    assert text.endswith("process: starts confined: no Landlock. switch it on")


def test_a_backend_that_was_not_tried_has_no_table_of_its_own() -> None:
    assert "cannot" not in as_tables({"process": SelfTest("process", ())}, width=80)


def test_two_doors_share_a_line_where_there_is_room() -> None:
    narrow, wide = (as_tables({"docker": GOOD}, width=width) for width in (80, 120))
    assert [line.split("  ")[0] for line in narrow.splitlines()[-4:]] == [
        "read a file",
        "start a thread",
        "see other variables",
        "write anywhere",
    ]
    assert len(wide.splitlines()) == len(narrow.splitlines()) - 2
    assert wide.splitlines()[-2].count("held") == 3


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_this_machine_finds_fits_the_terminal(width: int) -> None:
    text = as_tables(self_tests(), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "process: a program cannot" in text
    assert "\x1b" not in text


def test_colour_is_only_for_terminals() -> None:
    assert "\x1b[1;31mOPEN" in as_tables({"bubblewrap": BROKEN}, width=80, colour=True)
    assert "\x1b" not in as_tables({"bubblewrap": BROKEN}, width=80)
