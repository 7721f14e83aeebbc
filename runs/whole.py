"""Files that are there whole or not at all, whatever ends the process that writes them."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes, *, lasting: bool = True) -> None:
    """Writes ``content`` in place of ``path``; readers see the old file or the new one.

    Args:
        path: where to; the folder has to be there.
        content: all of it.
        lasting: have it survive a power cut as well; not worth its wait for what is soon replaced.

    Raises:
        OSError: the disk is full or the folder cannot be written; what stood there still does.
    """
    with whole_file(path, lasting=lasting) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path, *, lasting: bool = True) -> Iterator[BinaryIO]:
    """Gives a file to write to, which takes the place of ``path`` at the end; see `write_whole`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with part.open("wb") as file:
            yield file
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if lasting:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Windows opens no folder, and has no need to.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
