from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bank_rig import CONTINUOUS, good, played
from quick_crew import unwatched

from rewardsmith.agent.checking import check_file, ledger_lines
from rewardsmith.agent.evidence.behaviours import behaviours
from rewardsmith.agent.evidence.played import best_first, stored_of
from rewardsmith.agent.evidence.stored import Stored
from rewardsmith.envs.collect import random_act
from rewardsmith.errors import ConfigError
from rewardsmith.runs.records import Evidence

POINT = CONTINUOUS.id
GOOD = 'def compute_reward(distance):\n    near = -distance\n    return near, {"near": near}\n'


def _bank() -> Stored:
    """Twelve random episodes of the toy task, two that reach the target, and behaviours."""
    found = [*played(CONTINUOUS, random_act(CONTINUOUS.env, 0), 12, "random"), *good(CONTINUOUS)]
    still = np.zeros(CONTINUOUS.env.action.shape)
    return stored_of([*found, *behaviours(CONTINUOUS, best_first(found), still, seed=0)])


BANK = _bank()


def checked(folder: Path, text: str) -> tuple[dict[str, Any], str]:
    (folder / "reward.py").write_text(text)
    return check_file(folder / "reward.py", POINT, view=unwatched, bank=BANK)


def test_mechanical_rewrites_are_told(tmp_path: Path) -> None:
    facts, text = checked(tmp_path, GOOD.replace("-distance", "-max(distance, 0.1)"))
    assert facts["failure"] is None
    assert facts["rewrites"]
    assert "rewritten: " in text


def test_a_program_that_only_works_row_by_row_is_told_so(tmp_path: Path) -> None:
    facts, text = checked(tmp_path, GOOD.replace("-distance", "-np.sum(distance)"))
    assert facts["failure"] is None
    assert facts["mode"] == "rows"
    assert "the contract holds (rows)" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-distance", "-distance / np.max(distance)"),
        ("-distance", "open('/etc/passwd')"),
        ("-distance", "-distance *"),
        ("return near, {", "return None, {"),
    ],
)
def test_what_breaks_the_contract_is_a_typed_failure(tmp_path: Path, old: str, new: str) -> None:
    facts, text = checked(tmp_path, GOOD.replace(old, new))
    assert facts["failure"]["kind"]
    assert facts["failure"]["text"]
    assert facts["failure"]["kind"] in text


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        check_file(tmp_path / "reward.py", POINT, view=unwatched)


def test_a_sound_reward_comes_with_a_ledger_that_refuses_nothing(tmp_path: Path) -> None:
    facts, text = checked(tmp_path, GOOD)
    assert [item["probe"] for item in facts["evidence"]] == [
        *("health", "ranking", "farming", "sensitivity")
    ]
    assert not facts["refused"]
    assert "pass  ranking" in text


def test_a_reward_against_the_task_is_refused_with_the_probe_that_says_so(tmp_path: Path) -> None:
    facts, text = checked(tmp_path, GOOD.replace("-distance", "1.0 * distance"))
    assert facts["failure"] is None
    assert facts["refused"]
    assert facts["evidence"][-1]["verdict"] == "fail"
    assert "fail  ranking" in text


def test_a_reward_that_pays_for_going_back_and_forth_is_refused(tmp_path: Path) -> None:
    facts, text = checked(
        tmp_path,
        GOOD.replace("(distance)", "(distance, prev_distance)").replace(
            "-distance", "50.0 * np.maximum(prev_distance - distance, 0.0) - distance"
        ),
    )
    assert facts["refused"], text
    assert {item["verdict"] for item in facts["evidence"]} >= {"fail"}


def test_a_program_that_breaks_the_contract_is_not_probed(tmp_path: Path) -> None:
    facts, _ = checked(tmp_path, GOOD.replace("-distance", "-distance *"))
    assert facts["evidence"] == []
    assert facts["refused"]


def test_a_long_finding_goes_on_below_its_own_column() -> None:
    evidence = [Evidence(probe="health", verdict="warn", text="one two three four")]
    (text,) = ledger_lines(evidence, width=24)
    assert text.splitlines() == ["warn  health  one two", "              three four"]
