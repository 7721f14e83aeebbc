"""A trainer that stacks, for tests of which units are trained together, in whatever process.

Children find it by ``PYTHONPATH``; the folder named by ``STACK_RIG`` holds what it notes, and what
its stacks are to do.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewardsmith.runs.training.trainers import Lane, Trained
from rewardsmith.runs.training.trainers.toy import search
from rewardsmith.sandbox.failure import Failure

STACKED = "stack_rig:stacked"
PARAMS = {"population": 6, "episodes": 1, "elite": 2, "spread": 1.0}


class Stacked:
    """Trains its lanes one after the other; notes how many there were."""

    def train(self, order: Any, reward: Any, watch: Any) -> Trained | Failure:
        return search.train(order, reward, watch)

    def train_stack(self, lanes: Sequence[Lane]) -> list[Trained | Failure]:
        place = Path(os.environ["STACK_RIG"])
        with (place / "lanes").open("a") as file:
            file.write(f"{len(lanes)}\n")
        if (place / "deadly").exists():  # takes whoever started the stack along
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        kept = () if (place / "losing").exists() else lanes
        return [self.train(lane.order, lane.reward, lane.watch) for lane in kept]


stacked = Stacked()


def rig(place: Path) -> dict[str, str]:
    """Returns the environment in which children find the trainer, and it finds ``place``."""
    return {"PYTHONPATH": str(Path(__file__).parent), "STACK_RIG": str(place)}


def lanes(place: Path) -> list[int]:
    """Returns how many lanes each stack had, since it was last asked."""
    path = place / "lanes"
    found = [int(line) for line in path.read_text().split()] if path.exists() else []
    path.unlink(missing_ok=True)
    return found
