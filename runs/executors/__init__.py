"""Where units of work are placed: one folder and one process each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from rewardsmith.envs.references import attribute
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import TrainingReport, Unit

ProgressWatch = Callable[[str, dict[str, Any]], None]


class Executor(Protocol):
    """Runs units, each in its own folder; a folder with a report is not run again."""

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: ProgressWatch | None = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        """Yields each unit with its report, in order of completion.

        Args:
            units: what to run, and the folder of each.
            watch: called in the caller's thread with a unit's id and its ``progress.json``.

        Raises:
            TrainingError: after all others are done: units that twice ended without a report.
            ConfigError: a unit asks for something that does not exist.
            SandboxUnavailable: this machine cannot confine reward programs.
        """
        ...


EXECUTORS: Mapping[str, str] = {
    "serial": "rewardsmith.runs.executors.serial:Serial",
    "local": "rewardsmith.runs.executors.local:Local",
    "slurm": "rewardsmith.runs.executors.slurm:Slurm",
    "ray": "rewardsmith.runs.executors.ray_cluster:Ray",
}


def find_executor(name: str, **arguments: Any) -> Executor:
    """Returns a new executor of that short name, or of the class at ``module:attr``.

    Raises:
        ConfigError: there is none.
    """
    target = EXECUTORS.get(name, name)
    if ":" not in target:
        raise ConfigError(
            f"executor {name!r} is unknown; one of {', '.join(EXECUTORS)} or module:attr is wanted"
        )
    found = attribute(target, "executor")
    try:
        return cast(Executor, found(**arguments))
    except TypeError as error:
        raise ConfigError(f"executor {name!r} refused {arguments}: {error}") from error
