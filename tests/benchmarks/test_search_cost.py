"""The benchmarks of searches and clusters, on a task of seconds; what they compute from samples."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def module(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    sys.modules.pop(name, None)
    return __import__(name)


@pytest.mark.slow
def test_a_small_search_is_measured_and_plain_sb3_extrapolated_to_its_steps(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = module(root, "search_cost", monkeypatch)
    part = {"measured_steps": 100, "s_per_step": 0.01}
    asked: list[Any] = []

    def plain_part(*arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        return part

    monkeypatch.setattr(found, "plain_part", plain_part)
    arguments = [
        "--env",
        "rewardsmith/Point-v0",
        "--trainer",
        "toy",
        "--candidates",
        "2",
        "--generations",
        "1",
        "--steps",
        "500",
        "--workers",
        "1",
        "--plain-steps",
        "7",
    ]
    assert found.main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    search = told["search"]
    assert asked == [("rewardsmith/Point-v0", 7, 1)]
    assert search["units"] == 2
    assert search["env_steps"] >= 1000
    assert told["plain_minutes"] == pytest.approx(0.01 * search["env_steps"] / 60)
    assert told["minutes"] == pytest.approx(search["wall_s"] / 60)
    assert 0.0 < search["outside_of_trainings"] < search["overhead"] < 1.0
    assert told["machine"]["versions"]["numpy"]
    text = found.text_of(told)
    assert "extrapolated from 100 steps" in text
    assert "2 trainings" in text


def test_efficiency_is_measured_against_the_smallest_cluster(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = module(root, "cluster", monkeypatch)
    rows = [{"nodes": 2, "units_per_s": 4.0}, {"nodes": 4, "units_per_s": 6.0}]
    assert [row["efficiency"] for row in cluster.with_efficiency(rows)] == [1.0, 0.75]
    units = cluster.units_of("rewardsmith/Point-v0", "toy", 100, 3)
    assert len({unit.key for unit in units}) == 3
