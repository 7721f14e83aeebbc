"""What goes beside the programs of a run: the shaping that was asked for, and subgoals."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rewardsmith.agent.config import BY_DESIGNER, RunConfig
from rewardsmith.agent.evidence.starc import GAMMA
from rewardsmith.envs.collect import concat
from rewardsmith.envs.fitness import load_fitness
from rewardsmith.envs.step import Episode, Steps
from rewardsmith.envs.task import EnvSpec, Task
from rewardsmith.errors import ConfigError
from rewardsmith.sandbox.check import CheckReport
from rewardsmith.sandbox.failure import Failure
from rewardsmith.sandbox.program import declared_shaping
from rewardsmith.sandbox.reward import RewardBatch, RewardSource
from rewardsmith.sandbox.shaping import Shaping, parse_shaping
from rewardsmith.sandbox.subgoals import SubgoalSource, as_program, declares

Episodes = Callable[[], tuple[Episode, ...]]


@dataclass(frozen=True)
class Wish:
    """What a user asks for beside rewards; by default each program's own mark decides."""

    shaping: str | None = None  # as spelled, or "designer"
    subgoals: bool = False
    rungs: bool = False  # whether trainings stop on the way
    sandbox: str = "auto"

    @property
    def chosen(self) -> Shaping | None:
        """The shaping that stands above what programs ask for."""
        own = self.shaping in (None, BY_DESIGNER)
        return None if own else parse_shaping(self.shaping or "")


def wish_of(config: RunConfig) -> Wish:
    """Returns what a configuration asks for beside rewards."""
    return Wish(config.shaping, config.subgoals, bool(config.rungs), config.confinement)


def completed(report: CheckReport, task: Task, wish: Wish, episodes: Episodes) -> CheckReport:
    """Returns the contract check's report with shaping and subgoals, where there are any.

    Args:
        report: of the contract check.
        task: whose rewards they are.
        wish: what the user asks for.
        episodes: gives those of an untrained policy, from which references are taken.

    Raises:
        ConfigError: the user's shaping is misspelled.
        SandboxUnavailable: this machine cannot confine the program.
    """
    if report.failure is not None or not _asked_for(report.source, wish):
        return report
    from rewardsmith.runs.training.gating import visible
    from rewardsmith.sandbox.shaped_check import Beside, shaped_check

    found = episodes()
    beside = Beside(wish.chosen, wish.subgoals, _no_gate(task, wish, found))
    steps = visible(concat(found), task.env)
    return shaped_check(report, beside, task.env, steps, sandbox=wish.sandbox)


def goals_of(program: str, steps: Steps, *, env: EnvSpec, sandbox: str) -> RewardBatch | None:
    """Returns which subgoals of a program hold after each step, None where it has none.

    Each is a component of 0 and 1, in their order. Subgoals that fail are none: they were checked
    before, and nothing but words hangs on them.

    Raises:
        SandboxUnavailable: this machine cannot confine the program.
    """
    from rewardsmith.sandbox.client import RewardClient

    source = as_program(program, env) if declares(program) else None
    if not isinstance(source, str):
        return None
    with RewardClient(source, env, sandbox=sandbox) as client:
        found = SubgoalSource(client).rewards(steps)
    return found if isinstance(found, RewardBatch) else None


def preset_gamma(env_id: str) -> float:
    """Returns the discount per step that an environment's preset trains with, outside of a run."""
    from rewardsmith.runs.training.presets import default_trainer, hyperparams

    return float(hyperparams(default_trainer(env_id), env_id).get("gamma", GAMMA))


def reward_source(
    program: str, shaping: Shaping | None, *, env: EnvSpec, gamma: float, sandbox: str
) -> RewardSource:
    """Returns the reward of a checked program as it trains, its workers not started yet.

    Args:
        program: source text.
        shaping: what is made of its answers, None for nothing.
        env: whose fields it reads.
        gamma: discount per step of the trainings.
        sandbox: as for ``RewardClient``.

    Raises:
        ConfigError: its subgoals are to be paid, and it has none that can be read.
    """
    from rewardsmith.sandbox.client import RewardClient
    from rewardsmith.sandbox.shaped import shaped

    opened = partial(RewardClient, spec=env, sandbox=sandbox)
    if shaping is None:
        return opened(program)
    source = shaped(program, env, shaping, gamma=gamma, opened=opened)
    if isinstance(source, Failure):
        raise ConfigError(f"subgoals are to be paid. {source.text}")
    return source


def _asked_for(source: str, wish: Wish) -> bool:
    marked = declared_shaping(source) is not None or declares(source)
    return marked or wish.subgoals or wish.chosen is not None


def _no_gate(task: Task, wish: Wish, episodes: tuple[Episode, ...]) -> str | None:
    """Returns why no component can wait for success, None where one can."""
    if wish.rungs:
        return "trainings stop at rungs here, and a gate does not remember successes over them"
    if load_fitness(task.fitness)(episodes[0]).success is None:
        return "how this task is judged tells no success"
    return None
