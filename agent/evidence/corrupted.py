"""Episodes spoilt on purpose: the best stored ones, gone on with other actions in the simulator.

They show a reward what bad looks like close to what good looks like, which random episodes do not.
An episode is brought to where it is spoilt by playing it again from its seed: every simulator can
do that which repeats itself, and the spoilt copies of an episode run side by side. Whether it does
repeat itself is looked at, not believed.

Source: UI-Genie's corruption of good trajectories (2025), with physics that stays true.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.played import Played
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.side_by_side import Rows, play_all
from rewardsmith.envs.step import Episode
from rewardsmith.envs.task import ActionSpec, FloatArray, Task

Actions = npt.NDArray[Any]
Spoil = Callable[[Actions, ActionSpec, Actions, np.random.Generator], Actions]
MOST_SOURCES = 8
_SHORTEST = 8  # steps of an episode that is worth spoiling
_PERIOD = 5  # steps


def corrupted_episodes(
    task: Task, sources: Sequence[Played], neutral: Actions, *, rows: int, seed: int
) -> tuple[list[Played], tuple[str, ...]]:
    """Returns spoilt copies of the first sources that fit into ``rows``, and remarks.

    Every copy is played to its own end and judged by the task's fitness; those that are no worse
    than their source are left out.

    Args:
        task: whose environment is played.
        sources: judged whole episodes, the best first.
        neutral: the action of doing nothing.
        rows: steps that there may be, about; the copies of one source may go beyond.
        seed: of noise and random actions.

    Raises:
        ConfigError: the environment cannot be made, or the fitness cannot be loaded.
        TrainingError: the simulation blew up, or the fitness is not finite.
    """
    found: list[Played] = []
    remarks: list[str] = []
    for number, source in enumerate(sources[:MOST_SOURCES]):
        length = source.episode.length
        if length < _SHORTEST or (found and length * len(CORRUPTIONS) > rows):
            continue
        rng = np.random.default_rng([seed, 23, number])
        spoilt = _played(task, source.episode, neutral, rng)
        if not _repeats(source.episode, spoilt["noisy"]):
            remarks.append(f"{source.name} does not repeat itself from its seed: not corrupted")
            continue
        worse = _worse(task, source, spoilt)
        found += worse
        rows -= sum(item.episode.length for item in worse)
    return found, tuple(remarks)


def _played(
    task: Task, episode: Episode, neutral: Actions, rng: np.random.Generator
) -> dict[str, Episode]:
    """Returns the episode spoilt in every way, by the name of the way."""
    actions = episode.steps.action
    table = np.array([_spoilt(name, actions, task, neutral, rng) for name in CORRUPTIONS])

    def controls(rows: Rows, observations: FloatArray, step: int) -> Actions:
        chosen: Actions = table[rows, step]
        return chosen

    seeds = [episode.seed] * len(table)
    played = play_all(task.env, controls, seeds)
    return dict(zip(CORRUPTIONS, played, strict=True))


def _spoilt(
    name: str, actions: Actions, task: Task, neutral: Actions, rng: np.random.Generator
) -> Actions:
    """Returns the actions of as long an episode as there may be, spoilt from some step on."""
    start = _start(name, len(actions))
    left = max(task.env.max_steps, len(actions)) - start
    rest = np.resize(actions[start:], (left, *actions.shape[1:]))  # over and over
    changed = CORRUPTIONS[name](rest, task.env.action, neutral, rng)
    return np.concatenate([actions[:start], changed])


def _start(name: str, length: int) -> int:
    return length // 2 if name == "stopped at half" else length // 4


def _repeats(stored: Episode, again: Episode) -> bool:
    """Tells whether two episodes are the same up to where one of them was spoilt."""
    same = min(_start("noisy", stored.length), again.length)
    return all(
        np.allclose(values[:same], again.steps.after[name][:same], rtol=1e-6, atol=1e-6)
        for name, values in stored.steps.after.items()
    )


def _worse(task: Task, source: Played, spoilt: Mapping[str, Episode]) -> list[Played]:
    scores = judge(task, list(spoilt.values()))
    return [
        Played(episode, f"{name}/{source.name}", "corrupted", name, score, source.name)
        for (name, episode), score in zip(spoilt.items(), scores, strict=True)
        if score.fitness < source.fitness
    ]


def _frozen(
    rest: Actions, action: ActionSpec, neutral: Actions, rng: np.random.Generator
) -> Actions:
    return np.repeat(rest[:1], len(rest), axis=0)


def _reversed(
    rest: Actions, action: ActionSpec, neutral: Actions, rng: np.random.Generator
) -> Actions:
    return rest[::-1]


def _oscillating(
    rest: Actions, action: ActionSpec, neutral: Actions, rng: np.random.Generator
) -> Actions:
    """Returns the first action and its opposite in turn, some steps each."""
    if action.count is not None:
        pair = np.array([rest[0], (rest[0] + 1) % action.count])
    else:
        low, high = _bounds(action)
        pair = np.array([rest[0], low + high - rest[0]])
    return pair[np.arange(len(rest)) // _PERIOD % 2]


def _stopped(
    rest: Actions, action: ActionSpec, neutral: Actions, rng: np.random.Generator
) -> Actions:
    return np.repeat(neutral[None], len(rest), axis=0)


def _random(
    rest: Actions, action: ActionSpec, neutral: Actions, rng: np.random.Generator
) -> Actions:
    if action.count is not None:
        return rng.integers(action.count, size=rest.shape)
    return rng.uniform(*_bounds(action), rest.shape)


def _noisy(size: float) -> Spoil:
    """Returns noise of ``size`` half ranges; of discrete actions up to half are random."""

    def noisy(
        rest: Actions, action: ActionSpec, neutral: Actions, rng: np.random.Generator
    ) -> Actions:
        if action.count is not None:
            drawn = rng.integers(action.count, size=rest.shape)
            return np.where(rng.random(rest.shape) < size / (1 + size), drawn, rest)
        low, high = _bounds(action)
        noise: Actions = rest + size * (high - low) / 2 * rng.standard_normal(rest.shape)
        return noise

    return noisy


def _bounds(action: ActionSpec) -> tuple[FloatArray, FloatArray]:
    low, high = (np.reshape(bound, action.shape) for bound in (action.low, action.high))
    return low, high


CORRUPTIONS: dict[str, Spoil] = {
    "frozen": _frozen,
    "noisy": _noisy(0.3),
    "very noisy": _noisy(1.0),
    "reversed": _reversed,
    "oscillating": _oscillating,
    "stopped at half": _stopped,
    "random from a quarter": _random,
}
