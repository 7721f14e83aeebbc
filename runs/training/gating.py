"""Penalties that wait for success: which gated components count, by the training's own episodes.

Whether an episode succeeded only the task's fitness knows, trusted code over fields that no reward
sees. So this stands outside everything: it reads the hidden fields and hands on steps without them.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rewardsmith.envs.fitness import load_fitness
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import EnvSpec, Task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import GateSwitch
from rewardsmith.runs.training.trainers.underway import Underway
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.probe_steps import replaced
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.shaped import ShapedReward, joined
from rewardsmith.sandbox.shaping import Gate
from rewardsmith.sandbox.transforms import gate_opens

EPISODES = 100


class GatedReward:
    """A shaped reward whose gated components count while the policy succeeds.

    The rate is successes among the last 100 episodes that ended, those not yet played counted as
    failures. What a rollout teaches of it holds from the next call on, so the order of a training's
    calls decides; asked without ``carry``, nothing is counted. ``switches`` tells what happened.

    Args:
        source: the shaped reward; this decides what of it is shut.
        gates: which components, and at which rates.
        task: whose fitness tells success.
    """

    def __init__(self, source: ShapedReward, gates: tuple[Gate, ...], task: Task) -> None:
        self.switches: list[GateSwitch] = []
        self._source = source
        self._gates = gates
        self._task = task
        self._measure = load_fitness(task.fitness)
        self._episodes = _Episodes()
        self._successes: deque[bool] = deque(maxlen=EPISODES)
        self._rows = 0
        source.shut = frozenset(gate.component for gate in gates)

    def rewards(self, steps: Steps, *, carry: bool = False) -> RewardBatch | Failure:
        """Returns the shaped rewards as the gates stand, then looks at what ended in ``steps``.

        Raises:
            ConfigError: the task's fitness tells no success.
        """
        answer = self._source.rewards(visible(steps, self._task.env), carry=carry)
        if carry and not isinstance(answer, Failure):
            self._rows += steps.rows
            for episode in self._episodes.ended(steps):
                self._learn(episode)
        return answer

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def _learn(self, episode: Steps) -> None:
        told = self._measure(Episode(0, self._task.env.dt, episode, {})).success
        if told is None:
            raise ConfigError(
                f"{self._task.id}: its fitness tells no success, so a gate would never open; "
                "leave gate out of the shaping"
            )
        self._successes.append(told)
        rate = sum(self._successes) / EPISODES
        for gate in self._gates:
            was_open = gate.component not in self._source.shut
            now = gate_opens(was_open, rate, gate.on, gate.off)
            if now != was_open:
                self._source.shut ^= {gate.component}
                self.switches.append(
                    GateSwitch(
                        component=gate.component, counts=now, success_rate=rate, rows=self._rows
                    )
                )


class _Episodes:
    """Cuts the steps of calls that follow one another in time into whole episodes."""

    def __init__(self) -> None:
        self._underway = Underway()
        self._envs = 0

    def ended(self, steps: Steps) -> Iterator[Steps]:
        """Yields each episode that ends within ``steps``, in order of time."""
        envs = steps.num_envs
        if envs != self._envs:
            self._underway, self._envs = Underway(), envs
        kept = self._underway.steps
        whole = steps if kept is None else joined(kept, steps)
        starts = whole.starts.reshape(-1, envs)
        ends = (whole.terminated | whole.truncated).reshape(-1, envs)
        ends[: 0 if kept is None else kept.rows // envs] = False  # told before
        for time, lane in np.argwhere(ends):
            begins = np.flatnonzero(starts[: time + 1, lane])
            if len(begins):
                index = np.arange(begins[-1], time + 1) * envs + lane
                yield replaced(whole.take(index), 1, whole.starts[index])
        self._underway.add(steps)


def visible(steps: Steps, spec: EnvSpec) -> Steps:
    """Returns the steps without what is hidden from rewards."""
    names = [field.name for field in spec.fields]
    return replace(
        steps,
        after={name: steps.after[name] for name in names},
        before={name: steps.before[name] for name in names},
    )
