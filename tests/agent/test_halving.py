from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loop_rig import Arithmetic, Killed, Rig, by_sample, worth

from rewardsmith.agent.config import RunConfig, make_config
from rewardsmith.agent.flags import given
from rewardsmith.agent.halving import ladder
from rewardsmith.agent.replaying import decisions
from rewardsmith.agent.session import design
from rewardsmith.envs import toy
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import TrainingReport, Unit
from rewardsmith.sandbox.failure import Failure

OPTIONS: dict[str, Any] = {
    "candidates": 4, "generations": 2, "rungs": (0.2, 0.5), "final_seeds": 1,
}  # fmt: skip
WEIGHTS = (1.0, 4.0, 2.0, 3.0)


def unit(**changes: Any) -> Unit:
    plain: dict[str, Any] = {
        "id": "g0.0.s0", "task": toy.tasks()[0], "program": None, "trainer": "toy",
        "hyperparams": {}, "seed": 1, "steps": 1000, "eval_seeds": (1,),
    }  # fmt: skip
    return Unit(**(plain | changes))


def test_a_ladder_ends_in_the_whole_training_under_its_own_name() -> None:
    low, middle, end = ladder(unit(), (0.2, 0.5))
    assert [u.id for u in (low, middle, end)] == ["g0.0.s0-rung0", "g0.0.s0-rung1", "g0.0.s0"]
    assert [u.stop for u in (low, middle, end)] == [200, 500, None]
    assert [u.checkpoint for u in (low, middle, end)] == [True, True, False]
    assert low.resume is None
    assert middle.resume is not None
    assert middle.resume.key == low.key
    assert end.resume is not None
    assert end.resume.key == middle.key
    assert {u.steps for u in (low, middle, end)} == {1000}


def test_without_rungs_a_unit_is_trained_as_it_is() -> None:
    assert ladder(unit(), ()) == (unit(),)
    assert ladder(unit(steps=2), (0.1,))[0].stop == 1


def rig(folder: Path, executor: Arithmetic | None = None, **options: Any) -> Rig:
    made = executor or Arithmetic()
    return Rig(folder, by_sample(*WEIGHTS), executor=made, options=OPTIONS | options)


def generation(trained: Sequence[str], number: int) -> list[str]:
    return [name for name in trained if name.startswith(f"g{number}.") and ".s" in name]


def test_the_better_half_goes_on_from_each_rung(tmp_path: Path) -> None:
    made = rig(tmp_path / "run")
    state = made.agent().run()
    assert generation(made.executor.trained, 0) == [
        *(f"g0.{i}.s0-rung0" for i in range(4)),
        *("g0.1.s0-rung1", "g0.3.s0-rung1"),
        "g0.1.s0",
    ]
    by_name = {item.id: item for item in state.candidates}
    assert [len(by_name[f"g0.{i}"].reports) for i in range(4)] == [0, 1, 0, 0]
    assert [len(by_name[f"g0.{i}"].rungs) for i in range(4)] == [1, 2, 1, 2]
    assert "place 3 of 4" in by_name["g0.2"].evidence[0].text
    assert "place 2 of 2" in by_name["g0.3"].evidence[0].text
    assert state.generations[0].best == "g0.1"


@pytest.mark.parametrize("after", [0, 2, 3, 4, 5, 6, 7, 8, 10])
def test_a_run_cut_after_any_rung_ends_like_an_unbroken_one(tmp_path: Path, after: int) -> None:
    expected = decisions(rig(tmp_path / "whole").agent().run())
    broken = rig(tmp_path / "broken", Arithmetic(cut_after=after))
    with pytest.raises(Killed):
        broken.agent().run()
    again = rig(tmp_path / "broken")
    assert decisions(again.agent().run()) == expected
    trained = Counter(broken.executor.trained + again.executor.trained)
    assert max(trained.values()) == 1


@dataclass
class Backwards(Arithmetic):
    """Ends the last unit first."""

    def run(
        self, units: Sequence[tuple[Unit, Path]], watch: Any = None
    ) -> Iterator[tuple[Unit, TrainingReport]]:
        yield from super().run(list(reversed(units)), watch)


def test_the_order_in_which_units_end_alters_no_decision(tmp_path: Path) -> None:
    one, other = rig(tmp_path / "one"), rig(tmp_path / "other", Backwards())
    assert decisions(one.agent().run()) == decisions(other.agent().run())
    assert one.executor.trained != other.executor.trained


def test_a_training_that_fails_at_a_rung_ends_there_with_its_reason(tmp_path: Path) -> None:
    def fitness(work: Unit) -> float | Failure:
        best = work.program is not None and "-4.0" in work.program
        return Failure(kind="oom", text="too much memory") if best else worth(work)

    state = rig(tmp_path / "run", Arithmetic(fitness=fitness)).agent().run()
    lost = next(item for item in state.candidates if item.id == "g0.1")
    assert lost.reports == ()
    assert "too much memory" in lost.evidence[0].text
    assert state.generations[0].best == "g0.3"


def test_rechecks_and_the_final_comparison_are_trained_from_scratch(tmp_path: Path) -> None:
    made = rig(tmp_path / "run")
    made.agent().run()
    fresh = [name for name in made.executor.trained if ".r" in name or name.startswith("final")]
    assert fresh
    assert not any("rung" in name for name in fresh)


@pytest.mark.parametrize("rungs", [[0.5, 0.2], [0.0], [1.0], [0.2, 0.2], [2], ["half"]])
def test_rungs_that_are_no_increasing_parts_are_refused(rungs: list[Any]) -> None:
    with pytest.raises(ConfigError, match="rungs"):
        make_config({"env": "X", "rungs": rungs})


def test_rungs_are_given_as_a_list_and_are_part_of_what_a_run_is() -> None:
    config = make_config({"env": "X"} | given({"rungs": "0.2, 0.5"}))
    assert config.rungs == (0.2, 0.5)
    assert config.identity != RunConfig(env="X").identity


@pytest.mark.slow
def test_a_real_search_with_rungs_trains_its_winner_as_if_it_had_never_stopped(
    tmp_path: Path,
) -> None:
    plain: dict[str, Any] = {
        "env": "rewardsmith/Point-v0", "llm": "scripted", "candidates": 2, "generations": 1,
        "steps": 2000, "recheck_seeds": 0, "final_seeds": 0, "eval_episodes": 2,
        "critic_rounds": 0, "video": False, "probes": False,
    }  # fmt: skip
    whole, halved = (
        design(make_config(plain | changes | {"out": tmp_path / name}), view=lambda *a, **k: None)
        for name, changes in (("whole", {}), ("halved", {"rungs": [0.3]}))
    )
    trained = [item for item in halved.state.candidates if item.reports]
    assert len(trained) == 1
    same = next(item for item in whole.state.candidates if item.id == trained[0].id)
    assert same.reports[0].fitness == trained[0].reports[0].fitness
    assert same.reports[0].steps == trained[0].reports[0].steps
    assert halved.state.spent.env_steps < whole.state.spent.env_steps
