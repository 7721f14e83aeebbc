"""Trains all rewards of the calibration, whatever probes would say of them, and keeps the reports.

    python benchmarks/calibration_training.py --out work --keep trainings.json

Stopped and started again, it goes on. `calibration.py` reads what it kept.
"""

import argparse
import sys
from pathlib import Path

from calibration_rewards import ENVS, keep, train_all

from rewardsmith.agent.config import make_config

STEPS = {
    "Hopper-v5": 200_000,
    "HalfCheetah-v5": 200_000,
    "Reacher-v5": 150_000,
    "LunarLander-v3": 100_000,
}


def main() -> None:
    """Trains and keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=list(ENVS), choices=ENVS)
    parser.add_argument("--seeds", type=int, default=2, help="of each reward")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--keep", type=Path, required=True, help="file for the reports")
    asked = parser.parse_args()
    found = {}
    for env in asked.envs:
        values = {"env": env, "algo": "fast", "steps": STEPS[env], "seeds": asked.seeds,
                  "workers": asked.workers, "sandbox": asked.sandbox, "device": "cpu"}  # fmt: skip
        found[env] = train_all(env, make_config(values), asked.out, _tell)
        keep(asked.keep, found)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
