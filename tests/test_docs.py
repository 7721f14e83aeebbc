"""What the documents say is so: links lead somewhere, examples run, commands parse."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rewardsmith import errors

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def fences(*kinds: str) -> Iterator[Any]:
    """Every fenced block of these kinds in the documents, as a test's parameters."""
    for page in PAGES:
        for number, found in enumerate(FENCE.finditer(page.read_text())):
            if found["kind"].strip() in kinds:
                yield pytest.param(found["text"], id=f"{page.relative_to(ROOT)}:{number}")


def commands() -> Iterator[Any]:
    """Every ``rewardsmith ...`` line of a shell block, its continuation lines joined."""
    for block in fences("sh", "bash", "console"):
        text: str = block.values[0].replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(re.split(r" [|>]+ ", line.removeprefix("$ "))[0], comments=True)
            if words[:1] == ["rewardsmith"]:
                yield pytest.param(words[1:], id=" ".join(words)[:70])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("text", list(fences("python")))
def test_an_example_in_python_runs(text: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "<example>", "exec"), {"__name__": "__example__"})  # noqa: S102


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_line_of_the_documents_parses(words: list[str]) -> None:
    from typer.main import get_command

    from rewardsmith.agent.cli import app

    group: Any = get_command(app)
    name, rest = words[0], words[1:]
    if name.startswith("-"):
        group.make_context("rewardsmith", words, resilient_parsing=True)
        return
    assert name in group.commands, f"there is no command {name}"
    group.commands[name].make_context(name, rest)


def test_the_readme_lists_every_exit_code() -> None:
    listed = dict(
        re.findall(r"^\| (\d+) \| `(\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    kinds = {
        str(kind.exit_code): name
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, errors.RewardsmithError)
        and kind is not errors.RewardsmithError
    }
    assert listed == kinds


def test_every_page_of_the_documentation_is_reached_from_the_readme() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text()))
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - linked == set()


def test_every_script_that_a_page_names_exists() -> None:
    named = {
        name
        for page in PAGES
        for name in re.findall(r"\bbash ((?:tools|\.ci)/\w+)", page.read_text())
    }
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_the_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(p.name[:4]) for p in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_example_of_ones_own_environment_is_a_task_that_can_be_judged() -> None:
    from rewardsmith.envs.collect import rollout
    from rewardsmith.envs.fitness import judge
    from rewardsmith.envs.registry import find_task

    task = find_task(
        "CartPole-v1",
        text="keep the pole upright near the middle",
        card=ROOT / "examples/cartpole_card.yaml",
        fitness=str(ROOT / "examples/cartpole_fitness.py"),
    )
    episodes = rollout(task.env, lambda obs: int(obs[2] > 0.0), (0, 1))
    scores = judge(task, episodes)
    assert all(0.0 < score.fitness < 10.0 for score in scores)
    assert {score.outcome for score in scores} == {"fell"}
