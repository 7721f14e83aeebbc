from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from evidence_rig import Played, bank_of, rewards_of

from rewardsmith.agent.evidence.sensitivity import sensitivity
from rewardsmith.agent.evidence.stored import Edit, Stored
from rewardsmith.envs.registry import find_task
from rewardsmith.envs.task import FloatArray
from rewardsmith.sandbox.reward import RewardBatch

TASK = find_task("rewardsmith/Point-v0")
FIELDS = ("x", "y", "v")


def edited(*, reward: Callable[[dict[str, FloatArray]], FloatArray]) -> tuple[Stored, RewardBatch]:
    """A bank with two edits of every tenth row and element, and a program's values on it."""
    rng = np.random.default_rng(0)
    played = [
        Played(
            {
                "x": rng.normal(size=21) + 0.3 * n,
                "y": rng.normal(size=21),
                "v": rng.normal(size=(21, 2)),
            },
            fitness=float(n),
        )
        for n in range(12)
    ]
    whole = bank_of(played)
    columns = {name: [whole.steps.after[name]] for name in FIELDS}
    edits: list[Edit] = []
    for of in range(0, whole.steps.rows, 10):
        for field, index in (("x", ()), ("y", ()), ("v", (0,)), ("v", (1,))):
            for spreads in (-0.5, 0.5):
                edits.append(
                    Edit(whole.steps.rows + len(edits), of, field, index, spreads, spreads)
                )
                for name in FIELDS:
                    row = whole.steps.after[name][of : of + 1].copy()
                    if name == field:
                        row[(0, *index)] += spreads
                    columns[name].append(row)
    after = {name: np.concatenate(parts) for name, parts in columns.items()}
    whole_again = whole.steps.take(np.concatenate([np.arange(whole.steps.rows), _of(edits)]))
    bank = replace(whole, steps=replace(whole_again, after=after), edits=tuple(edits))
    return bank, rewards_of(bank, r=reward(after))


def _of(edits: list[Edit]) -> npt.NDArray[np.int64]:
    return np.array([edit.of for edit in edits])


def test_the_table_holds_size_and_sign_of_every_effect() -> None:
    bank, values = edited(reward=lambda s: 2.0 * s["x"] - s["y"])
    effects = sensitivity(["x", "y"])(values, bank, TASK).facts["effects"]
    assert set(effects) == {"x", "y"}
    assert effects["x"]["slope"] == pytest.approx(-2 * effects["y"]["slope"])
    assert effects["x"]["effect"] == pytest.approx(effects["x"]["slope"])


def test_a_field_that_moves_nothing_is_dead_where_the_program_takes_it() -> None:
    bank, values = edited(reward=lambda s: s["x"] + 0.0 * s["y"])
    evidence = sensitivity(["x", "y"])(values, bank, TASK)
    assert (evidence.verdict, evidence.score) == ("warn", 0.5)
    assert "without any effect: `y`" in evidence.text
    assert sensitivity(["x"])(values, bank, TASK).verdict == "pass"


def test_an_effect_in_few_places_is_told() -> None:
    bank, values = edited(reward=lambda s: s["x"] + (s["y"] > 2.2))
    evidence = sensitivity(["x", "y"])(values, bank, TASK)
    assert evidence.facts["saturated"] == ["y"]
    assert evidence.verdict == "warn"


def test_elements_of_a_vector_are_told_apart() -> None:
    bank, values = edited(reward=lambda s: s["v"][:, 1])
    evidence = sensitivity(["v"])(values, bank, TASK)
    assert set(evidence.facts["effects"]) == {"v[1]"}
    assert evidence.facts["dead"] == []


def test_an_effect_against_what_fitness_says_is_told_without_a_warning() -> None:
    bank, values = edited(reward=lambda s: -s["x"])
    evidence = sensitivity(["x"])(values, bank, TASK)
    assert evidence.facts["against"] == ["x"]
    assert evidence.verdict == "pass"


def test_edits_of_a_program_with_memory_are_compared_with_fresh_ones() -> None:
    def remembered(state: dict[str, FloatArray]) -> FloatArray:
        late = np.arange(len(state["x"])) < 240  # rows of episodes: memory makes them differ
        return state["x"] + 100.0 * late

    bank, values = edited(reward=remembered)
    effects = sensitivity(["x", "memory"])(values, bank, TASK).facts["effects"]
    assert set(effects) == {"x"}


def test_a_bank_without_edits_claims_nothing() -> None:
    bank = bank_of([Played({"x": np.arange(5.0)})])
    evidence = sensitivity(["x"])(rewards_of(bank, x=np.arange(4.0)), bank, TASK)
    assert (evidence.verdict, evidence.score) == ("pass", None)
