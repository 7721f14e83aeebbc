"""The image of a worker's container: empty folders, links, and the worker's own code.

It needs no registry: what an engine on this machine can mount, it mounts (``host_files``). The text
of ``DOCKERFILE`` makes an image for engines that cannot: those on other machines and in virtual
ones, as on macOS.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from rewardsmith.sandbox.host_files import INSIDE, LIBRARY, HostFiles, inside_folder

REPOSITORY = "rewardsmith-worker"
DOCKERFILE = Path(__file__).with_name("Dockerfile")
_ACCOUNTS = {
    "etc/passwd": b"root:x:0:0::/:/bin/false\nsandbox:x:65534:65534::/:/bin/false\n",
    "etc/group": b"root:x:0:\nsandbox:x:65534:\n",
}
_EMPTY_FOLDERS = ("proc", "sys", "dev", "run", "tmp", "etc", "usr", "sbin")


def _folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


def _code() -> Iterator[tuple[str, bytes]]:
    for path in sorted(inside_folder().glob("*.py")):
        yield f"{INSIDE}/{path.name}".lstrip("/"), path.read_bytes()


def image_tar(shown: HostFiles) -> bytes:
    """Returns the image's file system, the same bytes for the same content."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        links = {place.lstrip("/"): target for place, target in shown.links.items()}
        folders = {*_EMPTY_FOLDERS, f"{LIBRARY}/rewardsmith/sandbox".lstrip("/")} - {*links}
        # An engine that adds a process of its own wants /sbin to be a folder.
        links.pop("sbin", None)
        for name in sorted({*folders, "sbin"}):
            archive.addfile(_folder(name))
        for name, target in sorted(links.items()):
            archive.addfile(_link(name, target))
        for name, text in (*_ACCOUNTS.items(), *_code()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text))
    return content.getvalue()


def image_tag(content: bytes) -> str:
    """Returns a tag that says what is in the image."""
    return hashlib.sha256(content).hexdigest()[:16]
