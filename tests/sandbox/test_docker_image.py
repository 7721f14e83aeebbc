"""The image holds links, empty folders and the worker's own code."""

import io
import tarfile
from pathlib import Path

from rewardsmith.sandbox.docker_image import DOCKERFILE, image_tag, image_tar
from rewardsmith.sandbox.host_files import HostFiles, host_files, inside_folder

MERGED = HostFiles({"/usr": Path("/usr")}, {}, {"/lib": "usr/lib", "/sbin": "usr/sbin"}, "python")


def _entries(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {entry.name: entry for entry in archive.getmembers()}


def test_it_is_small_and_the_same_every_time() -> None:
    content = image_tar(host_files())
    assert content == image_tar(host_files())
    assert len(content) < 300_000
    assert image_tag(content) != image_tag(content + b"x")


def test_it_holds_the_workers_code_and_no_other() -> None:
    entries = _entries(image_tar(MERGED))
    files = {name for name, entry in entries.items() if entry.isfile()}
    code = {f"app/rewardsmith/sandbox/inside/{path.name}" for path in inside_folder().glob("*.py")}
    assert files == {*code, "etc/passwd", "etc/group"}


def test_links_are_the_systems_and_sbin_is_a_folder() -> None:
    entries = _entries(image_tar(MERGED))
    assert entries["lib"].issym()
    assert entries["lib"].linkname == "usr/lib"
    assert entries["sbin"].isdir()
    assert all(entry.mode & 0o022 == 0 for entry in entries.values() if not entry.issym())


def test_the_dockerfile_lies_beside_the_backend_and_ends_as_nobody() -> None:
    text = DOCKERFILE.read_text()
    assert text.strip().endswith("USER 65534:65534")
    assert "COPY inside /app/rewardsmith/sandbox/inside" in text
