"""The contract check: what passes, what is mended, what is found."""

from pathlib import Path

import numpy as np
import pytest

from rewardsmith.sandbox.check import CheckReport, check
from rewardsmith.sandbox.client import RewardClient
from rewardsmith.sandbox.conformance import EXAMPLE_SPEC, example_steps
from rewardsmith.sandbox.probe_steps import PROBE_ROWS, probes, sequences
from rewardsmith.sandbox.reward import RewardBatch

STEPS = example_steps(300, 2)


def _checked(
    *lines: str, parameters: str = "height, speed, position, action", head: str = ""
) -> CheckReport:
    body = "".join(f"    {line}\n" for line in lines)
    return check(f"{head}def compute_reward({parameters}):\n{body}", EXAMPLE_SPEC, STEPS)


def test_a_good_program_passes_with_its_statistics() -> None:
    report = _checked('return speed - 1.0, {"run": speed, "cost": -1.0}')
    assert report.failure is None
    assert report.mode == "batched"
    assert report.components == ("run", "cost")
    assert report.stats["run"]["mean"] == pytest.approx(np.mean(STEPS.after["speed"]), abs=1e-12)
    assert report.stats["cost"]["std"] == 0.0
    assert any("cost" in note for note in report.notes)


def test_a_good_program_is_evaluated_quickly() -> None:
    fastest = min(_checked('return speed, {"run": speed}').evaluation_ms for _ in range(3))
    assert fastest < 50.0


def test_what_is_mechanical_is_mended_and_reported() -> None:
    report = _checked(
        "r = max(speed, 0.0)", "if height < 0: r -= 1", 'return r, {"r": r}', head="import math\n"
    )
    assert report.failure is None
    assert report.mode == "batched"
    assert "np.maximum(speed, 0.0)" in report.source
    assert len(report.rewrites) == 3


def test_what_works_only_by_row_is_run_so_and_said() -> None:
    report = _checked(
        "if height < 0:", '    return -1.0, {"r": -1.0}', 'return speed, {"r": speed}'
    )
    assert report.failure is None
    assert report.mode == "rows"
    assert "one environment at a time" in report.notes[0]
    with RewardClient(report.source, EXAMPLE_SPEC) as client:
        answer = client.rewards(STEPS)
    assert isinstance(answer, RewardBatch)
    wanted = np.where(STEPS.after["height"] < 0, -1.0, STEPS.after["speed"])
    np.testing.assert_array_equal(answer.total, wanted)


# name: (lines, words of the finding, line or None)
BROKEN = {
    "lost axis": (
        ["m = np.mean(speed)", 'return speed - m, {"mean": m}'],
        "one number for all environments",
        2,
    ),
    "norm without axis": (
        ["d = np.linalg.norm(position)", "r = speed - d", 'return r, {"r": r}'],
        "axis=-1",
        2,
    ),
    "batch maximum": (
        ["r = speed / np.max(np.abs(speed))", 'return r, {"r": r}'],
        "depends on the others",
        2,
    ),
    "batch mean": (["r = speed - speed.mean()", 'return r, {"r": r}'], "depends on the others", 2),
    "if on a batch statistic": (
        ["r = speed if speed.mean() > 0 else -speed", 'return r, {"r": r}'],
        "",
        None,
    ),
    "order": (["r = np.cumsum(speed)", 'return r, {"r": r}'], "depends on the others", None),
    "neighbour": (["r = np.roll(speed, 1)", 'return r, {"r": r}'], "depends on the others", None),
    "division by zero": (["r = 1.0 / speed", 'return r, {"r": r}'], "extreme", None),
    "logarithm": (["r = np.log(speed)", 'return r, {"r": r}'], "Guard", None),
    "overflow": (["r = np.exp(np.abs(speed) * 100)", 'return r, {"r": r}'], "", None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_contract_is_found_and_explained(name: str) -> None:
    lines, words, line = BROKEN[name]
    failure = _checked(*lines).failure
    assert failure is not None
    assert failure.kind in ("contract", "bad_output")
    assert words in failure.text
    assert line is None or failure.line == line


# A reduction meant within one environment: (lines, what the note must quote, the total by row)
MEANT_BY_ROW = {
    "sum of squares": (
        ["e = np.sum(action**2)", 'return speed - e, {"effort": -e}'],
        "action ** 2",
    ),
    "method": (["e = (action**2).sum()", 'return speed - e, {"effort": -e}'], ".sum()"),
    "any": (["fell = np.any(terminated)", 'return speed - fell, {"fell": fell}'], "np.any"),
    "norm": (["d = np.linalg.norm(position)", 'return speed - d, {"d": -d}'], "linalg.norm"),
    "mean of a vector": (["m = np.mean(position)", 'return speed - m, {"m": m}'], "np.mean"),
    "everything": (["e = np.sum(action**2)", 'return -e, {"r": -e}'], "action ** 2"),
}


@pytest.mark.parametrize("name", MEANT_BY_ROW)
def test_a_reduction_meant_within_one_environment_is_run_by_row(name: str) -> None:
    lines, quoted = MEANT_BY_ROW[name]
    report = _checked(*lines, parameters="speed, position, action, terminated")
    assert report.failure is None
    assert report.mode == "rows"
    note = report.notes[0]
    assert "Line 2" in note
    assert quoted in note
    assert "axis=-1" in note
    with RewardClient(report.source, EXAMPLE_SPEC) as client:
        many, one = client.rewards(STEPS), client.rewards(STEPS.take(np.array([5])))
    assert isinstance(many, RewardBatch)
    assert isinstance(one, RewardBatch)
    assert one.total[0] == many.total[5]


def test_a_reduction_meant_within_one_environment_is_run_by_row_with_memory_too() -> None:
    report = _checked(
        'memory["n"] = memory["n"] + 1.0',
        "e = np.sum(action**2)",
        'return speed - e + memory["n"], {"effort": -e}',
        parameters="speed, action, memory",
        head='MEMORY = {"n": 0.0}\n',
    )
    assert report.failure is None
    assert report.mode == "rows"
    assert "Line 4" in report.notes[0]


# What speaks of all environments stays a failure, whichever way it is shown.
OF_THE_BATCH = {
    "deviation": ["m = np.mean(speed)", 'return speed - m, {"mean": m}'],
    "deviation, first": ["m = speed.mean()", 'return speed + height - m, {"mean": m, "s": speed}'],
    "share of the largest": ["m = np.abs(speed).max()", 'return speed / m, {"largest": m}'],
    "share of all": ["m = np.sum(np.exp(speed))", 'return np.exp(speed) / m, {"all": m}'],
    "deviation without a component": ["return speed - np.mean(speed), {}"],
    "deviation of a vector's length": [
        "d = np.linalg.norm(position, axis=-1)",
        'return d - np.mean(d), {"length": d}',
    ],
}


@pytest.mark.parametrize("name", OF_THE_BATCH)
def test_a_statistic_of_all_environments_stays_a_failure(name: str) -> None:
    report = _checked(*OF_THE_BATCH[name])
    assert report.failure is not None
    assert report.failure.kind == "contract"
    assert report.mode == "batched"
    assert "rewardsmith: one row" not in report.source


def test_a_plain_constant_is_only_noted() -> None:
    report = _checked('return 1.0, {"alive": 1.0}')
    assert report.failure is None
    assert report.mode == "batched"


def test_hidden_state_is_found() -> None:
    report = _checked(
        "CALLS.append(1)", "r = speed * len(CALLS)", 'return r, {"r": r}', head="CALLS = []\n"
    )
    assert report.failure is not None
    assert "in the next with the same inputs" in report.failure.text


def test_inputs_cannot_be_changed() -> None:
    report = _checked("position[:, 0] = 0", 'return speed, {"r": speed}')
    assert report.failure is not None
    assert "in place" in report.failure.text


def test_a_constant_total_is_warned_about() -> None:
    report = _checked("return 1.0, {}")
    assert report.failure is None
    assert any("teaches nothing" in note for note in report.notes)


MEMORY = 'MEMORY = {"best": 0.0}\n'


def test_a_program_with_memory_passes() -> None:
    report = _checked(
        'gain = np.maximum(height - memory["best"], 0.0)',
        'memory["best"] = np.maximum(memory["best"], height)',
        'return gain, {"gain": gain}',
        parameters="height, memory",
        head=MEMORY,
    )
    assert report.failure is None
    assert report.mode == "batched"
    assert report.evaluation_ms < 200.0


def test_conditions_on_memory_are_mended() -> None:
    report = _checked(
        "r = 0.0",
        'if height > memory["best"]:',
        '    r = height - memory["best"]',
        '    memory["best"] = height',
        'return r, {"r": r}',
        parameters="height, memory",
        head=MEMORY,
    )
    assert report.failure is None
    assert report.mode == "batched"


def test_memory_shared_between_environments_is_found() -> None:
    report = _checked(
        'memory["best"] = np.maximum(memory["best"], np.max(height))',
        'return memory["best"], {}',
        parameters="height, memory",
        head=MEMORY,
    )
    assert report.failure is not None
    assert "depends on the others" in report.failure.text


def test_memory_outside_memory_is_found() -> None:
    report = _checked(
        'KEPT["n"] = KEPT.get("n", 0.0) + height[0] * 0 + 1',
        'return memory["best"] + KEPT["n"] + height, {}',
        parameters="height, memory",
        head=MEMORY + "KEPT = {}\n",
    )
    assert report.failure is not None
    assert report.failure.kind == "contract"


def test_a_stalling_program_is_not_tried_again_by_row() -> None:
    report = check(
        "def compute_reward(height):\n    return height, {}\n    while True: pass\n",
        EXAMPLE_SPEC,
        STEPS,
    )
    assert report.failure is None
    refused = check("def compute_reward(hight):\n    return hight, {}\n", EXAMPLE_SPEC, STEPS)
    assert refused.failure is not None
    assert refused.failure.kind == "rejected"
    assert refused.evaluation_ms == 0.0


def test_no_steps_are_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="recorded steps"):
        check(
            "def compute_reward(height):\n    return height, {}\n", EXAMPLE_SPEC, example_steps(0)
        )


def test_probes_are_the_same_every_time_and_hold_recorded_and_extreme_rows() -> None:
    one, other = probes(STEPS, EXAMPLE_SPEC), probes(STEPS, EXAMPLE_SPEC)
    np.testing.assert_array_equal(one.after["position"], other.after["position"])
    assert one.rows == PROBE_ROWS
    recorded_rows = one.after["height"][:37]
    assert np.isin(recorded_rows, STEPS.after["height"]).all()
    assert (one.after["position"] == 0).all(axis=-1).any()
    assert np.abs(one.after["height"]).max() > 5 * np.abs(STEPS.after["height"]).mean()
    assert one.action[-2].tolist() == [1.0, 1.0]
    assert one.action[-1].tolist() == [-1.0, -1.0]


@pytest.mark.parametrize(("rows", "envs"), [(300, 2), (300, 1), (5, 1), (8, 8)])
def test_sequences_are_recorded_pieces_in_order_of_time(rows: int, envs: int) -> None:
    steps = example_steps(rows, envs)
    pieces = sequences(steps)
    assert pieces.rows % pieces.num_envs == 0
    assert pieces.starts[: pieces.num_envs].all()
    lane = pieces.after["height"][:: pieces.num_envs]
    first = int(np.flatnonzero(steps.after["height"] == lane[0])[0])
    np.testing.assert_array_equal(lane, steps.after["height"][first::envs][: len(lane)])


def test_no_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _checked('return speed, {"r": speed}')
    assert list(tmp_path.iterdir()) == []
