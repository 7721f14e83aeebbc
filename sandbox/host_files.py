"""The few files of this machine that a worker in a file system of its own cannot do without.

All are shown read-only: the system's libraries, the interpreter, NumPy and where asked for JAX, and
the worker's own code at a place of its own, so that neither a checkout nor a home comes along.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rewardsmith.errors import SandboxUnavailable
from rewardsmith.sandbox.arrays import NUMPY, Arrays

LIBRARY = "/app"  # where NumPy, JAX and the worker's package lie inside
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


# What `import jax` needs, and for a GPU what JAX finds by name.
_JAX = ("jax", "jaxlib", "ml_dtypes", "opt_einsum", "scipy")
_CUDA = tuple(f"jax_cuda{version}_{part}" for version in (12, 13) for part in ("plugin", "pjrt"))
_CUDA = (*_CUDA, "jax_plugins", "nvidia")
_JAX_REMEDY = 'Install it, e.g. pip install "rewardsmith[fast]", or evaluate rewards with NumPy.'


def library_folders(arrays: Arrays = NUMPY) -> dict[str, Path]:
    """Returns the packages that a worker imports: name -> folder, free of symbolic links.

    Raises:
        SandboxUnavailable: JAX is wanted and not installed.
    """
    names = ["numpy"]
    if arrays.library == "jax":
        names += _JAX
    found = {name: _package(name) for name in names}
    missing = [name for name, folder in found.items() if folder is None]
    if missing:
        raise SandboxUnavailable(
            f"a reward worker with JAX needs {', '.join(missing)}, not found here. {_JAX_REMEDY}"
        )
    if arrays.gpu is not None:
        found |= {name: _package(name) for name in _CUDA}
    folders = {name: folder for name, folder in found.items() if folder is not None}
    # The libraries that wheels of compiled packages bring beside them.
    bundled = {f"{name}.libs": folder.with_name(f"{name}.libs") for name, folder in folders.items()}
    return folders | {name: folder for name, folder in bundled.items() if folder.is_dir()}


def _package(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(name)
    places = list(found.submodule_search_locations or ()) if found is not None else []
    return Path(places[0]).resolve() if places else None


def host_files(arrays: Arrays = NUMPY) -> HostFiles:
    """Finds them; paths are free of symbolic links.

    Raises:
        SandboxUnavailable: what ``arrays`` names is not installed.
    """
    folders = {"/usr": Path("/usr")}
    folders |= {f"{LIBRARY}/{name}": folder for name, folder in library_folders(arrays).items()}
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
