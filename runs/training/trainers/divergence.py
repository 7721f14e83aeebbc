"""What a training says whose numbers fell apart."""

import numpy as np

from rewardsmith.runs.training.policy import Float32Array
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

WEIGHTS = "the policy's weights became NaN or infinite"


def diverged(what: str) -> Failure:
    """Returns the failure of a training under whose reward the policy fell apart."""
    return Failure(
        kind="diverged",
        text=f"training diverged: {what}. Keep the reward of one step within about -10 and 10, and "
        "free of jumps by orders of magnitude.",
    )


def single_precision(batch: RewardBatch, num_envs: int) -> Float32Array | Failure:
    """Returns a rollout's totals as (T, num_envs), or the failure where one is beyond float32."""
    with np.errstate(over="ignore"):
        raw = batch.total.astype(np.float32).reshape(-1, num_envs)
    if np.isfinite(raw).all():
        return raw
    worst = float(np.max(np.abs(batch.total)))
    return diverged(f"a step's total reward reached {worst:.3g}, beyond single precision")
