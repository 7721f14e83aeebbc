"""What farming a reward would look like: nothing done, to and fro, and waiting short of the goal.

All but doing nothing are composed of stored states, for no policy that plays them is at hand: a
reward that pays for them is found out before one has been trained to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.played import Played
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.side_by_side import play_all
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import EnvSpec, FloatArray, Score, Task
from rewardsmith.errors import TrainingError

LENGTH = 100  # steps of a behaviour
NOTHING, STILL, OSCILLATING, HOVERING = (
    "doing nothing",
    "standing still",
    "oscillating",
    "hovering",
)
_PLACES = (0.1, 0.35, 0.6, 0.85)  # of the best episode, where it is swung to and fro
_EFFECT = 10  # steps after which discrete choices are compared
_SPANS = (1, 5)  # steps of a swing
_RESET = 7 * 2**29  # reset seeds from here on are nobody else's
_RATE = ("/s", "/step")  # how the units of rates of change end


def neutral_action(spec: EnvSpec, seed: int) -> npt.NDArray[Any]:
    """Returns the action of doing nothing: (*action shape,).

    Zero, or the bound next to it. Of discrete choices the one whose effect over some steps is most
    in the middle of the effects of all: no engine among engines, no push between left and right.

    Raises:
        ConfigError: the environment cannot be made.
    """
    action = spec.action
    if action.count is None:
        low, high = (np.reshape(bound, action.shape) for bound in (action.low, action.high))
        return np.clip(np.zeros(action.shape), low, high)
    choices = np.arange(action.count)
    seeds = [seed] * len(choices)
    played = play_all(spec, lambda rows, seen, step: choices[rows], seeds, longest=_EFFECT)
    ends = np.array([_last_state(episode, spec) for episode in played])
    spread = ends.std(axis=0)
    scaled = ends / np.where(spread > 0, spread, 1.0)
    apart = np.linalg.norm(scaled[:, None] - scaled[None], axis=2).sum(axis=1)
    return np.array(choices[int(apart.argmin())])


def behaviours(
    task: Task, played: Sequence[Played], neutral: npt.NDArray[Any], *, seed: int
) -> list[Played]:
    """Returns behaviours of `LENGTH` steps, in the order of `StoredEpisode.policy`'s names.

    - *doing nothing* is simulated, up to where it ends;
    - *standing still* stays in a reset state, all rates of change 0;
    - *oscillating* swings between stored states of the best episode, one or several steps apart.
      On the way back rates of change are those of the way there with the other sign;
    - *hovering* stays in a state of the best episode, all rates 0: of one that succeeds the last
      state from which staying is no success, of one that does not the last but one; of tasks that
      know no success the middle one.

    Rates are told by their units (m/s, units/step); without units they stay as they are.

    Args:
        task: whose environment is played, and whose fitness tells success.
        played: simulated episodes, the best first.
        neutral: the action of doing nothing.
        seed: of the reset.

    Raises:
        ConfigError: the environment cannot be made.
        TrainingError: the simulation blew up.
    """
    states = _States.of(task.env, played)
    best = played[0]
    (nothing,) = play_all(
        task.env, lambda rows, seen, step: neutral[None], [seed + _RESET], longest=LENGTH
    )
    found = [
        (NOTHING, None, nothing),
        (STILL, None, states.still(nothing, 0, neutral)),
        *((OSCILLATING, best.name, swing) for swing in _swings(states, best.episode)),
    ]
    waiting = _waiting(task, states, best, neutral)
    found += [(HOVERING, best.name, waiting)] if waiting is not None else []
    return [
        Played(episode, f"{name}/{number}", "behaviour", name, _judged(task, episode), of)
        for number, (name, of, episode) in enumerate(found)
    ]


@dataclass(frozen=True)
class _States:
    """Composes steps of stored states; ``rates`` are fields in 1/time, ``signed`` those below 0."""

    rates: frozenset[str]
    signed: frozenset[str]

    @classmethod
    def of(cls, spec: EnvSpec, played: Sequence[Played]) -> "_States":
        rates = {f.name for f in (*spec.fields, *spec.hidden) if f.unit.endswith(_RATE)}
        signed = {
            name for name in rates if any(p.episode.steps.after[name].min() < 0 for p in played)
        }
        return cls(frozenset(rates), frozenset(signed))

    def still(self, episode: Episode, place: int, action: npt.NDArray[Any]) -> Episode:
        """Returns an episode that stays in the state before step ``place``."""
        places = np.full(LENGTH, place)
        return self.composed(episode, places, places, np.zeros(LENGTH), action)

    def swing(self, episode: Episode, place: int, span: int) -> Episode:
        """Returns an episode that swings between the states before ``place`` and a span later."""
        forth = np.arange(place, place + span)
        turns = -(-LENGTH // (2 * span))
        before = np.tile(np.concatenate([forth, forth[::-1] + 1]), turns)[:LENGTH]
        after = np.tile(np.concatenate([forth + 1, forth[::-1]]), turns)[:LENGTH]
        return self.composed(episode, before, after, np.sign(after - before), None)

    def composed(
        self,
        episode: Episode,
        before: npt.NDArray[np.int64],
        after: npt.NDArray[np.int64],
        sense: npt.NDArray[Any],
        action: npt.NDArray[Any] | None,
    ) -> Episode:
        """Returns steps from the states ``before`` to ``after``, numbered from the reset state on.

        Args:
            episode: whose states they are.
            before: (n,) numbers of states.
            after: (n,) numbers of states.
            sense: (n,) by what rates of change are multiplied: 1, -1 or 0.
            action: of every step; None for the action that the episode took between the two.
        """
        stored, count = episode.steps, len(before)
        # Often a rate is a mean over the step: the way back has what the way there had, negated.
        pace = np.maximum(before, after)
        own = stored.action[np.minimum(before, after).clip(max=stored.rows - 1)]
        last = np.arange(count) == count - 1
        steps = Steps(
            num_envs=1,
            after=self._taken(episode, after, pace, sense),
            before=self._taken(episode, before, np.roll(pace, 1), np.roll(sense, 1)),
            action=own if action is None else np.repeat(action[None], count, axis=0),
            terminated=np.zeros(count, dtype=np.bool_),
            truncated=last,
            starts=np.arange(count) == 0,
            native_reward=stored.native_reward[np.minimum(before, stored.rows - 1)],
        )
        return Episode(episode.seed, episode.dt, steps, {})

    def _taken(
        self,
        episode: Episode,
        places: npt.NDArray[np.int64],
        pace: npt.NDArray[np.int64],
        sense: npt.NDArray[Any],
    ) -> dict[str, FloatArray]:
        """Returns states ``places``, their rates of change those of ``pace`` times ``sense``."""
        found: dict[str, FloatArray] = {}
        for name, values in episode.steps.after.items():
            states = np.concatenate([episode.steps.before[name][:1], values])
            whole = states[pace if name in self.rates else places]
            if name in self.rates:
                factor = sense if name in self.signed else np.abs(sense)
                whole = whole * factor.reshape(-1, *[1] * (whole.ndim - 1))
            found[name] = whole
        return found


def _swings(states: _States, episode: Episode) -> Iterator[Episode]:
    for span in _SPANS:
        if span <= episode.length:
            places = {int(share * (episode.length - span)) for share in _PLACES}
            yield from (states.swing(episode, place, span) for place in sorted(places))


def _waiting(
    task: Task, states: _States, best: Played, neutral: npt.NDArray[Any]
) -> Episode | None:
    """Returns the best episode halted where that is no success, None if it is one everywhere."""
    length = best.episode.length
    if best.score is None or best.score.success is None:
        return states.still(best.episode, length // 2, neutral)
    back = 1
    while back <= length:
        waiting = states.still(best.episode, length - back, neutral)
        score = _judged(task, waiting)
        if score is None or not score.success:
            return waiting
        back *= 2
    return None


def _judged(task: Task, episode: Episode) -> Score | None:
    """Returns the task's judgement, None where it has none for what never happens."""
    try:
        return judge(task, [episode])[0]
    except TrainingError:
        return None


def _last_state(episode: Episode, spec: EnvSpec) -> FloatArray:
    return np.concatenate([episode.steps.after[item.name][-1].ravel() for item in spec.fields])
