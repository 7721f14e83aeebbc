"""The probes of a run, put together from its configuration: what they are, and what they read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from rewardsmith.agent.aftermath import Aftermath
from rewardsmith.agent.config import ProbeName, RunConfig
from rewardsmith.agent.evidence.agreement import human_probe
from rewardsmith.agent.evidence.duplicates import starc_probe
from rewardsmith.agent.evidence.gather import gathered
from rewardsmith.agent.evidence.probes import Probe
from rewardsmith.agent.evidence.suite import before_training
from rewardsmith.agent.inspecting import Inspector, Probes
from rewardsmith.agent.interview import Answer
from rewardsmith.agent.proving import Recipe
from rewardsmith.agent.shaping import goals_of, reward_source
from rewardsmith.envs.task import EnvSpec
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.inspections import Inspections
from rewardsmith.runs.records import Candidate
from rewardsmith.runs.store import RunStore
from rewardsmith.sandbox.program import Parsed, parse
from rewardsmith.sandbox.reward import RewardBatch, RewardSource

_ALONE: tuple[ProbeName, ...] = ("health", "ranking", "farming", "sensitivity")


@dataclass(frozen=True)
class Examiners:
    """Who fills the ledgers of a run's candidates, and who answers an analyzer's questions."""

    inspector: Inspector
    answering: Callable[[Candidate], Answer]


def examiners_of(
    store: RunStore,
    config: RunConfig,
    recipe: Recipe,
    bank: Bank,
    *,
    recorded: RunStore | None = None,
) -> Examiners:
    """Returns what examines a run's candidates before and after their training.

    Args:
        store: the run.
        config: its configuration.
        recipe: of its trainings.
        bank: of the run, which is filled before the first candidate is asked about.
        recorded: a run whose record is taken instead of asking any probe.
    """
    task, records = recipe.task, Inspections(store, recorded=recorded)
    gamma = recipe.gamma
    opened = partial(reward_of, env=task.env, gamma=gamma, sandbox=config.confinement)
    goals = partial(goals_of, env=task.env, sandbox=config.confinement)
    left = Aftermath(task, bank, store.job_path, opened=opened, goals=goals)
    probes = replace(probes_of(config, gamma), goals=goals)
    inspector = Inspector(
        task,
        replace(probes, after=left.evidence if config.probing("after") else None),
        records,
        gather=lambda: gathered(bank, task, seed=config.seed),
        opened=opened,
    )
    return Examiners(inspector, lambda candidate: left.answers(candidate, records))


def reward_of(candidate: Candidate, *, env: EnvSpec, gamma: float, sandbox: str) -> RewardSource:
    """Returns the reward of a checked candidate as it trains, all its components counting.

    Args:
        candidate: with its program and its shaping.
        env: whose fields it reads.
        gamma: discount per step of the trainings.
        sandbox: as for ``RewardClient``.
    """
    program = candidate.program or ""
    return reward_source(program, candidate.shaping, env=env, gamma=gamma, sandbox=sandbox)


def probes_of(config: RunConfig, gamma: float) -> Probes:
    """Returns what is asked about every candidate of a run before its training.

    Args:
        config: says which probes are wanted.
        gamma: discount per step of the trainings.
    """

    def alone(program: str) -> tuple[Probe, ...]:
        parsed = parse(program)
        taken = parsed.parameters if isinstance(parsed, Parsed) else ()
        known = zip(_ALONE, before_training(parameters=taken, gamma=gamma), strict=True)
        return tuple(probe for name, probe in known if config.probing(name))

    def beside(others: Mapping[str, RewardBatch], timed: bool) -> tuple[Probe, ...]:
        starc = (starc_probe(others, gamma=gamma, timed=timed),)
        human = (human_probe(gamma=gamma, timed=timed),)
        return starc * config.probing("starc") + human * config.probing("human")

    return Probes(
        alone=alone if any(map(config.probing, _ALONE)) else None,
        beside=beside if config.probing("starc") or config.probing("human") else None,
    )
