"""The probes as a run uses them: real programs in their worker, the bank of a toy task."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_rig import ANALYSIS, Arithmetic
from quick_crew import unwatched, worth

from rewardsmith.agent.assembly import assemble, random_steps
from rewardsmith.agent.config import RunConfig
from rewardsmith.agent.evidence.gather import RANDOM_ROWS
from rewardsmith.agent.llm import Reply, Request
from rewardsmith.agent.loop import Agent
from rewardsmith.agent.probing import probes_of, reward_of
from rewardsmith.agent.replaying import StoredReports, decisions
from rewardsmith.envs.registry import find_task
from rewardsmith.runs.bank import Bank
from rewardsmith.runs.records import Candidate, Proposal, RunState
from rewardsmith.runs.store import RunStore
from rewardsmith.sandbox.reward import RewardBatch
from rewardsmith.sandbox.shaping import parse_shaping

POINT = "rewardsmith/Point-v0"
CONFIG: dict[str, Any] = {
    "env": POINT, "llm": "scripted", "candidates": 4, "generations": 1, "critic_rounds": 0,
    "repair_turns": 0, "recheck_seeds": 0, "final_seeds": 0,
}  # fmt: skip
BROKEN = "    if distance < 0.1:\n        return 1.0\n    near = -distance\n"
GOOD = "    near = -1.0 * distance - 0.3 * np.abs(velocity)\n"
DUPLICATE = "    pull = 0.6 * np.abs(velocity) + 2.0 * distance\n    near = -pull\n"
FARMABLE = "    near = np.exp(-2.0 * distance) - 0.5 * (distance < 0.1)\n"


def program(body: str) -> str:
    return (
        "```python\ndef compute_reward(distance, velocity):\n"
        f'{body}    return near, {{"near": near}}\n```'
    )


def agent(folder: Path, *bodies: str, recorded: RunStore | None = None, **changes: Any) -> Agent:
    """A run of one generation in which candidate i is given body i."""
    config = RunConfig(**(CONFIG | {"candidates": len(bodies)} | changes))
    store = RunStore.create(folder, {"config": {}}, find_task(POINT))
    executor: Any = StoredReports(recorded.state()) if recorded else Arithmetic(worth)
    made = assemble(store, config, unwatched, recorded=recorded, executor=executor).agent

    def ask(request: Request) -> Reply:
        texts = {"designer": program(bodies[request.sample]), "analyzer": ANALYSIS}
        return Reply(texts[request.role], "scripted")

    return replace(made, bench=replace(made.bench, ask=ask))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """A run whose model gives a broken, a good, a duplicate and a farmable program."""
    made = agent(tmp_path_factory.mktemp("mixed") / "run", BROKEN, GOOD, DUPLICATE, FARMABLE)
    made.run()
    return made.store


def refusals(state: RunState) -> list[list[str]]:
    return [[e.probe for e in c.evidence if e.verdict == "fail"] for c in state.candidates]


def test_of_four_programs_exactly_the_good_one_is_trained(mixed: RunStore) -> None:
    state = mixed.state()
    assert [bool(item.reports) for item in state.candidates] == [False, True, False, False]
    assert refusals(state) == [[], [], ["starc"], ["farming"]]
    assert state.candidates[0].failure is not None
    assert "g0.1" in state.candidates[2].evidence[-1].text
    assert state.best == "g0.1"


def test_the_bank_is_as_wide_as_the_probes_want_it(mixed: RunStore) -> None:
    rows = {shard.policy: shard.rows for shard in Bank(mixed.bank_path).shards}
    assert rows["random"] >= RANDOM_ROWS
    assert rows["linear"] > 0


def test_the_good_one_has_a_whole_ledger(mixed: RunStore) -> None:
    found = [item.probe for item in mixed.state().candidates[1].evidence]
    assert found[:6] == ["health", "ranking", "farming", "sensitivity", "starc", "human"]


def test_a_replay_of_it_takes_every_ledger_from_the_record(mixed: RunStore, tmp_path: Path) -> None:
    bodies = (BROKEN, GOOD, DUPLICATE, FARMABLE)
    again = agent(tmp_path / "again", *bodies, recorded=mixed)
    assert decisions(again.run()) == decisions(mixed.state())
    assert {shard.policy for shard in again.prover.bank.shards} == {"random"}  # for the check alone


def test_all_of_them_train_where_probes_are_off(tmp_path: Path) -> None:
    state = agent(tmp_path / "run", BROKEN, GOOD, DUPLICATE, FARMABLE, probes=False).run()
    assert [bool(item.reports) for item in state.candidates] == [False, True, True, True]
    assert all(item.evidence == () for item in state.candidates)


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        (True, (True, True)),
        (False, (False, False)),
        (("health",), (True, False)),
        (("human",), (False, True)),
        (("after",), (False, False)),
    ],
)
def test_what_is_asked_is_what_was_configured(probes: Any, expected: tuple[bool, bool]) -> None:
    made = probes_of(RunConfig(env=POINT, probes=probes), 0.99)
    assert (made.alone is not None, made.beside is not None) == expected


def test_a_list_names_the_probes_that_are_asked() -> None:
    made = probes_of(RunConfig(env=POINT, probes=("ranking", "starc")), 0.99)
    assert made.alone is not None
    assert made.beside is not None
    assert len(tuple(made.alone(program(GOOD)))) == 1
    assert len(tuple(made.beside({}, False))) == 1


@pytest.mark.parametrize("shaping", ["", "squash=clip(-0.1,0.1)"])
def test_what_is_asked_about_is_the_reward_that_trains(tmp_path: Path, shaping: str) -> None:
    task = find_task(POINT)
    candidate = Candidate(
        id="g0.0",
        generation=0,
        index=0,
        proposal=Proposal(kind="fresh"),
        program=program(GOOD).split("\n", 1)[1].removesuffix("```"),
        shaping=parse_shaping(shaping) if shaping else None,
    )
    steps = random_steps(Bank(tmp_path), task, 0)
    with closing(reward_of(candidate, env=task.env, gamma=0.99, sandbox="auto")) as source:
        found = source.rewards(steps)
    assert isinstance(found, RewardBatch)
    assert np.abs(found.components["near"]).max() > 0.1
    assert (np.abs(found.total).max() <= 0.1) == bool(shaping)
