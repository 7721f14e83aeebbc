"""The command `compare`, on a small bank of Point and through the command line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_rig import POINT, call
from quick_crew import unwatched

from rewardsmith.agent.comparing import Settings, compare_files
from rewardsmith.agent.evidence.stored import Stored, StoredEpisode
from rewardsmith.envs.collect import concat
from rewardsmith.envs.fitness import judge
from rewardsmith.envs.registry import find_task
from rewardsmith.errors import ConfigError
from rewardsmith.runs.bank import collect_random

NEAR = 'def compute_reward(distance):\n    near = -distance\n    return near, {"near": near}\n'
MEMORY = (
    'MEMORY = {"before": 0.0}\n\n\n'
    "def compute_reward(distance, memory):\n"
    '    gain = memory["before"] - distance\n'
    '    memory["before"] = distance\n'
    '    return gain, {"gain": gain}\n'
)


@pytest.fixture(scope="module")
def bank() -> Stored:
    task = find_task(POINT)
    episodes = collect_random(task, 5_000, 0)
    found, first = [], 0
    for number, (episode, score) in enumerate(zip(episodes, judge(task, episodes), strict=True)):
        stop = first + episode.length
        name = f"random/{number}"
        found.append(
            StoredEpisode(name, "random", "random", first, stop, score.fitness, score.success)
        )
        first = stop
    return Stored(concat(episodes), tuple(found))


def compare(folder: Path, bank: Stored, first: str, second: str) -> tuple[dict[str, Any], str]:
    """Compares two programs, or "human"."""
    names = [str(folder / "a.py"), str(folder / "b.py")]
    for name, source in zip(names, (first, second), strict=True):
        Path(name).write_text(source)
    other = second if second == "human" else names[1]
    return compare_files(names[0], other, Settings(POINT), view=unwatched, bank=bank)


def test_a_scaled_copy_is_the_same_preference(tmp_path: Path, bank: Stored) -> None:
    facts, text = compare(tmp_path, bank, NEAR, NEAR.replace("-distance", "-5.0 * distance"))
    assert facts["starc"]["distance"] < 1e-3
    assert facts["ranking_accuracy"] == 1.0
    assert facts["prefers"] == {"first": [], "second": []}
    assert "ranks no episode higher" in text


def test_opposed_rewards_name_the_episodes_and_the_components(tmp_path: Path, bank: Stored) -> None:
    facts, text = compare(tmp_path, bank, NEAR, NEAR.replace("near", "far").replace("-", ""))
    assert facts["starc"]["distance"] == pytest.approx(2.0)
    assert facts["starc"]["interval"] == pytest.approx([2.0, 2.0])
    assert facts["spearman"] == pytest.approx(-1.0)
    assert facts["ranking_accuracy"] == 0.0
    most = facts["prefers"]["first"][0]
    assert (most["rank"], most["other_rank"]) == (1.0, 0.0)
    assert (most["raised"]["component"], most["lowered"]["component"]) == ("near", "far")
    assert f"{most['episode']}: 1.00 against 0.00, fitness {most['fitness']:.3g} fraction" in text


def test_the_human_reward_stands_in_for_a_file(tmp_path: Path, bank: Stored) -> None:
    facts, text = compare(tmp_path, bank, NEAR, "human")
    assert facts["second"] == "human"
    assert 0.0 <= facts["starc"]["distance"] <= 2.0
    assert "of the order of human" in text


def test_a_reward_is_compared_with_itself(bank: Stored) -> None:
    facts, _ = compare_files("human", "human", Settings(POINT), view=unwatched, bank=bank)
    assert facts["starc"]["distance"] == pytest.approx(0.0, abs=1e-6)


def test_a_broken_program_is_a_finding_of_its_own(tmp_path: Path, bank: Stored) -> None:
    facts, text = compare(tmp_path, bank, NEAR, NEAR.replace("distance", "distence"))
    assert list(facts["failures"]) == [str(tmp_path / "b.py")]
    assert "starc" not in facts
    assert "distance" in facts["failures"][str(tmp_path / "b.py")]["text"]
    assert text.endswith("nothing was compared")


def test_a_reward_with_memory_is_compared_approximately(tmp_path: Path, bank: Stored) -> None:
    facts, text = compare(tmp_path, bank, MEMORY, NEAR)
    assert facts["approximate"] is True
    assert "the distance is approximate" in text
    assert compare(tmp_path, bank, NEAR, NEAR)[0]["approximate"] is False


def test_a_reward_is_compared_as_its_mark_shapes_it(tmp_path: Path, bank: Stored) -> None:
    marked = "# rewardsmith: squash=clip(-0.5,0)\n" + NEAR
    facts, _ = compare(tmp_path, bank, marked, NEAR)
    clipped = NEAR.replace("-distance", "-np.minimum(distance, 0.5)")
    by_hand, _ = compare(tmp_path, bank, clipped, NEAR)
    assert facts["starc"]["distance"] > 0.1
    assert facts["starc"]["distance"] == pytest.approx(by_hand["starc"]["distance"])


def test_too_few_transitions_give_no_distance(tmp_path: Path, bank: Stored) -> None:
    facts, text = compare(tmp_path, replace(bank, episodes=bank.episodes[:3]), NEAR, "human")
    assert facts["starc"] == {"distance": None, "interval": None, "undecided": "too_few"}
    assert "distance: none; too few transitions" in text


def test_a_file_that_is_not_there_is_named(bank: Stored) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.py"):
        compare_files("nowhere.py", "human", Settings(POINT), view=unwatched, bank=bank)


def test_the_command_prints_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(NEAR)
    done = call("compare", str(tmp_path / "a.py"), "human", "--env", POINT, "--json")
    assert done.code == 0, done.err
    assert set(done.document["starc"]) == {"distance", "interval", "undecided"}
    assert {"spearman", "ranking_accuracy", "prefers"} <= set(done.document)


def test_the_command_ends_with_1_if_a_program_breaks_the_contract(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(NEAR.replace("distance", "distence"))
    done = call("compare", str(tmp_path / "a.py"), "human", "--env", POINT)
    assert done.code == 1
    assert "nothing was compared" in done.out
