"""The rewards a trainer can be given: a program in its worker, or the environment's own."""

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rewardsmith.envs.step import Steps
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import GateSwitch, Unit
from rewardsmith.runs.training.auditing import AuditedReward
from rewardsmith.runs.training.gating import GatedReward
from rewardsmith.sandbox.backend import Limits
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.reward import RewardBatch, RewardSource
from rewardsmith.sandbox.shaped import shaped

# The pace below which a reward is too slow to train with, and what its calls may take besides: far
# from what honest programs need even where they work row by row, through an engine, on busy cores.
LEAST_ROWS_PER_S = 2000.0
_ALLOWANCE_S = 120.0
_AUDIT_SHARE = 0.02  # of the time that all calls of a training may take


class NativeReward:
    """The environment's own reward, through the same deferred path as every program."""

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch:
        """Returns ``steps.native_reward`` as total and as the one component ``native``."""
        del carry  # a recorded reward has no memory
        return RewardBatch(total=steps.native_reward, components={"native": steps.native_reward})

    def close(self) -> None:
        """Does nothing: there is no worker."""


class MeteredReward:
    """A reward source that counts its calls and their wall time, ``calls`` and ``wall_s``.

    Both hold what audits asked and took.

    Args:
        source: the rewards that train.
        audits: what in it is audited; the source itself, where it is and nothing is given.
    """

    def __init__(self, source: RewardSource, audits: Sequence[AuditedReward] = ()) -> None:
        self._source = source
        own = (source,) if isinstance(source, AuditedReward) else ()
        self._audits = tuple(audits) or own
        self._own_calls = 0
        self.wall_s = 0.0

    @property
    def calls(self) -> int:
        """How often a worker was asked."""
        return self._own_calls + sum(audited.audit_calls for audited in self._audits)

    @property
    def switches(self) -> tuple[GateSwitch, ...]:
        """When gated components began or ceased to count."""
        return tuple(self._source.switches) if isinstance(self._source, GatedReward) else ()

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the source's answer."""
        start = time.perf_counter()
        try:
            return self._source.rewards(steps, carry=carry)
        finally:
            self._own_calls += 1
            self.wall_s += time.perf_counter() - start

    def verdict(self) -> Failure | None:
        """Returns what the program did wrong that only its whole training shows, None if nothing.

        Asked once, after the last rollout and before the policy is judged.
        """
        if not self._audits:
            return None
        start = time.perf_counter()
        try:
            verdicts = [audited.verdict() for audited in self._audits]
            return next((found for found in verdicts if found is not None), None)
        finally:
            self.wall_s += time.perf_counter() - start

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_reward(unit: Unit) -> MeteredReward:
    """Returns the reward that ``unit`` is to be trained with; a program gets a worker.

    A shaping stands outside the audits, which compare what the program itself answered. Subgoals
    that it pays are asked for in a worker of their own.

    Raises:
        ConfigError: the program has no subgoals, or none that can be read, and they are to be paid.
    """
    if unit.program is None:
        return MeteredReward(NativeReward())
    if unit.shaping is None:
        return MeteredReward(_audited(unit, unit.program))
    audits: list[AuditedReward] = []

    def opened(program: str) -> RewardSource:
        audits.append(_audited(unit, program))
        return audits[-1]

    # Who discounts nothing names no discount.
    gamma = float(unit.hyperparams.get("gamma", 1.0))
    source = shaped(unit.program, unit.task.env, unit.shaping, gamma=gamma, opened=opened)
    if isinstance(source, Failure):
        raise ConfigError(f"{unit.id}: its subgoals are to be paid. {source.text}")
    gates = unit.shaping.gates
    return MeteredReward(GatedReward(source, gates, unit.task) if gates else source, audits)


def _audited(unit: Unit, program: str) -> AuditedReward:
    from rewardsmith.sandbox.client import RewardClient
    from rewardsmith.sandbox.program import parse

    limits = training_limits(unit)

    def fresh() -> RewardSource:
        return RewardClient(
            program, unit.task.env, sandbox=unit.sandbox, limits=limits, mode=unit.mode
        )

    parsed = parse(program)
    return AuditedReward(
        fresh(),
        fresh,
        memory=not isinstance(parsed, Failure) and parsed.uses_memory,
        seed=int(unit.key, 16),  # always the same for a unit, and its program is never told
        seconds=_AUDIT_SHARE * (limits.total_s or 0.0),
    )


def training_limits(unit: Unit) -> Limits:
    """Returns what the worker of a training may use: time in all for its steps at a slow pace.

    A reward that is only slow is stopped there, with numbers, instead of making a training last.
    """
    total_s = _ALLOWANCE_S + unit.steps / LEAST_ROWS_PER_S
    return Limits(total_s=total_s, idle_s=math.inf)
