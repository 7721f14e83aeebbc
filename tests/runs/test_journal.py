import json
import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.errors import StoreError
from rewardsmith.runs.journal import Journal

WRITER = """
import sys
from pathlib import Path
from rewardsmith.runs.journal import Journal

journal = Journal(Path(sys.argv[1]))
for index in range(50):
    journal.append("note", {"from": sys.argv[2], "index": index})
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", clock=lambda: "2026-01-01T00:00:00+00:00")


def test_an_event_comes_back_as_it_was_appended(journal: Journal) -> None:
    appended = journal.append("note", {"text": "héllo\n", "value": 0.1})
    assert journal.read() == (appended,)


def test_a_missing_journal_holds_no_events(journal: Journal) -> None:
    assert journal.read() == ()


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_dropped(journal: Journal, cut: int) -> None:
    first = journal.append("note", {"n": 1})
    journal.append("note", {"n": 2})
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    assert journal.read() == (first,)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_an_append_after_a_torn_line_starts_on_a_line_of_its_own(
    journal: Journal, cut: int
) -> None:
    first = journal.append("note", {"n": 1})
    journal.append("note", {"n": 2, "long": "x" * 10_000})
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    third = journal.append("note", {"n": 3})
    assert journal.read() == (first, third)


def test_a_bad_line_that_another_follows_is_an_error_with_its_number(journal: Journal) -> None:
    journal.append("note", {"n": 1})
    journal.append("note", {"n": 2})
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b"{not json\n" + lines[1])
    with pytest.raises(StoreError, match="line 2"):
        journal.read()


def test_a_journal_of_another_version_is_refused(journal: Journal) -> None:
    journal.append("note", {})
    value = json.loads(journal.path.read_text())
    journal.path.write_text(json.dumps(value | {"v": 99}) + "\n")
    with pytest.raises(StoreError, match="version 99"):
        journal.read()


def test_a_number_that_is_not_finite_is_never_written(journal: Journal) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        journal.append("note", {"fitness": float("nan")})
    assert journal.read() == ()


def test_a_full_disk_is_an_error_and_leaves_no_half_line(journal: Journal) -> None:
    full = Journal(Path("/dev/full"))
    with pytest.raises(StoreError, match=r"(?i)no space|invalid|argument"):
        full.append("note", {"n": 1})


def test_several_processes_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    events = Journal(path).read()
    assert sorted((e.data["from"], e.data["index"]) for e in events) == [
        (name, index) for name in "ab" for index in range(50)
    ]
