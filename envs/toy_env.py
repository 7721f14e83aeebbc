"""A point mass in pure Python, fast enough to try the whole loop in seconds."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

ID = "rewardsmith/Point-v0"
DT = 0.1
MAX_STEPS = 40
LIMIT = 3.0
MAX_FORCE = 1.0
DRAG = 0.2

Observation = npt.NDArray[np.float32]


class PointEnv(gymnasium.Env[Observation, Any]):
    """A 1 kg point on a line, pushed by a force, that is to come to rest at a target.

    Observation: position (m), velocity (m/s), target position (m). Action: force in newtons in
    [-1, 1], or with ``discrete`` one of left, none, right. Its own reward is minus the distance to
    the target per step. The episode ends when the point leaves [-3, 3].
    """

    def __init__(self, *, discrete: bool = False, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.discrete = discrete
        self.action_space = (
            gymnasium.spaces.Discrete(3)
            if discrete
            else gymnasium.spaces.Box(-MAX_FORCE, MAX_FORCE, (1,), np.float32)
        )
        self.position = self.velocity = self.target = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Puts the point near 0 at rest, and the target 1 to 2 m away on either side."""
        super().reset(seed=seed)
        self.position = float(self.np_random.uniform(-0.2, 0.2))
        self.velocity = 0.0
        side = 1.0 if self.np_random.random() < 0.5 else -1.0
        self.target = side * float(self.np_random.uniform(1.0, 2.0))
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Applies the force for 0.1 s (semi-implicit Euler)."""
        force = float(action - 1) if self.discrete else float(action[0])
        force = min(max(force, -MAX_FORCE), MAX_FORCE)
        self.velocity += DT * (force - DRAG * self.velocity)
        self.position += DT * self.velocity
        reward = -abs(self.position - self.target)
        return self._observation(), reward, abs(self.position) > LIMIT, False, {}

    def capture_state(self) -> npt.NDArray[np.float64]:
        """Returns position, velocity and target: all that a step depends on."""
        return np.array((self.position, self.velocity, self.target))

    def restore_state(self, state: npt.NDArray[np.float64]) -> None:
        """Puts the point back to a captured state."""
        self.position, self.velocity, self.target = (float(value) for value in state)

    def _observation(self) -> Observation:
        return np.array((self.position, self.velocity, self.target), dtype=np.float32)


def register() -> None:
    """Makes ``rewardsmith/Point-v0`` known to ``gymnasium.make``; safe to call twice."""
    if ID not in gymnasium.registry:
        gymnasium.register(ID, f"{__name__}:PointEnv", max_episode_steps=MAX_STEPS)
