"""The Ray executor on clusters of this machine, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rewardsmith.errors import ConfigError
from rewardsmith.runs.executors import find_executor
from rewardsmith.runs.executors.ray_cluster import Ray

SCRIPT = Path(__file__).with_name("ray_script.py")


def test_it_is_found_by_its_name_and_imports_ray_only_to_run() -> None:
    program = (
        "import sys; from rewardsmith.runs.executors import find_executor;"
        "find_executor('ray', attempts=2); sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert find_executor("ray", workers=2, address="auto") == Ray(address="auto", workers=2)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"cpus": 0}, {"workers": 0}, {"stack": 0}])
def test_impossible_sizes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="at least one worker"):
        Ray(**wrong)


def test_no_units_need_no_cluster() -> None:
    assert list(Ray(address="10.0.0.1:1").run([])) == []


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script saw on a cluster of three nodes of this machine."""
    folder = tmp_path_factory.mktemp("ray")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_a_search_whose_node_is_killed_on_the_way_comes_to_the_same_decisions(
    told: dict[str, Any],
) -> None:
    assert told["nodes"] == 3
    assert told["killed"] is True
    assert told["again"] >= 1  # the unit that the node was at was sent once more
    assert told["cluster"] == told["local"]
    assert told["local"]["best"] is not None


@pytest.mark.slow
def test_a_lost_worker_costs_its_unit_an_attempt_and_no_more_than_are_allowed(
    told: dict[str, Any],
) -> None:
    assert told["dies once"] == {"attempts": 2, "report": True}
    assert "came back without a report" in told["dies always"]
    assert told["dies always attempts"] == 3


@pytest.mark.slow
def test_rungs_files_and_errors_travel_and_keys_do_not(told: dict[str, Any]) -> None:
    assert told["of the caller"].startswith("ConfigError")
    assert told["rungs"] is True
    assert told["own fitness"] == 7.0
    assert told["keys"] == []


@pytest.mark.slow
def test_units_are_stacked_for_the_cores_of_the_cluster_and_a_lost_stack_goes_on_alone(
    told: dict[str, Any],
) -> None:
    assert told["lanes"] == [2, 2]  # four units, two nodes of a core
    assert told["stacked"] == told["alone"]
    assert told["lost stack"] == {"lanes": [4], "attempts": 2}
    assert told["from a lost stack"] == told["alone"]
