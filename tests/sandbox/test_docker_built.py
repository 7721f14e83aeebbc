"""An image that holds everything needs no file of the machine, as on engines that mount none.

Made here of this interpreter, NumPy and the worker's code, as the Dockerfile has them, without a
registry.
"""

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.conformance import BackendConformance
from rewardsmith.sandbox.docker import DockerBackend, Engine
from rewardsmith.sandbox.docker_image import image_tag
from rewardsmith.sandbox.docker_options import Settings
from rewardsmith.sandbox.host_files import LIBRARY, inside_folder, library_folders

_LEFT_OUT = {"test", "tests", "site-packages", "dist-packages", "idlelib", "tkinter", "ensurepip"}


def _tree(folder: Path, place: str) -> Iterator[tuple[str, Path]]:
    """Every file of a folder that a worker may import, with its place in the image."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and not _LEFT_OUT & set(parts) and path.suffix != ".pyc":
            yield "/".join((place, *parts)), path


def _linked(files: dict[str, Path]) -> dict[str, Path]:
    """What of the system's libraries the compiled ones among ``files`` are linked to."""
    compiled = [str(path) for path in files.values() if re.search(r"\.so(\.|$)", path.name)]
    said = subprocess.run(
        ["ldd", sys.executable, *compiled], capture_output=True, text=True, check=False
    ).stdout
    found = {Path(name) for name in re.findall(r"\s(/\S+\.so\S*) \(0x", said)}
    return {str(path): path for path in found if not any(".libs" in part for part in path.parts)}


def _built() -> bytes:
    """A file system: interpreter, standard library, NumPy, what they link to, and our code."""
    stdlib, python = Path(sysconfig.get_path("stdlib")), Path(sys.executable).resolve()
    files = {str(python): python, **dict(_tree(stdlib, str(stdlib)))}
    for name, folder in library_folders().items():
        files |= dict(_tree(folder, f"{LIBRARY}/{name}"))
    files |= _linked(files)
    inside = inside_folder()
    files |= dict(_tree(inside, f"{LIBRARY}/rewardsmith/sandbox/inside"))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", dereference=True) as archive:
        for place, path in sorted(files.items()):
            archive.add(path, place.lstrip("/"), recursive=False)
        if str(python) != "/usr/bin/python3":
            link = tarfile.TarInfo("usr/bin/python3")
            link.type, link.linkname = tarfile.SYMTYPE, str(python)
            archive.addfile(link)
    return content.getvalue()


@pytest.fixture(scope="module")
def built(engine: str) -> Iterator[Settings]:
    content = _built()
    name = f"rewardsmith-built-test:{image_tag(content)}"
    connection = Engine(Settings(base_url=engine), 60.0)
    try:
        connection.api.import_image_from_data(content, repository=name)
        yield Settings(base_url=engine, image=name)
    finally:
        connection.api.remove_image(name, force=True)
        connection.api.close()


@pytest.mark.docker
@pytest.mark.slow
class TestBuiltImage:
    """It takes some seconds: an image of a whole interpreter is made and read in."""

    def test_every_trial_is_passed(self, built: Settings) -> None:
        assert DockerBackend(built).self_test().failed == ()

    def test_nothing_of_this_machine_is_in_sight(self, built: Settings) -> None:
        worker = DockerBackend(built).start(Limits())
        try:
            found = worker.engine.api.inspect_container(worker.container)
        finally:
            worker.stop()
        assert found["Mounts"] == []
        assert found["Config"]["Cmd"][0] == "/usr/bin/python3"
        assert worker.hello["numpy"] == np.__version__

    def test_it_confines_and_it_computes(self, built: Settings, tmp_path: Path) -> None:
        class Here(BackendConformance):
            def backend(self) -> DockerBackend:
                return DockerBackend(built)

        Here().test_every_attempt_to_leave_is_denied(tmp_path)
        Here().test_only_the_pipes_are_open()
        Here().test_a_memory_bomb_is_a_failure()
        Here().test_an_honest_program_is_rewarded()
