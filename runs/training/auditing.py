"""Keeps a training's reward honest: earlier answers are asked for again, by surprise.

A few calls are remembered, chosen at random among all so far, with the answers that the training
got. Now and then and at the end `sandbox.audit` asks a fresh worker the same. A difference ends
the training as ``impure``.
"""

import math
from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rewardsmith.envs.step import Steps
from rewardsmith.sandbox.audit import Auditor, Told, Window, rows_of
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.probe_steps import replaced
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

KEPT = 6  # remembered windows, besides the last
_TOGETHER = 8  # calls of a window, for programs with memory
_FIRST_AUDIT, _AUDIT_FACTOR = 8, 8  # after calls 8, 64, 512, ...: a handful, however long it goes
_MOST_BYTES = 4 * 2**20  # of one remembered call; of a larger one, some rows or lanes
_MOST_BYTES_TOGETHER = 2**20
_FEWEST_ROWS = 8


class AuditedReward:
    """A reward source whose answers are checked by surprise; implements ``RewardSource``.

    Any trainer may use it: nothing is asked of the order, size or number of its calls.

    Args:
        source: the training's own worker.
        fresh: opens another one in exactly the same way.
        memory: whether the program has ``memory``.
        seed: decides what is remembered and how it is asked again; unknown to the program.
        seconds: what the questions of all audits may take; each audit asks one at least.
    """

    def __init__(
        self,
        source: RewardSource,
        fresh: Callable[[], RewardSource],
        *,
        memory: bool,
        seed: int,
        seconds: float = math.inf,
    ) -> None:
        self._source = source
        self._memory = memory
        self._random = np.random.default_rng(seed)
        self._auditor = Auditor(fresh, memory=memory, random=self._random, seconds=seconds)
        self._recent: deque[Told] = deque(maxlen=_TOGETHER if memory else 1)
        self._kept: list[Window] = []
        self._number = 0
        self._due = _FIRST_AUDIT
        self._envs: int | None = None
        self._lanes: npt.NDArray[np.int64] | None = None
        self._judged = False
        self._found: Failure | None = None

    @property
    def audit_calls(self) -> int:
        """How often fresh workers were asked."""
        return self._auditor.calls

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the source's answer, or that the program was found impure."""
        if self._found is not None:
            return self._found
        answer = self._source.rewards(steps, carry=carry)
        if self._judged or steps.rows == 0:
            return answer
        if isinstance(answer, Failure):
            self._envs = None  # whatever is asked next starts afresh
            return answer
        self._remember(steps, answer, carry)
        if self._number == self._due:
            self._due *= _AUDIT_FACTOR
            return self._audit() or answer
        return answer

    def verdict(self) -> Failure | None:
        """Audits for the last time; what is asked afterwards is not remembered."""
        if not self._judged:
            self._judged = True
            if self._found is None and self._recent:
                self._audit()
            self._kept.clear()
            self._recent.clear()
        return self._found

    def close(self) -> None:
        """Closes the source; the workers of audits are closed already."""
        self._source.close()

    def _remember(self, steps: Steps, answer: RewardBatch, carry: bool) -> None:
        self._number += 1
        fresh = not carry or self._envs != steps.num_envs
        if fresh:
            self._recent.clear()
            self._lanes = None
        self._envs = steps.num_envs
        self._recent.append(self._told(steps, answer, fresh))
        # Vitter's algorithm R: after any number of calls, each is among the kept with equal chance.
        if len(self._kept) < KEPT:
            self._kept.append(tuple(self._recent))
        elif (place := int(self._random.integers(self._number))) < KEPT:
            self._kept[place] = tuple(self._recent)

    def _told(self, steps: Steps, answer: RewardBatch, fresh: bool) -> Told:
        """Copies a call, or as much of it as may be kept: a trainer may use its arrays again."""
        index, envs = self._index(steps)
        if len(index) == steps.rows:
            parts = {name: column.copy() for name, column in answer.components.items()}
            same = RewardBatch(answer.total.copy(), parts)
            return Told(self._number, _copied(steps), same, fresh, True)
        kept = replaced(steps.take(index), envs, steps.starts[index])
        parts = {name: column[index] for name, column in answer.components.items()}
        return Told(self._number, kept, RewardBatch(answer.total[index], parts), fresh, False)

    def _index(self, steps: Steps) -> tuple[npt.NDArray[np.int64], int]:
        """Returns the rows to keep, and of how many environments they are."""
        size = sum(column.nbytes for column in (*steps.after.values(), *steps.before.values()))
        limit = _MOST_BYTES_TOGETHER if self._memory else _MOST_BYTES
        most = max(int(limit / max(size / steps.rows, 1.0)), _FEWEST_ROWS)
        if steps.rows <= most:
            return np.arange(steps.rows), steps.num_envs
        if not self._memory:
            stride = -(-steps.rows // most)
            index = np.arange(int(self._random.integers(stride)), steps.rows, stride)
            return index, len(index)
        if self._lanes is None:  # the same ones until memory begins anew
            count = max(1, most * steps.num_envs // steps.rows)
            self._lanes = np.sort(self._random.permutation(steps.num_envs)[:count])
        return rows_of(self._lanes, steps), len(self._lanes)

    def _audit(self) -> Failure | None:
        last = tuple(self._recent)
        windows = [w for w in self._kept if w[-1].number != last[-1].number]
        self._found = self._auditor.found([*windows, last])
        return self._found


def _copied(steps: Steps) -> Steps:
    """Returns the same rows in arrays of their own; taking them by index would be slower."""
    return Steps(
        num_envs=steps.num_envs,
        after={name: column.copy() for name, column in steps.after.items()},
        before={name: column.copy() for name, column in steps.before.items()},
        action=steps.action.copy(),
        terminated=steps.terminated.copy(),
        truncated=steps.truncated.copy(),
        starts=steps.starts.copy(),
        native_reward=steps.native_reward.copy(),
    )
