"""A task and a few candidates with known numbers, as prompts see them."""

import pytest

from rewardsmith.envs.task import ActionSpec, EnvSpec, Field, Task
from rewardsmith.runs.records import (
    Candidate,
    CurvePoint,
    EpisodeSummary,
    Feedback,
    Proposal,
    TrainingReport,
)
from rewardsmith.sandbox.failure import Failure

PROGRAM = '''def compute_reward(forward_velocity, joint_velocities, terminated):
    """Pay for speed, charge a fall."""
    run = np.clip(forward_velocity, 0.0, 4.0)
    alive = np.where(terminated, -5.0, 0.5)
    total = run + alive
    return total, {"run": run, "alive": alive}
'''


@pytest.fixture
def program() -> str:
    return PROGRAM


@pytest.fixture
def task() -> Task:
    env = EnvSpec(
        id="Strider-v1",
        fields=(
            Field("forward_velocity", (), "m/s", "velocity of the torso along x", "obs[5]"),
            Field(
                "joint_velocities", (3,), "rad/s", "angular velocities of the joints", "obs[8:11]"
            ),
        ),
        hidden=(Field("secret_odometer", (), "m", "distance from the start", "data.qpos[0]"),),
        action=ActionSpec((3,), (-1.0,) * 3, (1.0,) * 3, None, "joint torques"),
        max_steps=1000,
        dt=0.008,
        description="A one-legged robot. The episode ends when it falls.",
    )
    return Task(
        id="test/strider",
        text="hop forward as fast as possible without falling",
        env=env,
        fitness="hidden_module:hidden_fitness",
        fitness_unit="m",
        fitness_meaning="metres travelled before a fall",
        principles=("never use more than half of the torque",),
    )


def report(fitness: float, seed: int = 1) -> TrainingReport:
    curve = tuple(
        CurvePoint(
            steps=1000 * i,
            fitness=fitness * i / 11,
            success_rate=None if i < 2 else 0.0,
            episode_length=100.0 + i,
            total=0.5 + 0.1 * i,
            components={"run": 0.1 * i, "alive": 0.5},
        )
        for i in range(12)
    )
    episodes = tuple(
        EpisodeSummary(
            seed=i,
            fitness=fitness + i,
            success=i == 3,
            outcome="time limit" if i == 3 else "fell",
            length=100 * (i + 1),
            reward_return=10.0,
            component_returns={"run": 8.0, "alive": 2.0},
            fields={
                "forward_velocity": tuple(0.5 * j for j in range(5)),
                "torso_height": (1.25, 1.2, 1.1, 0.9, 0.7),
            },
        )
        for i in range(4)
    )
    return TrainingReport(
        unit=f"u.s{seed}", seed=seed, steps=12000, fitness=fitness, curve=curve, episodes=episodes
    )


@pytest.fixture
def trained() -> Candidate:
    return Candidate(
        id="g0.1",
        generation=0,
        index=1,
        proposal=Proposal(kind="fresh"),
        program=PROGRAM,
        reports=(report(2.0), report(3.0, seed=2)),
        analysis="cause: the alive term is constant\nadvice: halve alive",
    )


@pytest.fixture
def broken() -> Candidate:
    failure = Failure(kind="contract", text="run has shape (), (8,) is wanted\nmore words", line=3)
    return Candidate(
        id="g0.0",
        generation=0,
        index=0,
        proposal=Proposal(kind="fresh"),
        program=PROGRAM,
        failure=failure,
    )


@pytest.fixture
def feedback() -> Feedback:
    return Feedback(
        id="f1",
        author="ann",
        time="2030-01-01T00:00:00Z",
        candidate="g0.1",
        observed="it drags its foot",
        wanted="lift the foot higher",
        rating=2,
    )
