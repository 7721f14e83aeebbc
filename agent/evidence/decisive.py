"""The step at which an episode was decided: from there on its policy hardly succeeds any more.

Source: OmegaPRM (Luo et al. 2024) finds the first wrong step of a chain of thought by rolling out
from its prefixes and halving; here a prefix is a state of the simulator.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.collect import Act, concat, steps_of_columns
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import EnvSpec, Score, Task
from rewardsmith.envs.vector import Transition
from rewardsmith.envs.vector.loop import LoopEnv
from rewardsmith.runs.training.policy import Policy

RollOut = Callable[[int], Sequence[Score]]
ROLLOUTS = 8
_NOISE = 0.1  # of half the action's range, for policies that have no noise of their own
_CHANCE = 0.05  # of another choice, for discrete actions


@dataclass(frozen=True)
class Decisive:
    """Where an episode was decided: in the steps from ``before`` to ``step`` (exclusive).

    ``by`` says what was rolled out for: the success rate or, where the task knows no success, the
    mean fitness. ``at_start``, ``at_before`` and ``at_step`` are its values from the state before
    those steps; from the end of the episode it is what the episode itself came to.
    """

    step: int
    before: int
    by: Literal["success", "fitness"]
    at_start: float
    at_before: float
    at_step: float


def decisive_step(
    places: Sequence[int], length: int, roll_out: RollOut, own: Score
) -> Decisive | None:
    """Returns the first place from which half is lost, None if the episode lost nothing.

    Half is lost where the value is below the middle between that of the first place and what the
    episode came to: for a failure, half the first success rate. The value is taken to fall along
    the episode, so halving finds the place with about log2(places) calls of ``roll_out``.

    Args:
        places: steps that can be rolled out from, ascending, at least one.
        length: steps of the episode.
        roll_out: step -> scores of whole episodes that share all before that step.
        own: what the episode itself came to.
    """
    by: Literal["success", "fitness"] = "fitness" if own.success is None else "success"
    lost = _value([own], by)
    start = _value(roll_out(places[0]), by)
    if start <= lost:
        return None
    spots = [*places, length]
    low, high = 0, len(places)
    at_low, at_high = start, lost
    while high - low > 1:
        middle = (low + high) // 2
        found = _value(roll_out(spots[middle]), by)
        if found < (start + lost) / 2:
            high, at_high = middle, found
        else:
            low, at_low = middle, found
    return Decisive(spots[high], spots[low], by, start, at_low, at_high)


def decided(
    task: Task,
    episode: Episode,
    own: Score,
    policy: Policy | Act,
    *,
    rollouts: int = ROLLOUTS,
    seed: int = 0,
) -> Decisive | None:
    """Returns where a stored episode was decided, by rolling out its policy with noise.

    The simulator is put back to the episode's snapshots; where there are none it plays the stored
    actions again from the seed, to every tenth step.

    Args:
        task: whose environment is played, and whose fitness judges.
        episode: a whole one.
        own: what it came to.
        policy: whose episode it is; takes flat observations.
        rollouts: k, of every place that is looked at.
        seed: of the noise.

    Raises:
        ConfigError: the environment cannot be made, or a snapshot is another's.
        TrainingError: the simulation blew up, or the fitness is not finite.
    """
    rng = np.random.default_rng([seed, 31])
    act = exploring(policy, task.env, rng)
    snapshots = {} if task.env.wrappers else episode.snapshots  # of wrappers they hold nothing
    places = sorted(snapshots) or list(range(0, episode.length, 10))
    env = LoopEnv(task.env, 1)

    def roll_out(place: int) -> Sequence[Score]:
        return judge(task, [_continued(env, episode, place, act) for _ in range(rollouts)])

    try:
        return decisive_step(places, episode.length, roll_out, own)
    finally:
        env.close()


def in_words(found: Decisive | None, episode: int, own: Score) -> str:
    """Returns a sentence about where an episode, which came to ``own``, was decided."""
    if found is None:
        return f"episode {episode} was lost nowhere: played on from its start it came to no more"
    by = "success rate" if found.by == "success" else "mean fitness"
    end = "failure" if found.by == "success" else f"fitness {own.fitness:.3g}"
    return (
        f"episode {episode} ({end}) was decided in steps {found.before} to {found.step - 1}: "
        f"played on by its policy with noise, the {by} is {found.at_start:.3g} from the start, "
        f"{found.at_before:.3g} from step {found.before}, "
        f"{found.at_step:.3g} from step {found.step}"
    )


def exploring(policy: Policy | Act, spec: EnvSpec, rng: np.random.Generator) -> Act:
    """Returns the policy with its own noise, if it has one that no state changes; else a little."""
    if spec.action.count is not None:
        count = spec.action.count
        return lambda seen: int(rng.integers(count)) if rng.random() < _CHANCE else policy(seen)
    shape = spec.action.shape
    low, high = (np.reshape(bound, shape) for bound in (spec.action.low, spec.action.high))
    std = _own_noise(policy)
    size = _NOISE * (high - low) / 2 if std is None else np.reshape(std, shape)

    def act(seen: Any) -> Any:
        noisy = policy(seen) + size * rng.standard_normal(shape)
        return np.clip(noisy, low, high).astype(np.float32)

    return act


def _own_noise(policy: Policy | Act) -> npt.NDArray[Any] | None:
    if not isinstance(policy, Policy) or policy.spec.use_sde or "log_std" not in policy.weights:
        return None
    return np.asarray(np.exp(policy.weights["log_std"]))


def _value(scores: Sequence[Score], by: Literal["success", "fitness"]) -> float:
    values = [score.fitness if by == "fitness" else float(bool(score.success)) for score in scores]
    return float(np.mean(values))


def _continued(env: LoopEnv, episode: Episode, place: int, act: Act) -> Episode:
    """Returns an episode that is the stored one up to ``place`` and then the policy's."""
    observation = env.reset([episode.seed])[0]
    if place in episode.snapshots and not env.spec.wrappers:
        observation = env.restore(0, episode.snapshots[place])
    else:
        for action in _possible(episode.steps.action[:place], env.spec):
            observation = env.step(action[None]).observation[0]
    seen: list[Transition] = []
    actions: list[Any] = []
    while not seen or not (seen[-1].terminated[0] or seen[-1].truncated[0]):
        actions.append(np.asarray(act(observation)))
        seen.append(env.step(actions[-1][None]))
        observation = seen[-1].observation[0]
    rest = steps_of_columns(
        np.concatenate([item.before for item in seen]),
        np.concatenate([item.after for item in seen]),
        1,
        env.spec,
        action=np.array(actions),
        terminated=[item.terminated[0] for item in seen],
        truncated=[item.truncated[0] for item in seen],
        starts=[place == 0 and number == 0 for number in range(len(seen))],
        native_reward=[item.native_reward[0] for item in seen],
    )
    parts = [_first(episode.steps, place), rest] if place else [rest]
    whole = concat([Episode(episode.seed, episode.dt, part, {}) for part in parts])
    return Episode(episode.seed, episode.dt, whole, {})


def _first(steps: Steps, count: int) -> Steps:
    return Steps(
        num_envs=1,
        after={name: values[:count] for name, values in steps.after.items()},
        before={name: values[:count] for name, values in steps.before.items()},
        action=steps.action[:count],
        terminated=steps.terminated[:count],
        truncated=steps.truncated[:count],
        starts=steps.starts[:count],
        native_reward=steps.native_reward[:count],
    )


def _possible(actions: npt.NDArray[Any], spec: EnvSpec) -> npt.NDArray[Any]:
    return actions if spec.action.count is not None else actions.astype(np.float32)
