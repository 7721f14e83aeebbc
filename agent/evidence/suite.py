"""The probes that a reward goes through before anything trains with it, cheapest first."""

from collections.abc import Collection, Iterable

from rewardsmith.agent.evidence.farming import farming
from rewardsmith.agent.evidence.health import health
from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.ranking import ranking
from rewardsmith.agent.evidence.sensitivity import MEMORY, sensitivity
from rewardsmith.agent.evidence.thresholds import DEFAULTS, Thresholds


def before_training(
    *,
    parameters: Collection[str],
    gamma: float,
    compared: Iterable[Probe] = (),
    thresholds: Thresholds = DEFAULTS,
) -> tuple[Probe, ...]:
    """Returns the probes in order of cost, for `ledger`.

    Args:
        parameters: what the program takes, by name.
        gamma: discount per step of the trainer.
        compared: probes that put the program beside others, once there are others.
        thresholds: from where on they warn and fail.
    """
    return (
        health(thresholds),
        ranking(gamma, thresholds),
        farming(gamma, remembers=MEMORY in parameters, thresholds=thresholds),
        sensitivity(parameters, thresholds),
        *compared,
    )
