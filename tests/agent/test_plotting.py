import json
from pathlib import Path

import pytest
from command_rig import POINT, Done, call

from rewardsmith.runs.pictures import Pictures
from rewardsmith.runs.store import RunStore

GOOD = '''"""Near and slow. <script>alert(1)</script>"""
def compute_reward(distance, velocity):
    near = -np.minimum(distance, 1.5)
    slow = -0.1 * velocity**2
    return near + slow, {"near": near, "slow": slow}
'''


@pytest.fixture
def reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reward.py").write_text(GOOD)
    return tmp_path / "reward.py"


def plot(*more: str) -> Done:
    return call("plot", "reward.py", "--env", POINT, *more)


def test_a_page_and_its_numbers_are_written_here_and_the_findings_are_told(reward: Path) -> None:
    done = plot()
    assert done.code == 0, done.err
    page = (reward.parent / "reward_plots.html").read_text()
    numbers = Pictures.model_validate_json((reward.parent / "reward_plots.json").read_text())
    assert "<script>" not in page
    assert numbers.components == ("near", "slow")
    assert "flat, range < 1 % of std, for distance > 1.5" in done.out
    assert done.out.endswith("page: reward_plots.html\nnumbers: reward_plots.json\n")


def test_the_document_holds_the_numbers_behind_every_plot(reward: Path) -> None:
    done = plot("--json", "--fields", "velocity", "--out", "here.html")
    facts = done.document
    assert set(facts) == {"file", "env", "failure", "page", "numbers", "pictures"}
    assert (facts["page"], facts["numbers"], facts["failure"]) == ("here.html", "here.json", None)
    found = Pictures.model_validate(facts["pictures"])
    assert [item.axis.name for item in found.slices] == ["velocity"]
    assert len(found.slices[0].lines) == 5
    assert [item.column for item in found.histograms] == ["total", "near", "slow"]
    assert json.loads((reward.parent / "here.json").read_text()) == facts["pictures"]


def test_a_program_that_breaks_the_contract_ends_with_1_and_says_why(reward: Path) -> None:
    reward.write_text(GOOD.replace("velocity**2", "np.mean(velocity)"))
    done = plot()
    assert done.code == 1
    assert done.out.startswith("contract: ")
    assert [path.name for path in reward.parent.iterdir()] == ["reward.py"]
    facts = plot("--json").document
    assert facts["failure"]["kind"] == "contract"
    assert facts["pictures"] is None


def test_an_unknown_field_is_an_error_that_names_the_nearest(reward: Path) -> None:
    done = plot("--fields", "distence")
    assert done.code == 2
    assert "did you mean 'distance'?" in done.err


def test_a_page_of_another_kind_is_refused(reward: Path) -> None:
    done = plot("--out", "reward.png")
    assert done.code == 2
    assert "ends in .html" in done.err


def test_with_a_run_the_page_shows_the_shares_over_its_training(
    finished_run: Path, tmp_path: Path
) -> None:
    best = RunStore.open(finished_run).state().best
    program = RunStore.open(finished_run).program_path(str(best))
    out = tmp_path / "best.html"
    done = call("plot", str(program), "--env", POINT, "--run", str(finished_run), "--out", str(out))
    assert done.code == 0, done.err
    found = Pictures.model_validate_json(out.with_suffix(".json").read_text())
    assert next(item.label for item in found.shares) == f"{best}, selection seeds"
    assert 'id="shares"' in out.read_text()


SHAPED = "squash=clip(-0.5,-0.25)"


def drawn(found: Pictures) -> list[float]:
    """Every total that a line or a surface shows."""
    lines = [value for item in found.slices for line in item.lines for value in line.total]
    return [*lines, *(value for item in found.surfaces for row in item.total for value in row)]


def test_a_shaped_reward_is_drawn_as_it_trains(reward: Path) -> None:
    plain = Pictures.model_validate(plot("--json").document["pictures"])
    asked = plot("--json", "--shaping", SHAPED).document
    reward.write_text(f"# rewardsmith: {SHAPED}\n{GOOD}")
    marked = plot("--json").document
    for document in (asked, marked):
        found = Pictures.model_validate(document["pictures"])
        assert found.components == plain.components
        assert found.findings[0].kind == "shaped"
        assert SHAPED in found.findings[0].text
        assert all(-0.5 <= value <= -0.25 for value in drawn(found))
    assert all(finding.kind != "shaped" for finding in plain.findings)
    assert min(drawn(plain)) < -0.5


def test_a_shaping_that_is_misspelled_is_an_error(reward: Path) -> None:
    done = plot("--shaping", "combine=geomaen")
    assert done.code == 2
    assert "geomean" in done.err
