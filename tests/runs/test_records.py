import json
from dataclasses import replace
from typing import Any

import pytest

from rewardsmith.envs import toy
from rewardsmith.runs.records import TrainingReport, Unit

TASK = toy.tasks()[0]


def unit(**changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "g0.1.s1", "task": TASK, "program": "x", "trainer": "toy",
        "hyperparams": {"rate": 0.1, "size": 3}, "seed": 1, "steps": 100, "eval_seeds": (1, 2),
    }  # fmt: skip
    return Unit(**(plain | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"task": replace(TASK, text="Stay where you are.")},
        {"task": replace(TASK, fitness="somewhere.else:fitness")},
        {"program": "y"},
        {"program": None},
        {"mode": "rows"},
        {"trainer": "ppo"},
        {"hyperparams": {"rate": 0.2, "size": 3}},
        {"seed": 2},
        {"steps": 101},
        {"stop": 50},
        {"checkpoint": True},
        {"eval_seeds": (1, 3)},
        {"device": "cuda"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_content_has_another_key(changes: dict[str, Any]) -> None:
    assert unit(**changes).key != unit().key


def test_names_walls_and_the_order_of_hyperparameters_are_no_content() -> None:
    other = unit(id="g9.9.s9", sandbox="docker", hyperparams={"size": 3, "rate": 0.1})
    assert other.key == unit().key


def test_the_key_survives_the_way_through_a_file() -> None:
    work = unit(stop=50, checkpoint=True).promoted("g0.1.s1.r1")
    assert Unit.model_validate_json(work.model_dump_json()).key == work.key


def test_what_a_promoted_unit_goes_on_from_is_content_and_its_name_is_not() -> None:
    first = unit(stop=50, checkpoint=True)
    renamed = first.model_copy(update={"id": "elsewhere"})
    other = unit(stop=50, checkpoint=True, seed=2)
    assert first.promoted("next").key == renamed.promoted("again").key
    assert first.promoted("next").key != unit().key
    grafted = first.promoted("next").model_copy(update={"resume": other.promoted("n").resume})
    assert grafted.key != first.promoted("next").key


def test_a_unit_is_promoted_to_a_rung_or_to_the_end() -> None:
    first = unit(stop=20, checkpoint=True)
    second = first.promoted("b", 50)
    third = second.promoted("c")
    assert (second.stop, second.checkpoint) == (50, True)
    assert (third.stop, third.checkpoint) == (None, False)
    assert third.resume is not None
    assert (third.resume.unit, third.resume.key, third.resume.steps) == ("b", second.key, 50)


def test_units_and_reports_of_before_there_were_rungs_still_load() -> None:
    old = json.loads(unit().model_dump_json())
    for name in ("stop", "checkpoint", "resume"):
        del old[name]
    assert Unit.model_validate_json(json.dumps(old)) == unit()
    report = TrainingReport(unit="u", seed=1, steps=3, fitness=0.0)
    told = json.loads(report.model_dump_json(exclude={"earlier_steps"}))
    assert TrainingReport.model_validate(told) == report
