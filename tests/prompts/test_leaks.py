"""No prompt of any built-in task holds what would give the answer away."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

from rewardsmith.agent import roles
from rewardsmith.agent.llm import Reply, Request
from rewardsmith.envs.registry import find_task, task_ids
from rewardsmith.envs.task import Task
from rewardsmith.runs.records import (
    Candidate,
    Critique,
    CurvePoint,
    EpisodeSummary,
    Proposal,
    TrainingReport,
)
from rewardsmith.sandbox.failure import Failure

# Names from the reward code of the environments' own sources.
NATIVE = (
    "healthy_reward", "is_healthy", "forward_reward", "ctrl_cost", "contact_cost", "reward_dist",
    "reward_ctrl", "reward_near", "shaping", "alive_bonus", "dist_penalty", "vel_penalty",
    "survive", "m_power", "s_power", "_get_rew", "calc_reward",
)  # fmt: skip
# The weights with which those rewards are added up, where they are telling.
WEIGHTS = {
    "Hopper-v5": ("0.001", "1e-3"),
    "Walker2d-v5": ("0.001", "1e-3"),
    "HalfCheetah-v5": ("0.1 *",),
    "LunarLander": ("100 *", "0.30", "0.03"),
    "BipedalWalker-v3": ("130", "5.0 *", "0.00035", "3.5e-4"),
    "MountainCarContinuous-v0": ("100.0", "0.1 *"),
}
BUILT_IN = [name for name in task_ids() if not name.startswith("rewardsmith/")]


def candidate(task: Task) -> Candidate:
    names = [field.name for field in task.env.fields if not field.shape]
    program = f"def compute_reward({names[0]}):\n    return {names[0]}, {{'main': {names[0]}}}\n"
    point = CurvePoint(
        steps=10,
        fitness=1.0,
        success_rate=0.5,
        episode_length=9.0,
        total=0.5,
        components={"main": 0.5},
    )
    episode = EpisodeSummary(
        seed=0,
        fitness=1.0,
        success=False,
        outcome="ended",
        length=9,
        reward_return=1.0,
        component_returns={"main": 1.0},
        fields={name: (0.0, 1.0) for name in names},
    )
    report = TrainingReport(
        unit="u", seed=1, steps=10, fitness=1.0, curve=(point,), episodes=(episode,)
    )
    fresh = Proposal(kind="fresh")
    return Candidate(
        id="g0.0", generation=0, index=0, proposal=fresh, program=program, reports=(report,)
    )


def all_prompts(task: Task) -> str:
    """Every word that any role is told about a task."""
    asked: list[Request] = []
    verdict = '{"analysis": "main", "verdict": "revise", "remarks": ["change main a bit"]}'
    replies = '{"causes": ["main is constant throughout"], "advice": ["change main a bit"]}'

    def ask(request: Request) -> Reply:
        asked.append(request)
        return Reply(replies if request.role == "analyzer" else verdict, "scripted")

    one = candidate(task)
    program = one.program or ""
    context = roles.Context(best=one, parents=(one,), history=(one,))
    two = one.model_copy(update={"id": "g0.1"})
    pair = roles.Context(parents=(one, two))
    for settings in (roles.RoleSettings(), roles.settings_for("local")):
        for kind in ("fresh", "improve"):
            proposal = Proposal(kind=kind, parents=("g0.0",))
            roles.design(ask, task, proposal, context, settings=settings)
        roles.design(ask, task, Proposal(kind="combine"), pair, settings=settings)
        failure = Failure(kind="contract", text="wrong shape", line=1)
        roles.repair(ask, task, program, failure, settings=settings)
        critique = Critique(accept=False, remarks="change main")
        roles.revise(ask, task, program, critique, settings=settings)
        roles.criticise(ask, task, program, context, settings=settings)
        roles.analyse(ask, task, one, context, settings=settings)
    return "\n".join(message.content for request in asked for message in request.messages)


def own_source(task: Task) -> Iterator[str]:
    """The telling lines of the environment's own step and reward code."""
    entry = str(gymnasium.spec(task.env.id).entry_point).split(":", maxsplit=1)[0]
    root = Path(gymnasium.__file__).parent.parent
    source = root.joinpath(*entry.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    for line in source.splitlines():
        bare = line.strip()
        if len(bare) > 25 and re.search(r"reward|cost|shaping", bare) and "=" in bare:
            yield bare


@pytest.fixture(scope="module")
def prompts() -> dict[str, tuple[Task, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Box2D's import crashes if its warnings become errors
        tasks = {name: find_task(name) for name in BUILT_IN}
    return {name: (task, all_prompts(task)) for name, task in tasks.items()}


def test_there_are_built_in_tasks_to_guard() -> None:
    assert len(BUILT_IN) >= 9


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_prompt_names_a_hidden_field(name: str, prompts: dict[str, tuple[Task, str]]) -> None:
    task, text = prompts[name]
    for field in task.env.hidden:
        # A hidden name may be a plain word of a card; as a name it may not stand there.
        assert f"`{field.name}`" not in text
        assert "_" not in field.name or not re.search(rf"\b{field.name}\b", text)


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_prompt_holds_the_source_of_fields_or_fitness(
    name: str, prompts: dict[str, tuple[Task, str]]
) -> None:
    task, text = prompts[name]
    sources = [f.source for f in (*task.env.fields, *task.env.hidden) if len(f.source) > 5]
    assert not [source for source in sources if source in text]
    assert task.fitness not in text
    assert "gym_fitness" not in text


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_prompt_holds_lines_names_or_weights_of_the_environments_own_reward(
    name: str, prompts: dict[str, tuple[Task, str]]
) -> None:
    task, text = prompts[name]
    assert not [word for word in NATIVE if re.search(rf"\b{word}\b", text)]
    assert not [line for line in own_source(task) if line in text]
    about = text.split("## Environment " + task.env.id, 1)[1].split("Write ", 1)[0]
    telling = [w for key, weights in WEIGHTS.items() if name.startswith(key) for w in weights]
    assert not [weight for weight in telling if weight in about]


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_example_of_the_same_environment_is_shown(
    name: str, prompts: dict[str, tuple[Task, str]]
) -> None:
    task, text = prompts[name]
    shown = set(re.findall(r"^## Environment (\S+)$", text, re.MULTILINE)) - {task.env.id}
    stem = re.sub(r"(-continuous)?(-v\d+)?(-continuous)?$", "", name)
    assert shown
    assert not [other for other in shown if other.startswith(stem)]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_name_of_the_card_is_in_the_prompt(
    name: str, prompts: dict[str, tuple[Task, str]]
) -> None:
    task, text = prompts[name]
    assert all(f"`{field.name}`" in text for field in task.env.fields)
    assert task.text in text


def test_the_guard_itself_would_see_a_leak() -> None:
    task = find_task("Hopper-v5")
    lines = list(own_source(task))
    assert any("reward" in line for line in lines)
