"""Checks what goes beside a reward before anything trains: its shaping and its subgoals.

It follows the contract check (`rewardsmith.sandbox.check`), whose report it completes: references
are fixed here, on steps of a baseline policy, and stay as they are for every training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from rewardsmith.envs.step import Steps
from rewardsmith.envs.task import EnvSpec
from rewardsmith.sandbox.backend import Backend
from rewardsmith.sandbox.check import QUICK, CheckReport, check
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.failure import Failure, Problem
from rewardsmith.sandbox.laws import on_extremes
from rewardsmith.sandbox.probe_steps import probes
from rewardsmith.sandbox.program import declared_shaping, parse
from rewardsmith.sandbox.reward import RewardBatch, RewardSource
from rewardsmith.sandbox.shaped import PAID, ShapedReward, referenced
from rewardsmith.sandbox.shaping import Shaping
from rewardsmith.sandbox.subgoals import SubgoalSource, as_program, declares, of_subgoals


@dataclass(frozen=True)
class Beside:
    """What goes beside rewards: one shaping for all, subgoals wanted, and why no gate could open.

    Without ``shaping`` the mark of each program decides.
    """

    shaping: Shaping | None = None
    subgoals: bool = False
    no_gate: str | None = None


def shaped_check(
    report: CheckReport,
    beside: Beside,
    spec: EnvSpec,
    steps: Steps,
    *,
    sandbox: str | Backend = "auto",
) -> CheckReport:
    """Returns the report with shaping and subgoals, or with why the program cannot be so used.

    Args:
        report: of the contract check; a failed one comes back as it is.
        beside: what is wanted.
        spec: the environment.
        steps: whole episodes of a baseline policy: what references are taken from.
        sandbox: as for ``RewardClient``.

    Raises:
        SandboxUnavailable: this machine cannot confine the program.
    """
    if report.failure is not None:
        return report
    chosen = beside.shaping or declared_shaping(report.source)
    assert not isinstance(chosen, Problem), "the contract check refuses such a mark"
    paid = chosen is not None and chosen.subgoals > 0
    wanted = beside.subgoals or paid or declares(report.source)
    bench = _Bench(report, spec, steps, sandbox)
    names = _subgoal_names(bench) if wanted else ()
    if isinstance(names, Failure):
        return replace(report, failure=names)
    if chosen is None:
        return replace(report, subgoals=names)
    found = _refusal(chosen, report, beside) or _fixed(bench, chosen)
    if isinstance(found, Failure):
        return replace(report, failure=found, subgoals=names)
    return replace(report, shaping=found, subgoals=names)


@dataclass(frozen=True)
class _Bench:
    report: CheckReport
    spec: EnvSpec
    steps: Steps
    sandbox: str | Backend

    @contextmanager
    def client(self, source: str) -> Iterator[RewardClient]:
        with RewardClient(
            source, self.spec, sandbox=self.sandbox, limits=QUICK, mode=self.report.mode
        ) as client:
            yield client


def _subgoal_names(bench: _Bench) -> tuple[str, ...] | Failure:
    source = as_program(bench.report.source, bench.spec)
    if isinstance(source, Failure):
        return source
    found = check(source, bench.spec, bench.steps, sandbox=bench.sandbox)
    if found.failure is not None:
        return of_subgoals(found.failure)
    if found.mode != bench.report.mode:
        return _contract("`subgoals` works one environment at a time; write it for arrays (N,)")
    with bench.client(source) as client:
        goals = SubgoalSource(client)
        answer, extremes = (
            goals.rewards(rows) for rows in (bench.steps, probes(bench.steps, bench.spec))
        )
    broken = [found for found in (answer, extremes) if isinstance(found, Failure)]
    return broken[0] if broken or isinstance(answer, Failure) else tuple(answer.components)


def _refusal(shaping: Shaping, report: CheckReport, beside: Beside) -> Failure | None:
    """Returns why a shaping cannot go with a program, as far as can be said without running it."""
    if shaping.gates and beside.no_gate is not None:
        return _contract(f"leave gate out of the shaping: {beside.no_gate}")
    parsed = parse(report.source)
    memory = not isinstance(parsed, Failure) and parsed.uses_memory
    if shaping.potentials and memory:
        return _contract(
            f"potential={shaping.potentials[0]} is of one state, and the program has memory; leave "
            "one of the two out"
        )
    if shaping.subgoals and PAID in report.components:
        return _contract(f"a component is called {PAID}, as what subgoals pay is; rename it")
    return None


def _fixed(bench: _Bench, shaping: Shaping) -> Shaping | Failure:
    """Returns the shaping with its references, after trying it on recorded and extreme steps."""
    source = as_program(bench.report.source, bench.spec) if shaping.subgoals else None
    if isinstance(source, Failure):
        return source
    with bench.client(bench.report.source) as client:
        answer = client.rewards(bench.steps)
        if isinstance(answer, Failure):
            return answer
        fixed = referenced(shaping, answer) if _known(shaping, answer) else shaping
        if isinstance(fixed, Failure):
            return fixed
        failure = _tried(client, fixed, bench, source)
        return failure if failure is not None else fixed


def _known(shaping: Shaping, batch: RewardBatch) -> bool:
    return all(name in batch.components for name in shaping.components)


def _tried(
    client: RewardClient, shaping: Shaping, bench: _Bench, goals: str | None
) -> Failure | None:
    if goals is None:
        return _answers(client, None, shaping, bench)
    with bench.client(goals) as other:
        return _answers(client, SubgoalSource(other), shaping, bench)


def _answers(
    client: RewardClient, goals: RewardSource | None, shaping: Shaping, bench: _Bench
) -> Failure | None:
    shaped = ShapedReward(client, shaping, gamma=1.0, subgoals=goals)
    answer = shaped.rewards(bench.steps)
    if isinstance(answer, Failure):
        return answer
    extremes = shaped.rewards(probes(bench.steps, bench.spec))
    if isinstance(extremes, Failure):
        return on_extremes(extremes)
    return _more_than_state(client, shaping, bench.steps)


def _more_than_state(client: RewardClient, shaping: Shaping, steps: Steps) -> Failure | None:
    """Returns that a potential depends on what is no part of the state after the step."""
    if not shaping.potentials:
        return None
    other = replace(
        steps,
        before=steps.after,
        action=np.roll(steps.action, 1, axis=0),
        terminated=~steps.terminated,
    )
    here, there = client.rewards(steps), client.rewards(other)
    if isinstance(here, Failure) or isinstance(there, Failure):
        return here if isinstance(here, Failure) else there if isinstance(there, Failure) else None
    for name in shaping.potentials:
        one, two = here.components[name], there.components[name]
        if not np.allclose(one, two, rtol=1e-9, atol=1e-12):
            return _contract(
                f"the component {name!r} changes with the action, `terminated` or a `prev_` value; "
                "a potential is made of fields after the action alone"
            )
    return None


def _contract(text: str) -> Failure:
    return Failure(kind="contract", text=text[0].upper() + text[1:])
