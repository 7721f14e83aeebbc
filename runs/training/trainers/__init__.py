"""What turns a reward into a policy, and the short names under which it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from rewardsmith.envs.references import attribute
from rewardsmith.envs.task import EnvSpec
from rewardsmith.errors import ConfigError
from rewardsmith.runs.training.policy import Policy
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource


@dataclass(frozen=True)
class Order:
    """What to train: the environment, how, from which seed, for at least how many env steps.

    ``steps`` is the whole training, by which schedules go; ``stop`` ends it earlier, at a rung.
    A training that stops, leaves a ``checkpoint`` and goes on from it with ``resume`` ends with the
    same weights to the bit as one that was never stopped.
    """

    env: EnvSpec
    hyperparams: Mapping[str, Any]
    seed: int
    steps: int
    device: str = "cpu"
    logs: Path | None = None  # folder for TensorBoard files, if any are wanted
    stop: int | None = None  # env steps after which to end; None: after ``steps``
    resume: Path | None = None  # folder of the checkpoint to go on from
    checkpoint: Path | None = None  # folder in which to leave one
    hidden: bool = False  # rewards are asked for with the hidden fields, too: a gate looks at them


@dataclass(frozen=True)
class Trained:
    """A policy and the env steps that went into it."""

    policy: Policy
    steps: int


class Watch(Protocol):
    """Looks on while a policy is trained; must not touch the global random generators."""

    def rewarded(self, steps: int, batch: RewardBatch) -> None:
        """Is told the rewards of a finished rollout; ``steps`` counts env steps from the start."""
        ...

    def updated(
        self, steps: int, policy: Callable[[], Policy], std: Callable[[], float | None]
    ) -> Mapping[str, float]:
        """Is told that the policy changed; returns scalars to log, none if it took no sample.

        Args:
            steps: env steps from the start.
            policy: builds the present policy; only worth calling when it is to be run.
            std: the present action standard deviation, None for discrete actions.
        """
        ...


class Trainer(Protocol):
    """One way to train a policy. The same order, reward and machine give the same weights."""

    def train(self, order: Order, reward: RewardSource, watch: Watch) -> Trained | Failure:
        """Returns the trained policy, or what the reward program did wrong.

        Raises:
            TrainingError: training broke for a reason that is not the reward's.
            ConfigError: the order cannot be carried out, e.g. SAC with discrete actions.
        """
        ...


@dataclass(frozen=True)
class Lane:
    """One training of a stack: its order, its reward and who looks on."""

    order: Order
    reward: RewardSource
    watch: Watch


@runtime_checkable
class StackTrainer(Trainer, Protocol):
    """A trainer that carries out several orders at once, each as if it were alone.

    The orders of a stack may differ in seed, logs and checkpoint folders, in nothing else. A lane
    whose reward fails or whose weights become NaN ends with its failure; the others go on.
    """

    def train_stack(self, lanes: Sequence[Lane]) -> list[Trained | Failure]:
        """Returns what each lane came to, in their order; raises as `Trainer.train` does."""
        ...


class Unwatched:
    """A watch that looks away."""

    def rewarded(self, steps: int, batch: RewardBatch) -> None:
        """Ignores it."""

    def updated(
        self, steps: int, policy: Callable[[], Policy], std: Callable[[], float | None]
    ) -> Mapping[str, float]:
        """Ignores it."""
        return {}


TRAINERS: dict[str, str] = {
    "ppo": "rewardsmith.runs.training.trainers.sb3:ppo",
    "fast": "rewardsmith.runs.training.trainers.fast:ppo",
    "sac": "rewardsmith.runs.training.trainers.sb3:sac",
    "a2c": "rewardsmith.runs.training.trainers.sb3:a2c",
    "td3": "rewardsmith.runs.training.trainers.sb3:td3",
    "ddpg": "rewardsmith.runs.training.trainers.sb3:ddpg",
    "dqn": "rewardsmith.runs.training.trainers.sb3:dqn",
    "toy": "rewardsmith.runs.training.trainers.toy:search",
}


# Built-in names whose trainers are stack trainers, so that nobody has to import one to know.
STACKS = frozenset({"fast"})


def stackable(name: str) -> bool:
    """Says whether several orders of this trainer can be carried out at once (`StackTrainer`)."""
    return name in STACKS if name in TRAINERS else isinstance(find_trainer(name), StackTrainer)


def find_trainer(name: str) -> Trainer:
    """Returns the trainer of that short name, or the one at ``module:attr``.

    Raises:
        ConfigError: there is none.
    """
    target = TRAINERS.get(name, name)
    if ":" not in target:
        raise ConfigError(
            f"trainer {name!r} is unknown; one of {', '.join(TRAINERS)} or module:attr is wanted"
        )
    found = attribute(target, "trainer")
    if not callable(getattr(found, "train", None)):
        raise ConfigError(
            f"trainer {name!r} is a {type(found).__name__} without a method train; see Trainer"
        )
    return cast(Trainer, found)
