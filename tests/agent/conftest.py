"""A finished run that several files of tests look at, and none changes."""

from pathlib import Path

import pytest
from command_rig import design


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real run: two generations of two candidates, trained and compared."""
    out = tmp_path_factory.mktemp("finished") / "run"
    done = design(out)
    assert done.code == 0, done.err
    return out
