"""A synthetic run as a real one looks: two generations, failures, feedback, a comparison."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rewardsmith.envs.task import ActionSpec, EnvSpec, Field, Task
from rewardsmith.runs.pictures import (
    Axis,
    Finding,
    Group,
    Histogram,
    Line,
    Pictures,
    Slice,
    Surface,
)
from rewardsmith.runs.records import (
    Arm,
    Candidate,
    Critique,
    CurvePoint,
    EpisodeSummary,
    Evidence,
    Feedback,
    Generation,
    Proposal,
    RunState,
    Spent,
    TrainingReport,
)
from rewardsmith.runs.report_facts import LedgerRow, RunFacts
from rewardsmith.sandbox.failure import Failure

STEPS = 200_000

FIRST = '''\
"""Reward speed; punish effort."""
SPEED_LIMIT = 4.0


def compute_reward(forward_velocity, torso_height, action):
    # Clipped, so that one lucky leap is not worth a fall.
    run = np.clip(forward_velocity, 0.0, SPEED_LIMIT)
    effort = 0.05 * np.sum(action**2, axis=-1)
    return run - effort, {"run": run, "effort": -effort}
'''
SECOND = '''\
"""Reward speed while upright; punish effort a little."""
SPEED_LIMIT = 5.0


def compute_reward(forward_velocity, torso_height, torso_pitch, action):
    # Clipped, so that one lucky leap is not worth a fall.
    run = np.clip(forward_velocity, 0.0, SPEED_LIMIT)
    upright = np.exp(-4.0 * torso_pitch**2) * (torso_height > 0.9)
    effort = 0.01 * np.sum(action**2, axis=-1)
    return run * upright + 0.5 * upright - effort, {
        "run": run, "upright": upright, "effort": -effort,
    }
'''
ALIVE = FIRST.replace("run - effort", "run + 1.0 - effort").replace(
    '"effort": -effort}', '"effort": -effort, "alive": 1.0 + 0.0 * run}'
)
BROKEN = (
    "def compute_reward(forward_velocity):\n    if forward_velocity > 1.0:\n        return 1.0\n"
)


def curve(level: float, seed: int, components: dict[str, float]) -> tuple[CurvePoint, ...]:
    """Returns ten points that rise to ``level``."""
    noise = np.random.default_rng(abs(hash((round(level, 3), seed))) % 2**32).normal(size=10)
    points = []
    for k in range(10):
        share = 1.0 - math.exp(-3.0 * (k + 1) / 10)
        parts = {name: value * share + 0.03 * noise[k] for name, value in components.items()}
        points.append(
            CurvePoint(
                steps=STEPS * (k + 1) // 10,
                fitness=level * share + 0.06 * level * float(noise[k]),
                success_rate=0.1 * k,
                episode_length=100.0 + 90.0 * k,
                total=sum(parts.values()),
                components=parts,
            )
        )
    return tuple(points)


def episode(seed: int, fitness: float) -> EpisodeSummary:
    """Returns one judged episode with three recorded fields."""
    times = np.linspace(0.0, 1.0, 10)
    return EpisodeSummary(
        seed=seed,
        fitness=fitness,
        success=fitness > 10.0,
        outcome="time limit" if fitness > 10.0 else "fell",
        length=1000 if fitness > 10.0 else 143,
        reward_return=3.1 * fitness,
        component_returns={"run": 3.0 * fitness},
        fields={
            "torso_height": tuple(1.25 + 0.12 * np.sin(9.0 * times)),
            "torso_pitch": tuple(-0.08 + 0.05 * np.cos(14.0 * times)),
            "forward_velocity": tuple(2.9 * (1.0 - np.exp(-6.0 * times))),
        },
    )


def report(
    unit: str, seed: int, fitness: float, components: dict[str, float], *, steps: int = STEPS
) -> TrainingReport:
    """Returns a report of a training that ended with ``fitness``."""
    return TrainingReport(
        unit=unit,
        seed=seed,
        steps=steps,
        fitness=fitness,
        fitness_std=0.1 * abs(fitness),
        success_rate=min(1.0, max(0.0, fitness / 25.0)),
        outcomes={"fell": 3, "time limit": 7} if fitness > 10.0 else {"fell": 10},
        curve=curve(fitness, seed, components) if steps else (),
        episodes=(episode(100 + seed, fitness), episode(200 + seed, 0.6 * fitness)),
        wall_s=97.3,
        cpu_s=95.1,
        reward_calls=98,
        reward_wall_s=0.31,
        versions={"python": "3.11.7", "torch": "2.13.0", "mujoco": "4.0.0"},
    )


def trained(
    name: str, program: str, levels: tuple[float, ...], components: dict[str, float], **more: Any
) -> Candidate:
    """Returns a candidate that was trained once per level."""
    return Candidate(
        id=name,
        generation=int(name[1]),
        index=int(name[3]),
        program=program,
        program_id="3fb2c09d1a77",
        reports=tuple(
            report(f"{name}.s{k}", k, level, components) for k, level in enumerate(levels)
        ),
        **more,
    )


def failed(name: str, failure: Failure, program: str | None = None) -> Candidate:
    """Returns a candidate that never came to a training."""
    fresh = Proposal(kind="fresh")
    return Candidate(
        id=name,
        generation=int(name[1]),
        index=int(name[3]),
        proposal=fresh,
        program=program,
        failure=failure,
    )


def _candidates() -> tuple[Candidate, ...]:
    fresh, improve = Proposal(kind="fresh"), Proposal(kind="improve", parents=("g0.0",))
    if_on_array = Failure(
        kind="contract",
        text="ValueError: the truth value of an array with more than one element is ambiguous;"
        " use np.where(forward_velocity > 1.0, ...) instead of `if`",
        line=2,
    )
    cut = Failure(kind="no_code", text="the reply ended after 420 tokens, within the program")
    diverged = Failure(kind="diverged", text="the policy's loss became nan after 14,336 steps")
    half = trained("g1.2", FIRST.replace("0.05", "5e9"), (3.9,), {"run": 0.4}, proposal=improve)
    broken = TrainingReport(unit="g1.2.s1", seed=1, steps=STEPS, failure=diverged)
    return (
        trained("g0.0", FIRST, (8.1, 6.4, 9.9), {"run": 1.6, "effort": -0.2}, proposal=fresh),
        trained(
            "g0.1",
            ALIVE,
            (3.2, 3.3, 2.7),
            {"run": 0.3, "effort": -0.02, "alive": 1.0},
            proposal=fresh,
            rewrites=("line 7: max(a, b) became np.maximum(a, b)",),
            analysis="It stands still: `alive` pays 1.0 per step and is never lost.",
        ),
        failed("g0.2", if_on_array, BROKEN),
        failed("g0.3", cut),
        trained(
            "g1.0",
            SECOND,
            (21.3, 24.9, 22.2),
            {"run": 2.3, "upright": 0.9, "effort": -0.1},
            proposal=improve,
            critiques=(
                Critique(accept=False, remarks="`torso_height` is asked for and never used."),
                Critique(accept=True, remarks="Scale and signs are sound.", round=1),
            ),
            evidence=(Evidence(probe="hand-made states", verdict="pass", text="ranks 9 of 9"),),
            rechecks=(
                report("g1.0.r0", 10, 20.8, {"run": 2.2}),
                report("g1.0.r1", 11, 23.5, {"run": 2.4}),
            ),
            analysis="`upright` rises first and `run` follows after 60k.\nFalls stop at 120k.",
        ),
        trained("g1.1", ALIVE.replace("4.0", "3.0"), (12.0, 9.1, 14.4), {"run": 1.9, "alive": 1.0},
                proposal=Proposal(kind="combine", parents=("g0.0", "g0.1"))),
        half.model_copy(update={"reports": (*half.reports, broken)}),
    )  # fmt: skip


def _arms() -> tuple[Arm, ...]:
    parts = {"run": 2.3, "upright": 0.9, "effort": -0.1}
    best, human, random = (22.8, 19.9, 24.4, 21.7, 23.3), (15.2, 18.8, 11.0, 16.9, 14.1), (0.4, 0.3)
    return (
        Arm(
            name="best",
            candidate="g1.0",
            reports=tuple(report(f"best.s{k}", 50 + k, v, parts) for k, v in enumerate(best)),
        ),
        Arm(
            name="human",
            candidate=None,
            reports=tuple(report(f"human.s{k}", 50 + k, v, {}) for k, v in enumerate(human)),
        ),
        Arm(
            name="random",
            candidate=None,
            reports=tuple(
                report(f"random.s{k}", 50 + k, v, {}, steps=0) for k, v in enumerate(random)
            ),
        ),
    )


@pytest.fixture
def finished_run() -> RunState:
    """A run that ended well."""
    return RunState(
        run="hopper-20260511-1432",
        task="gymnasium/Hopper-v5",
        candidates=_candidates(),
        generations=(
            Generation(number=0, candidates=("g0.0", "g0.1", "g0.2", "g0.3"), best="g0.0"),
            Generation(number=1, candidates=("g1.0", "g1.1", "g1.2"), best="g1.0"),
        ),
        feedback=(
            Feedback(
                id="f1",
                author="kim",
                time="2026-05-11T14:58:03Z",
                candidate="g0.1",
                observed="It leans forward and freezes.",
                wanted="It should keep hopping.",
                rating=2,
            ),
        ),
        arms=_arms(),
        spent=Spent(
            model_calls=19,
            prompt_tokens=48_213,
            completion_tokens=9_644,
            usd=None,
            env_steps=4_600_000,
            wall_s=5_312.0,
        ),
        best="g1.0",
        finished=True,
    )


@pytest.fixture
def run_facts() -> RunFacts:
    """What belongs to ``finished_run`` and is not in its journal's fold."""
    velocity = Field("forward_velocity", (), "m/s", "speed of the torso along x", "obs[5]")
    spec = EnvSpec(
        id="Hopper-v5",
        fields=(velocity,),
        hidden=(),
        action=ActionSpec((3,), (-1.0,) * 3, (1.0,) * 3, None, "joint torques"),
        max_steps=1000,
        dt=0.008,
    )
    task = Task(
        id="gymnasium/Hopper-v5",
        text="Hop forward as fast as possible without falling",
        env=spec,
        fitness="rewardsmith.envs.gym_suite:hopper",
        fitness_unit="m",
        fitness_meaning="distance covered along x until the fall or the time limit",
        solved_at=20.0,
    )
    return RunFacts(
        task=task,
        command='rewardsmith design "Hop forward as fast as possible without falling"'
        " --env Hopper-v5 --candidates 4 --generations 2",
        started="2026-05-11T14:32:09Z",
        models={"designer": "local:qwen2.5-coder-1.5b", "critic": "openai:gpt-x"},
        trainer="ppo",
        hyperparams={"learning_rate": 0.0003, "n_steps": 2048},
        steps=STEPS,
        seeds={"selection": (0, 1, 2), "held-out": (50, 51, 52, 53, 54)},
        versions={"rewardsmith": "0.1.0"},
        machine={"machine": "x86_64, 2 cores, 8 GB", "system": "Debian 12"},
        sandbox="process",
        phases={"asking": 312.4, "training": 4_410.0, "final comparison": 589.0},
        ledger=(
            LedgerRow("designer", "local:qwen2.5-coder-1.5b", 12, 31_001, 7_403, 0.0, 290.1),
            LedgerRow("critic", "openai:gpt-x", 7, 17_212, 2_241, None, 22.3),
        ),
        video_note="no GL library was found (apt-get install libosmesa6)",
        load_policy='from stable_baselines3 import PPO\n\nmodel = PPO.load("best/policy.zip")',
    )


@pytest.fixture
def failing_run(finished_run: RunState) -> RunState:
    """A finished run in which no candidate came to a fitness."""
    bad = tuple(c for c in finished_run.candidates if c.failure)
    return finished_run.model_copy(
        update={"candidates": bad, "arms": (), "best": None, "generations": ()}
    )


HOSTILE = '</script><script>alert("x")</script><img src=x onerror=a(1)>\u202e\u2066\x1b[31m\ud800'


@pytest.fixture
def hostile_run(finished_run: RunState) -> RunState:
    """``finished_run`` with an attack in every text that others can choose."""
    return RunState.model_validate(_poisoned(finished_run.model_dump(), HOSTILE))


_OURS = {"kind", "name", "id", "candidate", "best", "verdict", "parents", "candidates", "unit",
         "mode", "time", "step"}  # fmt: skip


def _poisoned(value: Any, attack: str) -> Any:
    if isinstance(value, str):
        return value + attack
    if isinstance(value, dict):
        return {k: v if _ours(k, v) else _poisoned(v, attack) for k, v in value.items()}
    return type(value)(_poisoned(v, attack) for v in value) if isinstance(value, tuple) else value


def _ours(key: str, value: Any) -> bool:
    return key in _OURS and (isinstance(value, str) or _names(value))


def _names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(v, str) for v in value)


RunBuilder = Callable[..., RunState]


def slice_of(name: str = "torso_height", unit: str = "m", *, few: bool = False) -> Slice:
    """Returns a slice at two typical steps, of two components."""
    at = (0.0, 1.0) if few else (0.0, 0.5, 1.0, 1.5)
    rising, still = tuple(2.0 * x for x in at), tuple(0.5 for _ in at)
    lines = tuple(
        Line(
            row=row,
            step="drawn" if k else "median",
            here=1.0,
            total=tuple(r + s + k for r, s in zip(rising, still, strict=True)),
            components={"run": rising, "upright": still},
        )
        for k, row in enumerate((40, 7))
    )
    axis = Axis(name=name, unit=unit, at=at, low=0.2, high=1.2, few=few)
    return Slice(axis=axis, lines=lines, move=2.0, findings=(Finding(kind="rises", text="rises"),))


def histogram_of(column: str, *, is_total: bool = False) -> Histogram:
    """Returns a histogram of two bins, of failures and successes."""
    groups = (
        Group(name="failure", episodes=3, rows=400, mean=0.2, shares=(0.75, 0.25)),
        Group(name="success", episodes=2, rows=1200, mean=0.8, shares=(0.0, 1.0)),
    )
    return Histogram(column=column, is_total=is_total, edges=(0.0, 0.5, 1.0), groups=groups)


@pytest.fixture
def pictures() -> Pictures:
    """The pictures of a reward as they are stored."""
    slices = (slice_of(), slice_of("foot_contact", "0 or 1", few=True))
    surface = Surface(
        x=slices[0].axis,
        y=slices[1].axis,
        step="median",
        here=(1.0, 1.0),
        total=((0.0, 1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0)),
        findings=(Finding(kind="peak", text="highest at the corner"),),
    )
    return Pictures(
        program_id="3fb2c09d1a77",
        env="Hopper-v5",
        rows=1600,
        episodes=5,
        total_mean=1.25,
        total_std=0.5,
        components=("run", "upright"),
        unmoved=("torso_pitch",),
        slices=slices,
        surfaces=(surface,),
        histograms=(
            histogram_of("total", is_total=True),
            histogram_of("run"),
            histogram_of("upright"),
        ),
        findings=(Finding(kind="flat", text="read, yet without effect: torso_pitch"),),
    )


@pytest.fixture
def hostile_pictures(pictures: Pictures) -> Pictures:
    """``pictures`` with an attack in every text that a program or a card can choose."""
    found = pictures.model_dump()
    found["components"] = tuple(name + HOSTILE for name in found["components"])
    for item in found["slices"]:
        for line in item["lines"]:
            line["components"] = {k + HOSTILE: v for k, v in line["components"].items()}
    return Pictures.model_validate(_poisoned(found, HOSTILE))
