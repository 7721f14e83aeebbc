"""The local model's library loads where the system has no OpenMP runtime."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rewardsmith.agent.openmp import NAME, load_openmp


@pytest.fixture
def bundled() -> Path:
    """The runtime in PyTorch's own folder."""
    import torch

    library = Path(torch.__file__).parent / "lib" / NAME
    if not library.exists():
        pytest.skip("this build of PyTorch brings no OpenMP runtime")
    return library


def test_a_library_that_is_nowhere_is_no_error(tmp_path: Path) -> None:
    assert load_openmp("libnothing-of-the-kind.so.1", folder=tmp_path) is False


def test_pytorchs_library_serves_where_the_system_has_none(bundled: Path, tmp_path: Path) -> None:
    # Under a name that no system folder knows, so that only the given folder can help.
    name = "libgomp-of-this-test.so.1"
    shutil.copy(bundled, tmp_path / name)
    assert load_openmp(name) is False
    assert load_openmp(name, folder=tmp_path) is True


def test_pytorch_is_not_imported_to_find_it() -> None:
    look = "import sys, rewardsmith.agent.openmp as o; o.load_openmp(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS needs no such library")
def test_the_local_models_library_imports_after_it() -> None:
    look = "from rewardsmith.agent.openmp import load_openmp as f; print(f()); import xllamacpp"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
