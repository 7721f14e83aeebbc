"""The environment as the trainer sees it: every step carries the card's row, rewards come later."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import gymnasium

from rewardsmith.envs.columns import Columns, ResetInfo, bind
from rewardsmith.envs.references import attribute
from rewardsmith.envs.task import EnvSpec, FloatArray
from rewardsmith.errors import ConfigError

KEY = "rewardsmith"


class Row(NamedTuple):
    """One step as flat read-only rows (see ``columns.layout``), under ``info["rewardsmith"]``.

    ``before`` and ``after`` (width,) hold fields and hidden fields around the action; ``starts``
    marks the first step of an episode. After a reset both are the reset state.
    """

    before: FloatArray
    after: FloatArray
    native_reward: float
    starts: bool

    def __deepcopy__(self, memo: dict[int, Any]) -> "Row":
        # SB3's DummyVecEnv copies every info deeply at every step; rows never change.
        return self


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Puts a ``Row`` into every info; the reward is 0 unless ``native_reward``."""

    def __init__(self, env: gymnasium.Env[Any, Any], spec: EnvSpec, *, native_reward: bool) -> None:
        super().__init__(env)
        self._spec = spec
        self._native_reward = native_reward
        self._columns: Columns | None = None
        self._data: Any = None
        self._last: FloatArray | None = None
        self._starts = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; the info holds the reset state's row."""
        obs, info = self.env.reset(seed=seed, options=options)
        row = self._bound().row(obs, ResetInfo(info))
        self._last, self._starts = row, True
        info[KEY] = Row(row, row, 0.0, True)
        return obs, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Steps the environment; the info holds the row before and after the action."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        columns, before = self._columns, self._last
        if columns is None or before is None:
            raise ConfigError(f"{self._spec.id}: step was called before the first reset")
        after = columns.row(obs, info)
        native = float(reward)
        info[KEY] = Row(before, after, native, self._starts)
        self._last, self._starts = after, False
        return obs, native if self._native_reward else 0.0, terminated, truncated, info

    @property
    def last_row(self) -> FloatArray | None:
        """The row of the state before the next step; None before the first reset."""
        return self._last

    @property
    def starts(self) -> bool:
        """Whether the next step is the first of an episode."""
        return self._starts

    @property
    def spec_id(self) -> str:
        """The environment's id."""
        return self._spec.id

    def restart_from(self, row: FloatArray, *, starts: bool = False) -> None:
        """Takes ``row`` as the state before the next step (after a restore)."""
        last = row.copy()
        last.flags.writeable = False
        self._last, self._starts = last, starts

    def _bound(self) -> Columns:
        # Environments create their bodies and simulators in __init__ or in reset, so bind late.
        data = getattr(self.env.unwrapped, "data", None)
        if self._columns is None or data is not self._data:
            self._columns, self._data = bind(self._spec, self.env), data
        return self._columns


def make_env(
    spec: EnvSpec, *, native_reward: bool = False, render_mode: str | None = None
) -> Recorder:
    """Makes the environment of ``spec`` with its wrappers, time limit and recorder.

    Args:
        spec: which environment, and the card whose row every info carries.
        native_reward: return the environment's own reward instead of 0.
        render_mode: handed to the environment, for videos.

    Raises:
        ConfigError: the environment, its package or a wrapper is missing or refuses its arguments.
    """
    kwargs: dict[str, Any] = dict(spec.kwargs)
    if render_mode is not None:
        kwargs["render_mode"] = render_mode
    env = plain_env(spec.id, kwargs, max_steps=spec.max_steps)
    for reference in spec.wrappers:
        env = attribute(reference, "wrapper")(env)
    return Recorder(env, spec, native_reward=native_reward)


def plain_env(
    env_id: str, kwargs: Mapping[str, Any], *, max_steps: int | None = None
) -> gymnasium.Env[Any, Any]:
    """Returns ``gymnasium.make(env_id, **kwargs)``, its errors turned into ``ConfigError``."""
    if env_id.startswith("rewardsmith/"):
        from rewardsmith.envs import toy_env

        toy_env.register()
    try:
        with quiet_loading(env_id):
            return gymnasium.make(
                env_id, max_episode_steps=max_steps, disable_env_checker=True, **kwargs
            )
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(
            f"environment {env_id!r} needs a package that is missing: {error}"
        ) from error
    except (gymnasium.error.Error, ImportError) as error:
        raise ConfigError(f"environment {env_id!r} cannot be made: {error}") from error
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"environment {env_id!r} refused {dict(kwargs)}: {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def quiet_loading(env_id: str) -> Iterator[None]:
    """Keeps MuJoCo from writing a remark on Gymnasium's own models into MUJOCO_LOG.TXT here.

    Only while the model is loaded: what MuJoCo warns of in a simulation stays loud.
    """
    known = gymnasium.registry.get(env_id)
    if known is None or not str(known.entry_point).startswith("gymnasium.envs.mujoco"):
        yield
        return
    try:
        import mujoco
    except ImportError:  # gymnasium says it better
        yield
        return
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
