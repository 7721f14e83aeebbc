"""How far one step of MJX is from one of MuJoCo itself, from the same states."""

from dataclasses import dataclass

import numpy as np

from rewardsmith.envs.task import FloatArray
from rewardsmith.envs.vector.mjx import MjxTask
from rewardsmith.envs.vector.worlds import Worlds

_LONGEST = 50  # control steps of random actions that lead to a state


@dataclass(frozen=True)
class Parity:
    """Differences after one control step; ``name`` is the task's, ``states`` how many were tried.

    Positions and velocities are in the model's own units; each is (median, largest) over states of
    the largest difference within a state. ``same_end`` is the share of states in which both end
    the episode or neither does.
    """

    name: str
    states: int
    positions: tuple[float, float]
    velocities: tuple[float, float]
    same_end: float

    def __str__(self) -> str:
        """Returns a line to print."""
        places, speeds = (_words(pair) for pair in (self.positions, self.velocities))
        return (
            f"{self.name}: one control step of MJX against MuJoCo from {self.states} states: "
            f"positions {places}; velocities {speeds}; same end in {self.same_end:.1%}"
        )


def _words(spread: tuple[float, float]) -> str:
    return f"median {spread[0]:.1e}, largest {spread[1]:.1e}"


def parity(task: MjxTask, states: int = 64, seed: int = 0) -> Parity:
    """Steps MuJoCo, with the environment's own solver, and MJX from random states.

    The states come from random actions, up to 50 control steps into an episode, whether or not the
    task would have ended it; both solvers start cold.
    """
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(seed)
    spec, substeps = task.spec, int(task.robot.env.frame_skip)
    after = ["mj_rnePostConstraint"] if task.robot.forces else []
    worlds = Worlds(task.given, states, 1, after)
    try:
        for field in task.robot.fields:
            worlds.read(field)
        qpos, qvel = _reached(task, worlds, rng)
        every = np.arange(states)
        worlds.begin(every, qpos, qvel)
        actions = rng.uniform(spec.action.low, spec.action.high, (states, *spec.action.shape))
        before = task.robot.anchor(worlds.now)
        worlds.step(actions, substeps)
        now = worlds.now.take(every)
    finally:
        worlds.close()
    ended = task.robot.judge(now, before, task.robot.anchor(now), actions).terminated
    pool = {
        "qpos": jnp.asarray(qpos, dtype=float),
        "qvel": jnp.asarray(qvel, dtype=float),
        "anchor": jnp.asarray(before, dtype=float),
        "observation": jnp.asarray(task.robot.observe(now), dtype=float),
    }

    def once(pool: dict[str, jax.Array], actions: jax.Array) -> object:
        state, _ = task.begin(pool, jnp.arange(states))
        seen = task.step(pool, state, actions, jnp.arange(states))[1]
        return seen.readings["qpos"], seen.readings["qvel"], seen.terminated

    places, speeds, ends = jax.jit(once)(pool, jnp.asarray(actions, dtype=float))
    return Parity(
        task.name,
        states,
        _spread(np.asarray(places) - now.qpos),
        _spread(np.asarray(speeds) - now.qvel),
        float(np.mean(np.asarray(ends) == ended)),
    )


def _reached(
    task: MjxTask, worlds: Worlds, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Returns positions and velocities that random actions lead to."""
    count = len(worlds.now.qpos)
    qpos, qvel = (
        np.array(part) for part in zip(*(task.robot.draw(rng) for _ in range(count)), strict=True)
    )
    worlds.begin(np.arange(count), qpos, qvel)
    stops = rng.integers(0, _LONGEST, count)
    action = task.spec.action
    for step in range(_LONGEST):
        here = np.flatnonzero(stops == step)
        qpos[here], qvel[here] = worlds.now.qpos[here], worlds.now.qvel[here]
        drawn = rng.uniform(action.low, action.high, (count, *action.shape))
        worlds.step(drawn, int(task.robot.env.frame_skip))
    return qpos, qvel


def _spread(differences: FloatArray) -> tuple[float, float]:
    worst = np.abs(differences).max(axis=1)
    return float(np.median(worst)), float(worst.max())
