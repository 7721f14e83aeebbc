"""The OpenMP runtime that xllamacpp links to and a bare Debian lacks."""

import contextlib
import ctypes
import importlib.util
from pathlib import Path

NAME = "libgomp.so.1"


def load_openmp(name: str = NAME, *, folder: Path | None = None) -> bool:
    """Makes the runtime known to this process: the system's, else the one that PyTorch brings.

    Args:
        name: the library's own name, by which others ask for it.
        folder: where PyTorch keeps its libraries; found without importing it if None.

    Returns:
        Whether there is one. False is no error: macOS needs none.
    """
    folder = folder or _torch_libraries()
    for candidate in (name, *([str(folder / name)] if folder else [])):
        with contextlib.suppress(OSError):
            ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
            return True
    return False


def _torch_libraries() -> Path | None:
    spec = importlib.util.find_spec("torch")
    return Path(spec.origin).parent / "lib" if spec is not None and spec.origin else None
