"""Which tasks there are: built-in cards, suites of packages, environments of one's own."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from rewardsmith.envs.card import CardFile, EnvRequest, parse_card, read_card, spec_of
from rewardsmith.envs.fitness import load_fitness
from rewardsmith.envs.task import Task
from rewardsmith.errors import ConfigError

ENTRY_POINTS = "rewardsmith.suites"
DEFAULT_SUITES: dict[str, str] = {"toy": "rewardsmith.envs.toy:tasks"}
RETURN_FITNESS = "rewardsmith.envs.fitness_return:native_return"


def suites() -> dict[str, str]:
    """Returns suite name -> ``module:function``; nothing is imported by asking."""
    installed = {item.name: item.value for item in entry_points(group=ENTRY_POINTS)}
    return installed | DEFAULT_SUITES


def task_ids() -> tuple[str, ...]:
    """Returns the names of all tasks that need no card file."""
    return (*sorted(_cards()), *sorted(_suite_tasks()))


def find_task(
    env_id: str,
    *,
    text: str | None = None,
    card: Path | None = None,
    fitness: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    wrappers: tuple[str, ...] = (),
) -> Task:
    """Returns a built-in task, a suite's, or one made of any ``gymnasium.make`` id.

    Args:
        env_id: "Hopper-v5", "package:Id", or a suite's task id.
        text: the behaviour in words, instead of the task's own.
        card: YAML card file; else the built-in card, else one generated from the spaces.
        fitness: ``FILE.py`` or ``module:function``; else the task's own, else the return of the
            environment's own reward (which the task then says).
        env_kwargs: for ``gymnasium.make``, over those of the card.
        wrappers: ``module:attr`` of wrappers, applied after those of the card.

    Raises:
        ConfigError: unknown environment (the nearest names are given), wrong card or fitness.
    """
    suite = _suite_tasks()
    if card is None and env_id in suite and not (env_kwargs or wrappers):
        task = suite[env_id]
        return _changed(task, text=text, fitness=fitness)
    found = read_card(card) if card is not None else _built_in(env_id, env_kwargs or {})
    if found is None:
        _known(env_id)
    real_id = (found.env if found else None) or env_id
    kwargs = {**(found.kwargs if found else {}), **(env_kwargs or {})}
    request = EnvRequest(real_id, kwargs, (*(found.wrappers if found else ()), *wrappers))
    if fitness is None and found is not None and card is not None and found.fitness is not None:
        fitness_of_card = _beside(card, found.fitness)
        load_fitness(fitness_of_card)
        found = found.model_copy(update={"fitness": fitness_of_card})
    return _task(env_id, spec_of(request, found), found, text=text, fitness=fitness)


def _beside(card: Path, fitness: str) -> str:
    """Returns the card's fitness with a file's path made absolute, from the card's folder."""
    if ".py" not in fitness:
        return fitness
    return str((card.resolve().parent / fitness).resolve())


def _task(
    env_id: str, spec: Any, card: CardFile | None, *, text: str | None, fitness: str | None
) -> Task:
    reference = fitness or (card.fitness if card else None)
    own = reference is None
    task = Task(
        id=env_id,
        text=text or (card.text if card else ""),
        env=spec,
        fitness=RETURN_FITNESS if reference is None else reference,
        fitness_unit="return" if own else (card.fitness_unit if card and not fitness else "1"),
        fitness_meaning=_meaning(card, fitness, own=own),
        principles=card.principles if card else (),
        solved_at=card.solved_at if card and not fitness else None,
    )
    return _changed(task, text=None, fitness=fitness)


def _meaning(card: CardFile | None, fitness: str | None, *, own: bool) -> str:
    if own:
        return "sum of the environment's own reward over an episode"
    if fitness is None and card is not None and card.fitness_meaning:
        return card.fitness_meaning
    return f"as {Path(fitness).name if fitness else 'the card'} judges an episode"


def _changed(task: Task, *, text: str | None, fitness: str | None) -> Task:
    if text:
        task = replace(task, text=text)
    if fitness:
        reference = str(Path(fitness).resolve()) if fitness.endswith(".py") else fitness
        place, colon, name = fitness.rpartition(":")
        if colon and place.endswith(".py"):
            reference = f"{Path(place).resolve()}:{name}"
        load_fitness(reference)
        task = replace(task, fitness=reference)
    return task


def _known(env_id: str) -> None:
    """Returns if Gymnasium knows the id.

    Raises:
        ConfigError: it does not; with the nearest names.
    """
    import gymnasium

    from rewardsmith.envs.recorder import plain_env

    if ":" in env_id:
        plain_env(env_id, {}).close()
        return
    names = [*task_ids(), *gymnasium.registry]
    if env_id in names:
        return
    near = difflib.get_close_matches(env_id, names, n=3, cutoff=0.4)
    newest = [
        n for n in names if n.rpartition("-v")[0].lower() == env_id.rpartition("-v")[0].lower()
    ]
    shown = ", ".join(dict.fromkeys([*newest, *near])) or "none near it"
    raise ConfigError(
        f"unknown environment {env_id!r}; nearest names: {shown} "
        "(`rewardsmith tasks` lists the built-in ones; package:Id imports a package first)"
    )


def _cards() -> tuple[str, ...]:
    folder = files("rewardsmith.envs").joinpath("cards")
    return tuple(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def _built_in(env_id: str, kwargs: Mapping[str, Any]) -> CardFile | None:
    """Returns the card of that name, or the one of that environment whose kwargs are asked for."""
    if env_id not in _cards():
        return None
    card = _card(env_id)
    # "LunarLander-v3" with continuous=True has another action than the card of that name tells.
    for name in sorted(_cards()) if kwargs else ():
        other = _card(name)
        if other.env == env_id and other.kwargs and other.kwargs.items() <= kwargs.items():
            card = other
    return card


def _card(name: str) -> CardFile:
    path = files("rewardsmith.envs").joinpath("cards").joinpath(f"{name}.yaml")
    return parse_card(path.read_text(encoding="utf-8"), f"built-in card {name}")


@cache
def _suite_tasks() -> dict[str, Task]:
    from rewardsmith.envs.references import attribute

    found: dict[str, Task] = {}
    for name, reference in suites().items():
        make: Callable[[], Iterable[Task]] = attribute(reference, f"suite {name}")
        for task in make():
            if task.id in found:
                raise ConfigError(f"suite {name}: there is already a task {task.id!r}")
            found[task.id] = task
    return found
