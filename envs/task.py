"""What is to be learned: a text, an environment with its card, a fitness that no reward sees."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Field:
    """One named quantity of an environment's state.

    ``source`` says where its value comes from (an expression over the observation, ``info`` or the
    simulator, see ``envs/columns.py``); it is never shown to a language model.
    """

    name: str
    shape: tuple[int, ...]
    unit: str
    meaning: str
    source: str

    @property
    def size(self) -> int:
        """Number of values of one row."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class ActionSpec:
    """What ``env.step`` receives. Discrete actions have ``shape == ()`` and ``count`` choices."""

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    count: int | None
    meaning: str


@dataclass(frozen=True)
class EnvSpec:
    """A Gymnasium environment and the names under which its state may be used.

    ``fields`` are what a reward program may use; ``hidden`` is what only fitness may use. The two
    share no name. ``wrappers`` are ``module:attr`` strings applied in order.
    """

    id: str
    fields: tuple[Field, ...]
    hidden: tuple[Field, ...]
    action: ActionSpec
    max_steps: int
    dt: float
    description: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A behaviour in words, where it is to be learned, and how it is judged.

    ``fitness`` is ``module:function`` or ``path/to/file.py`` (function ``fitness``); it maps an
    ``Episode`` to a ``Score``, higher is better, in ``fitness_unit``. Its source is in no prompt.
    """

    id: str
    text: str
    env: EnvSpec
    fitness: str
    fitness_unit: str
    fitness_meaning: str
    principles: tuple[str, ...] = ()
    solved_at: float | None = None
    human_reward: bool = True


@dataclass(frozen=True)
class Score:
    """The judgement of one episode by trusted code.

    ``outcome`` is a short word for how it ended ("fell", "time limit", "landed").
    """

    fitness: float
    success: bool | None
    outcome: str
