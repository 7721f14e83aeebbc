"""The few files of this machine that a worker in a file system of its own cannot do without.

All are shown read-only: the system's libraries, the interpreter, NumPy, and the worker's own code
at a place of its own, so that neither a checkout nor a home comes along.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARY = "/app"  # where NumPy and the worker's package lie inside
INSIDE = f"{LIBRARY}/rewardsmith/sandbox/inside"
MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from rewardsmith.sandbox.inside.{module} import main; main()"
)
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@dataclass(frozen=True)
class HostFiles:
    """What is shown, by its place inside; links of the system's; and the interpreter's path."""

    folders: Mapping[str, Path]
    files: Mapping[str, Path]
    links: Mapping[str, str]
    python: str


def inside_folder() -> Path:
    """The folder of the worker's own code."""
    return Path(__file__).resolve().parent / "inside"


def host_files() -> HostFiles:
    """Finds them; paths are free of symbolic links."""
    import numpy as np

    numpy = Path(np.__file__).resolve().parent
    folders = {"/usr": Path("/usr"), f"{LIBRARY}/numpy": numpy}
    bundled = numpy.with_name("numpy.libs")  # the linear algebra library of NumPy's wheels
    if bundled.is_dir():
        folders[f"{LIBRARY}/numpy.libs"] = bundled
    prefix = Path(sys.base_prefix).resolve()
    if not prefix.is_relative_to("/usr"):
        folders[str(prefix)] = prefix
    links = {}
    for name in _SYSTEM_LINKS:
        place = Path("/", name)
        if place.is_symlink():
            links[str(place)] = str(place.readlink())
        elif place.is_dir():
            folders[str(place)] = place
    cache = Path("/etc/ld.so.cache")
    files = {str(cache): cache} if cache.exists() else {}
    return HostFiles(folders, files, links, os.path.realpath(sys.executable))
