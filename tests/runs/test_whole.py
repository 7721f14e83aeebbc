"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from rewardsmith.runs.whole import whole_file, write_whole


@pytest.mark.parametrize("lasting", [True, False])
def test_a_file_takes_the_place_of_another_and_leaves_nothing_beside(
    tmp_path: Path, *, lasting: bool
) -> None:
    path = tmp_path / "state.json"
    write_whole(path, b"one", lasting=lasting)
    write_whole(path, b"two", lasting=lasting)
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_whole(path, b"old")
    with whole_file(path) as file:
        file.write(b"half ")
        file.flush()
        assert path.read_bytes() == b"old"
        file.write(b"and half")
    assert path.read_bytes() == b"half and half"


def break_off(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_whole(path, b"old")
    with pytest.raises(KeyboardInterrupt):
        break_off(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "no" / "state.json", b"")
