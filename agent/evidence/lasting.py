"""Behaviours kept up to the end of an episode: what they would be worth, to task and reward alike.

A behaviour is made of stored rows, some of them again and again. So its reward is that of the rows,
and its fitness is what the task's own fitness says of the same rows: farming is a behaviour that is
worth much to the reward and little to the task.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rewardsmith.agent.evidence.stored import Stored, StoredEpisode, discounted_return
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import BoolArray, FloatArray, Score, Task

RowNumbers = npt.NDArray[np.int64]
_CYCLES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # steps of a cycle that are looked for
_RESTS = 1e-3  # standard deviations of a field per step that count as none
_MOST_STEPS = 4_000  # that relations between fields are found in


@dataclass(frozen=True)
class Course:
    """Rows of a bank, (n,), gone through once, or ``again`` and again for so many steps."""

    rows: RowNumbers
    again: int | None = None

    def pay(self, column: FloatArray, gamma: float) -> float:
        """Returns the discounted sum of a column of rewards.

        What is repeated pays its mean: where in a cycle it is begun makes no cycle worth more.
        """
        if self.again is None:
            return discounted_return(column[self.rows], gamma)
        return float(column[self.rows].mean()) * discounted_return(np.ones(self.again), gamma)


@dataclass(frozen=True)
class Lasting:
    """Rows of a bank that can be repeated, (n,), and what the task says of them up to the horizon.

    Its pay is that of the rows again and again.
    """

    name: str
    rows: RowNumbers
    score: Score

    def course(self, steps: int) -> Course:
        """Returns the behaviour for so many steps."""
        return Course(self.rows, steps)

    @property
    def succeeds(self) -> bool:
        """Whether it is what the task asks for."""
        return bool(self.score.success)


def kept_up(rows: RowNumbers, cycle: int, horizon: int) -> RowNumbers:
    """Returns ``rows`` and then their last ``cycle`` again and again, (horizon,)."""
    missing = max(horizon - len(rows), 0)
    again = np.resize(rows[len(rows) - cycle :], missing)
    return np.concatenate([rows, again])[:horizon]


def lasting(task: Task, bank: Stored, name: str, rows: RowNumbers) -> Lasting:
    """Returns rows that can be repeated, with the task's judgement of them up to the horizon.

    Raises:
        TrainingError: the fitness cannot judge them.
    """
    whole = kept_up(rows, len(rows), task.env.max_steps)
    number = np.arange(len(whole))
    steps = replace(
        bank.steps.take(whole),
        num_envs=1,
        starts=number == 0,
        terminated=np.zeros(len(whole), dtype=np.bool_),
        truncated=number == len(whole) - 1,
    )
    return Lasting(name, rows, judge(task, [Episode(0, task.env.dt, steps, {})])[0])


def behaviours(task: Task, bank: Stored) -> tuple[Lasting, ...]:
    """Returns the stored behaviours that repeat themselves and could be real, kept up.

    A composed step that contradicts what holds in every simulated one (a robot that stands still
    at 2 m/s) shows nothing: its behaviour is left out.
    """
    believable = believable_steps(bank, task.env.dt)
    found = []
    for episode in bank.of("behaviour"):
        rows, cycle = np.arange(episode.first, episode.stop), last_cycle(bank.steps, episode)
        # Its first steps may pay once for having come there: memory that starts afresh.
        steady = rows[len(rows) - cycle :] if cycle is not None else rows[:0]
        if len(steady) and believable[steady].all():
            found.append(lasting(task, bank, episode.policy, steady))
    return tuple(found)


def last_cycle(steps: Steps, episode: StoredEpisode) -> int | None:
    """Returns after how many steps an episode's last rows repeat those before them, if ever."""
    for cycle in range(1, episode.length // 2 + 1):
        one = slice(episode.stop - cycle, episode.stop)
        two = slice(episode.stop - 2 * cycle, episode.stop - cycle)
        if all(np.array_equal(column[one], column[two]) for column in steps.after.values()):
            return cycle
    return None


def windows(
    task: Task, bank: Stored, episodes: Iterable[StoredEpisode], length: int, *, most: int
) -> tuple[Lasting, ...]:
    """Returns stretches of ``length`` simulated steps, side by side, each repeated to the horizon.

    Steps that end an episode cannot be repeated: their stretches are left out. Of more than
    ``most`` stretches every second one is taken, or every third.
    """
    firsts = [n for e in episodes for n in range(e.first, e.stop - length + 1, length)]
    stretches = [np.arange(first, first + length) for first in firsts]
    lasting_on = [rows for rows in stretches if not bank.steps.terminated[rows].any()]
    chosen = lasting_on[:: -(-len(lasting_on) // most) or 1]
    return tuple(lasting(task, bank, "stretch", rows) for rows in chosen)


def returning(
    task: Task, bank: Stored, episodes: Iterable[StoredEpisode], share: float
) -> Iterator[tuple[int, RowNumbers]]:
    """Yields (length, first rows (n,)) of simulated steps that lead back to where they began.

    Only such steps can be repeated: whoever is back where he was can do the same again. A stretch
    counts if every field's net change is at most ``share`` of the way it went, or next to nothing.

    Args:
        task: whose card's fields count; hidden ones, such as a way run, do not.
        bank: whose steps are looked at.
        episodes: those to look in.
        share: net change over way gone that counts as back.
    """
    rows, names = bank.rows_of(episodes), [field.name for field in task.env.fields]
    before, after = (_flat(side, names)[rows] for side in (bank.steps.before, bank.steps.after))
    rest = _RESTS * np.maximum(np.std(after, axis=0), 1e-12)
    way = np.concatenate([np.zeros((1, after.shape[1])), np.cumsum(np.abs(after - before), axis=0)])
    ends = bank.steps.terminated[rows]
    last = np.cumsum(bank.steps.starts[rows])  # number of the episode of each row
    for length in (length for length in _CYCLES if length <= len(rows)):
        count = len(rows) - length + 1
        net = np.abs(after[length - 1 :] - before[:count])
        back = (net <= share * (way[length:] - way[:count]) + rest * length).all(axis=1)
        back &= (last[length - 1 :] == last[:count]) & ~ends[length - 1 :]
        yield length, rows[:count][back]


def believable_steps(bank: Stored, dt: float) -> BoolArray:
    """Tells of each row whether what moves in it agrees with its velocities, (rows,).

    Which field is the velocity of which is found in the simulated steps: two columns of which one
    is nearly a multiple of the other's change.
    """
    rows = bank.rows_of(bank.simulated)
    rows = rows[:: max(1, len(rows) // _MOST_STEPS)]
    names = sorted(bank.steps.after)
    before, after = (_flat(side, names) for side in (bank.steps.before, bank.steps.after))
    change = (after - before) / dt
    agree = np.ones(bank.steps.rows, dtype=np.bool_)
    for position, velocity, factor in _rates(change[rows], after[rows]):
        spread = np.std(after[rows, velocity])
        agree &= np.abs(after[:, velocity] - factor * change[:, position]) <= 0.5 * spread
    return agree


def _rates(change: FloatArray, after: FloatArray) -> list[tuple[int, int, float]]:
    """Returns (position, velocity, factor): after[velocity] is about factor * change[position]."""
    size = np.sqrt((change**2).mean(axis=0)), np.sqrt((after**2).mean(axis=0))
    moving, varied = size[0] > 1e-9, np.std(after, axis=0) > 1e-9
    alike = (change.T @ after) / len(after)
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = alike / np.outer(*size)
    close = np.argwhere((np.abs(alike) > 0.98) & moving[:, None] & varied[None, :])
    return [(p, v, float(alike[p, v] * size[1][v] / size[0][p])) for p, v in close.tolist()]


def _flat(columns: Mapping[str, FloatArray], names: Iterable[str]) -> FloatArray:
    parts = [columns[name].reshape(len(columns[name]), -1) for name in names]
    return np.concatenate(parts, axis=1)
