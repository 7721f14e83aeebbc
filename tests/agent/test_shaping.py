"""Shaping from the command line and the configuration down to the units that train."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_rig import POINT, call
from loop_rig import Arithmetic, Rig, by_sample, worth

from rewardsmith.agent.checking import check_file
from rewardsmith.agent.config import NOT_IDENTITY, make_config
from rewardsmith.agent.evidence.played import Played, stored_of
from rewardsmith.agent.shaping import Wish, completed, goals_of, wish_of
from rewardsmith.agent.single import train_file
from rewardsmith.envs.collect import random_act, rollout
from rewardsmith.envs.registry import find_task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import Unit
from rewardsmith.sandbox.check import CheckReport, check
from rewardsmith.sandbox.shaping import parse_shaping

TASK = find_task(POINT)
EPISODES = rollout(TASK.env, random_act(TASK.env, 1), (1, 2))
BANK = stored_of([Played(episode, "e", "random", "random") for episode in EPISODES])
GOOD = """def compute_reward(distance, action):
    near = np.exp(-distance)
    effort = -np.sum(action**2, axis=-1)
    return near + effort, {"near": near, "effort": effort}
"""


def nothing(*_: object, **__: object) -> None:
    """A view that shows nothing."""


def report(program: str = GOOD, **wish: object) -> CheckReport:
    found = check(program, TASK.env, EPISODES[0].steps)
    return completed(found, TASK, Wish(**wish), lambda: EPISODES)  # type: ignore[arg-type]


def test_without_a_wish_and_a_mark_no_episode_is_asked_for() -> None:
    found = CheckReport(None, GOOD)
    assert completed(found, TASK, Wish("designer"), lambda: 1 / 0) is found  # type: ignore[arg-type,return-value]


def test_the_shaping_asked_for_stands_in_the_report() -> None:
    found = report(shaping="combine=sum, squash=clip(-1,1)")
    assert found.shaping == parse_shaping("combine=sum,squash=clip(-1,1)")


def test_a_mark_decides_where_the_choice_is_the_designers() -> None:
    found = report(f"# rewardsmith: combine=sum\n{GOOD}", shaping="designer")
    assert found.shaping == parse_shaping("combine=sum")


def test_a_gate_needs_a_task_that_tells_success_and_a_training_in_one_go() -> None:
    gate = "combine=sum,gate=effort(0.6,0.4)"
    assert report(shaping=gate).failure is None
    failure = report(shaping=gate, rungs=True).failure
    assert failure is not None
    assert "rungs" in failure.text


def test_a_configuration_keeps_its_identity_while_nothing_is_chosen() -> None:
    plain = make_config({"env": POINT})
    before = {"rungs", "shaping", "subgoals"} | NOT_IDENTITY
    kept = json.dumps(plain.model_dump(mode="json", exclude=before), sort_keys=True)
    assert plain.identity == hashlib.sha256(kept.encode()).hexdigest()[:8]
    choices: tuple[dict[str, object], ...] = (
        {"shaping": "combine=sum"},
        {"shaping": "combine=geomean"},
        {"subgoals": True},
        {},
    )
    assert len({make_config({"env": POINT, **more}).identity for more in choices}) == 4
    assert wish_of(plain) == Wish(sandbox=plain.confinement)


def test_two_spellings_of_a_shaping_are_one_configuration() -> None:
    one = make_config({"env": POINT, "shaping": "squash=clip(-1.0, 1)  combine=sum"})
    assert one.shaping == "combine=sum,squash=clip(-1,1)"


def test_a_misspelled_shaping_is_said_at_once_with_its_remedy() -> None:
    with pytest.raises(ConfigError, match="did you mean geomean"):
        make_config({"env": POINT, "shaping": "combine=geomen"})
    done = call("check", "nowhere.py", "--env", POINT, "--shaping", "combin=sum")
    assert done.code == 2
    assert "did you mean combine?" in done.err


def test_check_tells_shaping_and_subgoals(tmp_path: Path) -> None:
    path = tmp_path / "reward.py"
    path.write_text(GOOD + "\n\ndef subgoals(distance):\n    return {'near': distance < 0.5}\n")
    facts, text = check_file(path, POINT, shaping="combine=sum", view=nothing, bank=BANK)
    assert (facts["shaping"], facts["subgoals"]) == ("combine=sum", ["near"])
    assert "shaping: combine=sum" in text
    facts, _ = check_file(path, POINT, shaping="combine=geomean", view=nothing, bank=BANK)
    assert "'effort' is -" in facts["failure"]["text"]


def test_train_shapes_a_program_and_refuses_to_shape_the_environments_own_reward(
    tmp_path: Path,
) -> None:
    path = tmp_path / "reward.py"
    path.write_text(GOOD)
    flags = {
        "env": POINT, "shaping": "combine=sum,squash=par", "steps": 800, "final_seeds": 1,
        "eval_episodes": 1, "out": tmp_path / "out", "executor": "serial",
    }  # fmt: skip
    facts, _ = train_file(path, flags, view=nothing)
    assert facts["failures"] == []
    unit = Unit.model_validate_json((tmp_path / "out" / "train.s0" / "unit.json").read_bytes())
    assert unit.shaping is not None
    assert unit.shaping.total_reference is not None
    with pytest.raises(ConfigError, match="give one with --reward"):
        train_file(None, flags, view=nothing)


def test_a_candidate_keeps_its_shaping_and_all_its_units_are_trained_so(tmp_path: Path) -> None:
    seen: dict[str, Unit] = {}

    def fitness(unit: Unit) -> float:
        seen[unit.id] = unit
        return worth(unit)

    rig = Rig(tmp_path / "run", by_sample(1.0, 2.0), executor=Arithmetic(fitness))
    shaped = parse_shaping("combine=sum")
    agent = rig.agent()

    def checked(program: str) -> CheckReport:
        return replace(agent.bench.check(program), shaping=shaped if "2.0" in program else None)

    state = replace(agent, bench=replace(agent.bench, check=checked)).run()
    for item in state.candidates:
        assert item.shaping == (shaped if "2.0" in (item.program or "") else None)
        assert all(seen[report.unit].shaping == item.shaping for report in item.reports)
    assert sum(item.shaping is None for item in state.candidates) in range(1, 4)
    best = next(item for item in state.candidates if item.id == state.best)
    assert seen["final.best.s0"].shaping == best.shaping
    assert seen["final.human.s0"].shaping is None


def test_equal_programs_of_different_shaping_are_no_duplicates(tmp_path: Path) -> None:
    choices = iter([parse_shaping("combine=sum"), None])
    rig = Rig(tmp_path / "run", by_sample(1.0, 1.0), options={"generations": 1})
    agent = rig.agent()

    def checked(program: str) -> CheckReport:
        return replace(agent.bench.check(program), shaping=next(choices))

    state = replace(agent, bench=replace(agent.bench, check=checked)).run()
    assert [bool(item.evidence) for item in state.candidates] == [False, False]


def test_the_subgoals_of_a_program_are_asked_in_their_worker() -> None:
    goals = "\n\ndef subgoals(distance):\n    return {'near': distance < 1.5}\n"
    steps = EPISODES[0].steps
    found = goals_of(GOOD + goals, steps, env=TASK.env, sandbox="process")
    assert found is not None
    np.testing.assert_array_equal(found.components["near"] > 0, steps.after["distance"] < 1.5)
    assert goals_of(GOOD, steps, env=TASK.env, sandbox="process") is None
    broken = goals.replace("distance < 1.5", "distance")
    assert goals_of(GOOD + broken, steps, env=TASK.env, sandbox="process") is None
