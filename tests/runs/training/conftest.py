"""Reward sources of trusted test code, in this process."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest

from rewardsmith.envs.step import Steps
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch

Columns = Mapping[str, npt.NDArray[np.float64]]
Rule = Callable[[Columns, npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def padded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Repeats the first row up to 8 rows, as the worker does for small batches."""
    short = max(0, 8 - len(values))
    return np.ascontiguousarray(np.concatenate([values, np.repeat(values[:1], short, axis=0)]))


class RuleReward:
    """Applies a function to a batch, padded to 8 rows; or fails from a given call on."""

    def __init__(self, rule: Rule, *, failure: Failure | None = None, fail_at: int = 0) -> None:
        self._rule = rule
        self._failure = failure
        self._fail_at = fail_at
        self.calls = 0
        self.seen: list[Steps] = []

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        assert carry, "a training follows the same environments from call to call"
        self.calls += 1
        self.seen.append(steps)
        if self._failure is not None and self.calls > self._fail_at:
            return self._failure
        columns = {name: padded(values) for name, values in steps.after.items()}
        total = self._rule(columns, padded(steps.action.astype(np.float64)))[: steps.rows]
        return RewardBatch(total=total, components={"all": total, "half": 0.5 * total})

    def close(self) -> None:
        pass


@pytest.fixture
def rule_reward() -> type[RuleReward]:
    """The class, as a fixture: test files cannot import one another."""
    return RuleReward
