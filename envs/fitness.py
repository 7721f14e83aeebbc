"""The fitness of a task: trusted code that maps an episode to a score, loaded by its name."""

import importlib.util
import math
import numbers
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rewardsmith.envs.references import attribute
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import Score, Task
from rewardsmith.errors import ConfigError, TrainingError

Fitness = Callable[[Episode], Score]
DEFAULT_NAME = "fitness"


def load_fitness(reference: str) -> Fitness:
    """Returns the fitness at ``module:function``, ``file.py`` or ``file.py:function``.

    What it returns may be a ``Score`` or a plain number; either way it must be finite.

    Raises:
        ConfigError: file, module or function is missing, or the file raises when loaded.
    """
    place, colon, name = reference.rpartition(":")
    if reference.endswith(".py"):
        place, name = reference, DEFAULT_NAME
    if place.endswith(".py"):
        function = _from_file(Path(place), name)
    elif colon:
        function = attribute(reference, "fitness")
    else:
        raise ConfigError(
            f"fitness {reference!r}: FILE.py, FILE.py:function or module:function is wanted"
        )
    if not callable(function):
        raise ConfigError(f"fitness {reference!r} is a {type(function).__name__}, not a function")
    return _checked(function, reference)


def judge(task: Task, episodes: Sequence[Episode]) -> tuple[Score, ...]:
    """Returns the score of each episode.

    Raises:
        ConfigError: the fitness cannot be loaded.
        TrainingError: it raised, or returned something else than a finite score.
    """
    fitness = load_fitness(task.fitness)
    return tuple(fitness(episode) for episode in episodes)


def _from_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise ConfigError(f"fitness {path}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"rewardsmith_fitness_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"fitness {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses in the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"fitness {path}: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ConfigError(f"fitness {path}: no function {name!r} in it (def {name}(episode): ...)")
    return getattr(module, name)


def _checked(function: Callable[[Episode], Any], reference: str) -> Fitness:
    def fitness(episode: Episode) -> Score:
        try:
            value = function(episode)
        except KeyError as error:
            known = ", ".join(sorted(episode.steps.after))
            raise TrainingError(
                f"fitness {reference}: no field {error.args[0]!r} in the episode; it has: {known}"
            ) from error
        except Exception as error:
            raise TrainingError(
                f"fitness {reference} raised {type(error).__name__}: {error} "
                f"(episode with seed {episode.seed}, {episode.length} steps)"
            ) from error
        return _score(value, episode, reference)

    return fitness


def _score(value: Any, episode: Episode, reference: str) -> Score:
    if isinstance(value, numbers.Real):
        ended = "terminated" if episode.terminated else "time limit"
        value = Score(float(value), None, ended)
    if not isinstance(value, Score):
        raise TrainingError(
            f"fitness {reference} returned a {type(value).__name__}; a number or a Score is wanted"
        )
    if not math.isfinite(value.fitness):
        raise TrainingError(
            f"fitness {reference} returned {value.fitness} for the episode with seed "
            f"{episode.seed}; a finite number is wanted"
        )
    return Score(float(value.fitness), value.success, value.outcome)
