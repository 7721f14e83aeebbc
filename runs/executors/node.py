"""What another machine does with a unit: one that was sent to it, or one in a shared folder."""

import tempfile
import threading
from pathlib import Path

from rewardsmith.runs.executors.child import Rules, run_process
from rewardsmith.runs.executors.shipping import lay_out, result_parcel


def carry_out(parcel: bytes, wall_s: float | None = None) -> bytes:
    """Runs the job of an order's parcel in a child process; returns the parcel of its results.

    The job is the same as on the machine that sent it: a process of its own without keys, which
    starts the confined worker of its reward. Its folder is gone when this returns.

    Args:
        parcel: from `shipping.order_parcel`.
        wall_s: the longest that the job may take, None for no limit.
    """
    with tempfile.TemporaryDirectory(prefix="rewardsmith-unit-") as place:
        _, folder = lay_out(parcel, Path(place))
        _run(folder, wall_s)
        return result_parcel(folder)


def run_here(folder: str) -> None:
    """Runs the job of a unit's folder in a child process without keys; all it says is left there.

    Args:
        folder: the folder's path on a file system that is shared with whoever waits.
    """
    _run(Path(folder), None)


def _run(folder: Path, wall_s: float | None) -> None:
    never = threading.Event()
    run_process((folder,), Rules().command, wall_s, core=None, cancel=never, look=_nothing)


def _nothing() -> None:
    """Nobody looks on from here."""
