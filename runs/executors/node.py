"""What another machine does with a unit that was sent to it: bytes in, bytes out."""

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
        run_process(
            (folder,),
            Rules().command,
            wall_s,
            core=None,
            cancel=threading.Event(),
            look=lambda: None,
        )
        return result_parcel(folder)
