"""What another machine does with units: those that were sent to it, or those in a shared folder."""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from rewardsmith.runs.executors.child import Rules, run_process
from rewardsmith.runs.executors.shipping import bundle, lay_out, result_parcel, unbundle


def carry_out(orders: bytes, wall_s: float | None = None) -> bytes:
    """Runs the job of one order, or of several as one stack; returns the bundle of their results.

    The job is the same as on the machine that sent it: a process of its own without keys, which
    starts the confined workers of its rewards. Its folders are gone when this returns.

    Args:
        orders: a bundle of parcels from `shipping.order_parcel`.
        wall_s: the longest that the job may take for each of its units, None for no limit.
    """
    with tempfile.TemporaryDirectory(prefix="rewardsmith-unit-") as place:
        folders = [
            lay_out(parcel, Path(place) / str(i))[1] for i, parcel in enumerate(unbundle(orders))
        ]
        _run(folders, wall_s)
        return bundle([result_parcel(folder) for folder in folders])


def run_here(*folders: str) -> None:
    """Runs the job of units' folders in a child process without keys; all it says is left there.

    Args:
        folders: their paths on a file system that is shared with whoever waits.
    """
    _run([Path(folder) for folder in folders], None)


def _run(folders: Sequence[Path], wall_s: float | None) -> None:
    never, rules = threading.Event(), Rules()
    command = rules.stack if len(folders) > 1 else rules.command
    limit = None if wall_s is None else wall_s * len(folders)
    run_process(folders, command, limit, core=None, cancel=never, look=_nothing)


def _nothing() -> None:
    """Nobody looks on from here."""
